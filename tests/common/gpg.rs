//! Keys of GnuPG for tests.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// A home of `gpg`, with an agent of its own that ends with it.
pub struct Gpg(tempfile::TempDir);

impl Gpg {
    /// An empty one.
    pub fn new() -> Self {
        // Short: the path of an agent's socket has hardly a hundred bytes.
        let folder = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self(folder)
    }

    /// Its folder.
    pub fn home(&self) -> &Path {
        self.0.path()
    }

    /// Runs `gpg`, which must end well.
    pub fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--no-tty", "-q", "--pinentry-mode", "loopback", "--trust-model", "always"]);
        command.args(arguments).env("GNUPGHOME", self.0.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("`gpg` is needed: `make setup`");
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        writer.join().unwrap().unwrap();
        output.stdout
    }

    /// A new key in this home: its fingerprint. In `place` the public one is `NAME.pub`, the private one `NAME.sec`.
    pub fn key(&self, place: &Path, name: &str, passphrase: &str) -> String {
        self.key_of("default", place, name, passphrase)
    }

    /// As [`Self::key`], of another kind than RSA: `future-default` is a curve, and much faster.
    pub fn key_of(&self, kind: &str, place: &Path, name: &str, passphrase: &str) -> String {
        let address = format!("{name}@example.org");
        let locked = ["--passphrase", passphrase];
        self.run(&[&locked[..], &["--quick-generate-key", &address, kind, "default", "never"]].concat(), b"");
        let public = self.run(&["--armor", "--export", &address], b"");
        fs::write(place.join(format!("{name}.pub")), public).unwrap();
        let secret = self.run(&[&locked[..], &["--armor", "--export-secret-keys", &address]].concat(), b"");
        fs::write(place.join(format!("{name}.sec")), secret).unwrap();
        let told = String::from_utf8(self.run(&["--with-colons", "--list-keys", &address], b"")).unwrap();
        let line = told.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        drop(Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", self.0.path()).status());
    }
}
