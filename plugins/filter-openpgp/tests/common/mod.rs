//! What the tests of this filter share: encoding and decoding through the filter, and the program `gpg` with keys of its
//! own.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use windlass_filter_openpgp::OpenPgp;
use windlass_plugin_api::{Context, Error, ErrorKind, Filter, Plugin, Result};
use windlass_testkit::streams::TestSink;

/// Keys of nobody, for tests: one of GnuPG, and one that announces the newer form.
pub const PUBLIC: &str = include_str!("../keys/nobody.pub.asc");
pub const SECRET: &str = include_str!("../keys/nobody.sec.asc");
pub const CHUNKS_PUBLIC: &str = include_str!("../keys/chunks.pub.asc");
pub const CHUNKS_SECRET: &str = include_str!("../keys/chunks.sec.asc");

pub fn made(options: Value) -> Result<OpenPgp> {
    OpenPgp::new(serde_json::from_value(options).unwrap(), &Context::default())
}

pub fn openpgp(options: Value) -> OpenPgp {
    made(options).unwrap()
}

pub fn encode(filter: &OpenPgp, plain: &[u8]) -> (Vec<u8>, Map<String, Value>) {
    let (next, view) = TestSink::new();
    let mut sink = filter.encode(&Context::default(), "data", Box::new(next)).unwrap();
    sink.write_all(plain).unwrap();
    let finished = sink.finish().unwrap();
    (view.seen().bytes, finished.params)
}

/// What comes out, up to the first error, and that error.
pub fn decode_part(filter: &OpenPgp, params: &Map<String, Value>, stored: &[u8]) -> (Vec<u8>, Option<Error>) {
    let input = Box::new(std::io::Cursor::new(stored.to_vec()));
    let mut reader = match filter.decode(&Context::default(), "data", params, input) {
        Ok(reader) => reader,
        Err(error) => return (Vec::new(), Some(error)),
    };
    let (mut plain, mut buffer) = (Vec::new(), vec![0; 100_000]);
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (plain, None),
            Ok(count) => plain.extend_from_slice(&buffer[..count]),
            Err(error) => return (plain, Some(error.into())),
        }
    }
}

pub fn decode(filter: &OpenPgp, params: &Map<String, Value>, stored: &[u8]) -> Result<Vec<u8>> {
    match decode_part(filter, params, stored) {
        (plain, None) => Ok(plain),
        (_, Some(error)) => Err(error),
    }
}

pub fn reading() -> OpenPgp {
    openpgp(json!({ "identities": [SECRET, CHUNKS_SECRET] }))
}

/// There is an error of damage, and nothing that looks like an end before it.
#[track_caller]
pub fn breaks(what: &str, params: &Map<String, Value>, stored: &[u8]) -> Vec<u8> {
    let (part, error) = decode_part(&reading(), params, stored);
    let error = error.unwrap_or_else(|| panic!("{what}: no error"));
    assert_eq!(error.kind, ErrorKind::Damaged, "{what}: {error}");
    part
}

/// A home of `gpg`, with an agent of its own that ends with it.
pub struct Gpg {
    folder: tempfile::TempDir,
}

/// What a new key is to be, beside its address.
pub const MODERN: &str = "ed25519 cv25519";
pub const RSA: &str = "rsa3072 rsa3072";

impl Gpg {
    pub fn new() -> Self {
        // Short: the path of an agent's socket has hardly a hundred bytes.
        let folder = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    /// Runs a shell command with `input`; it must end well.
    pub fn sh(&self, command: &str, input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.folder.path())
            .env("GNUPGHOME", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_vec());
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{command}` failed (is it installed? `make setup`): {told}");
        drop(writer.join().unwrap());
        output.stdout
    }

    /// Runs `gpg` with these arguments.
    pub fn run(&self, arguments: &str, input: &[u8]) -> Vec<u8> {
        self.sh(&format!("gpg --batch --no-tty -q --pinentry-mode loopback {arguments}"), input)
    }

    /// A new key for `address`: one for signing and a subkey for encryption.
    pub fn key(&self, address: &str, kind: &str, passphrase: &str, expires: &str) {
        let (main, sub) = kind.split_once(' ').unwrap();
        let locked = format!("--passphrase '{passphrase}'");
        self.run(
            &format!("{locked} --quick-generate-key '{address} <{address}>' {main} cert,sign {expires}"),
            b"",
        );
        self.run(
            &format!("{locked} --quick-add-key {} {sub} encr {expires}", self.fingerprint(address)),
            b"",
        );
    }

    pub fn fingerprint(&self, address: &str) -> String {
        let told = String::from_utf8(self.run(&format!("--with-colons --list-keys {address}"), b"")).unwrap();
        let line = told.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    /// The armored public key.
    pub fn public(&self, address: &str) -> String {
        String::from_utf8(self.run(&format!("--armor --export {address}"), b"")).unwrap()
    }

    /// The private key; `options` may ask for an armored one.
    pub fn secret(&self, address: &str, passphrase: &str, options: &str) -> Vec<u8> {
        self.run(&format!("{options} --passphrase '{passphrase}' --export-secret-keys {address}"), b"")
    }

    pub fn secret_text(&self, address: &str, passphrase: &str) -> String {
        String::from_utf8(self.secret(address, passphrase, "--armor")).unwrap()
    }

    /// Encrypts as `gpg` does.
    pub fn encrypt(&self, options: &str, plain: &[u8]) -> Vec<u8> {
        self.run(&format!("--trust-model always {options}"), plain)
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let home = self.folder.path();
        drop(Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", home).status());
    }
}
