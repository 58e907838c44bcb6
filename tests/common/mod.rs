//! A sandbox for end-to-end tests: the real binary, the real shared libraries, an environment of its own.
//!
//! Everything lies in a fresh folder below the ignored `.scratch`; nothing of the user's is read. It knows no plugin's
//! inside: effects are looked at with other programs and libraries.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod by_hand;
pub mod fan;
pub mod far;
pub mod filters;
pub mod gpg;
pub mod misbehaving;
pub mod shop;
pub mod skew;

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rusqlite::Connection;
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use windlass_testkit::until;

/// A folder, and the binary run in it.
pub struct Sandbox {
    dir: tempfile::TempDir,
}

/// How a run of the binary ended.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; 128 + signal if a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Sandbox {
    /// A fresh folder with an empty folder `store` for backups.
    pub fn new() -> Self {
        let scratch = repo().join(".scratch");
        fs::create_dir_all(&scratch).unwrap();
        let dir = tempfile::Builder::new().prefix("e2e-").tempdir_in(scratch).unwrap();
        fs::create_dir(dir.path().join("store")).unwrap();
        Self { dir }
    }

    /// A path in the sandbox.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Writes a file; its folder is made. Configs hold test secrets, so 0600.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// The config `windlass.toml`, which every run in the sandbox finds.
    pub fn config(&self, toml: &str) {
        self.write("windlass.toml", toml);
    }

    /// The command, not yet run: in the sandbox, as host `web1`, with an environment of its own and no input.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("TMPDIR", self.dir.path())
            .env("TZ", "UTC")
            .env("WINDLASS_HOST", "web1")
            .stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs the binary, which must end well; its standard output.
    pub fn ok<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        self.run(arguments).expect(0).stdout
    }

    /// Starts the binary and doesn't wait.
    pub fn spawn<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Every file below `relative`, sorted, relative to it; temporary ones too.
    pub fn files(&self, relative: &str) -> Vec<String> {
        let root = self.path(relative);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(entry.path().strip_prefix(&root).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        found.sort();
        found
    }

    /// Runs a command in `folder`, on a terminal of its own, where `typed` is typed. Its standard error comes on standard output.
    pub fn on_terminal(&self, folder: &Path, command: &str, typed: &str) -> Ran {
        self.on_terminal_at(folder, command, "", typed)
    }

    /// As [`on_terminal`](Self::on_terminal); it is typed when `prompt` is seen.
    pub fn on_terminal_at(&self, folder: &Path, command: &str, prompt: &str, typed: &str) -> Ran {
        let mut child = Command::new("script")
            .args(["-q", "-e", "-c", command, "/dev/null"])
            .current_dir(folder)
            .env("HOME", self.path(""))
            .env("WINDLASS_HOST", "web1")
            .env("TERM", "xterm")
            // `script` asks this variable for the shell, and shells differ in what a signal does to them.
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`script` (Debian: bsdutils) is needed");
        // The end of input would hang the terminal up, so it stays open until the program has ended.
        let mut stdin = child.stdin.take().unwrap();
        let (mut shown, mut byte) = (Vec::new(), [0]);
        let out = child.stdout.as_mut().unwrap();
        while !String::from_utf8_lossy(&shown).contains(prompt) && out.read(&mut byte).unwrap() > 0 {
            shown.push(byte[0]);
        }
        stdin.write_all(typed.as_bytes()).unwrap();
        let mut output = child.wait_with_output().unwrap();
        drop(stdin);
        output.stdout.splice(0..0, shown);
        Ran::of(output)
    }

    /// The object `name` of the newest snapshot of `pipeline` in the folder `store`.
    pub fn object(&self, pipeline: &str, name: &str) -> PathBuf {
        let mut ids: Vec<PathBuf> = fs::read_dir(self.path("store/web1").join(pipeline))
            .unwrap()
            .map(|id| id.unwrap().path())
            .collect();
        // Several may begin in one second: then only the sequence tells.
        ids.sort_by_key(|id| (sequence(&id.join("manifest.json")), id.clone()));
        ids.last().unwrap().join(name)
    }

    /// The names of all snapshots that are listed in the folder `store`.
    pub fn listed(&self) -> Vec<String> {
        let store = format!("fs:{}", self.path("store").display());
        let text = self.ok(&["--json", "list", "--all-hosts", "--storage", &store]);
        let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        rows.filter(|row| row["type"] == "snapshot")
            .map(|row| row["snapshot"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Ran {
    /// Of a finished process.
    pub fn of(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status;
        Self {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\nstdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    /// Its standard error must contain `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` isn't in:\n{}", self.stderr);
        self
    }

    /// Its results, on standard output, must contain `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "`{text}` isn't in:\n{}", self.stdout);
        self
    }
}

/// A new key of `age`: the file of the private one, and the public one.
pub fn age_key(sandbox: &Sandbox, name: &str) -> (PathBuf, String) {
    age_key_at(sandbox.path(name))
}

/// As [`age_key`], in the file `path`.
pub fn age_key_at(path: PathBuf) -> (PathBuf, String) {
    let output = Command::new("age-keygen").arg("-o").arg(&path).output();
    let told = String::from_utf8(output.expect("`age` is needed: `make setup`").stderr).unwrap();
    let public = told.trim().strip_prefix("Public key: ").unwrap().to_owned();
    (path, public)
}

/// The sequence number in a manifest; 0 if it can't be read.
fn sequence(manifest: &Path) -> u64 {
    let bytes = fs::read(manifest).unwrap_or_default();
    let envelope: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    envelope["manifest"]["sequence"].as_u64().unwrap_or_default()
}

/// The binary under test.
pub fn binary() -> &'static str {
    env!("CARGO_BIN_EXE_windlass")
}

/// The repository's root.
pub fn repo() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A database with `rows` rows of a kilobyte; the journal mode as given (`wal`, `delete`).
pub fn database(path: &Path, journal: &str, rows: u32) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", journal).unwrap();
    connection
        .execute_batch("create table if not exists item(id integer primary key, note text, body blob)")
        .unwrap();
    fill(&connection, rows);
    connection
}

/// Adds `rows` rows in one transaction.
pub fn fill(connection: &Connection, rows: u32) {
    connection
        .execute(
            "with recursive n(i) as (values(1) union all select i + 1 from n where i < ?1)
             insert into item(note, body) select 'note ' || i, randomblob(1000) from n",
            [rows],
        )
        .unwrap();
}

/// All rows, as one comparable text.
pub fn rows(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    let check: String = connection.query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok", "{}", path.display());
    let mut statement = connection.prepare("select id || note || hex(body) from item order by id").unwrap();
    let rows: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    rows.join("\n")
}

/// Changes a manifest and makes its checksum fit again: what an attacker, or another clock, could have written.
pub fn edit_manifest(path: &Path, edit: impl FnOnce(&mut serde_json::Value)) {
    let mut whole: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut manifest = whole["manifest"].take();
    edit(&mut manifest);
    let text = manifest.to_string();
    let sha256 = sha256_of(text.as_bytes());
    fs::write(path, format!("{{\"manifest\":{text},\"sha256\":\"{sha256}\"}}\n")).unwrap();
}

/// Gives the snapshot in `folder` another id, as if its run had started then, and further values (`key`, value) in its
/// manifest.
pub fn rename_snapshot(folder: &Path, id: &str, values: &[(&str, serde_json::Value)]) {
    let (date, time) = (&id[..8], &id[9..15]);
    let started = format!(
        "{}-{}-{}T{}:{}:{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &time[..2],
        &time[2..4],
        &time[4..]
    );
    edit_manifest(&folder.join("manifest.json"), |manifest| {
        manifest["id"] = id.into();
        manifest["started"] = started.into();
        for (key, value) in values {
            manifest[*key] = value.clone();
        }
    });
    fs::rename(folder, folder.with_file_name(id)).unwrap();
}

/// SHA-256 of a file, in hexadecimal.
pub fn sha256(path: &Path) -> String {
    sha256_of(&fs::read(path).unwrap())
}

fn sha256_of(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
