//! Finds and runs the programs of servers and clients. Doesn't know any of them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

/// The repository's root.
pub(crate) fn repo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The virtual environment that `make setup` fills.
pub(crate) fn venv() -> PathBuf {
    repo().join(".tools/venv-test")
}

/// Where the Python packages of [`venv`] are, if it is there.
pub(crate) fn site_packages() -> Option<PathBuf> {
    let versions = fs::read_dir(venv().join("lib")).ok()?;
    versions.flatten().map(|python| python.path().join("site-packages")).find(|folder| folder.is_dir())
}

/// A program by name: in `PATH` or where Debian has servers.
#[track_caller]
pub(crate) fn find(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(system).map(|folder| folder.join(name));
    installed(found.into_iter().find(|file| file.is_file()), name)
}

/// What was found, or the failure that says how to get it.
#[track_caller]
pub(crate) fn installed(found: Option<PathBuf>, name: &str) -> PathBuf {
    found.unwrap_or_else(|| panic!("`{name}` isn't installed, and this test needs it: run `make setup`"))
}

/// Runs a command to its end and gives it `input`; what it wrote, without the last line's end.
///
/// # Panics
/// With its standard error if it fails.
#[track_caller]
pub(crate) fn run(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("can't run {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = thread::scope(|scope| {
        // The program may write much before it has read all. One that failed doesn't read: its message tells more.
        scope.spawn(move || stdin.write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} ended with {}:\n{stderr}", name(command), output.status);
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

fn name(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Percent-encoding for a part of an address.
pub(crate) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
