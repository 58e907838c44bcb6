//! What RESTORE.txt tells, done as somebody does who has nothing but standard programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Sandbox;

/// A sandbox with one snapshot of `source`, whose folder is copied to `hand`: all that somebody has who found it.
pub fn snapshot(sandbox: &Sandbox, pipeline: &str, source: &str, filter: &str) -> PathBuf {
    let filters = match filter {
        "" => String::new(),
        table if table.starts_with('{') => table.to_owned(),
        name => format!("\"{name}\""),
    };
    sandbox.config(&format!(
        "{source}\n[pipeline.{pipeline}]\nsource = \"it\"\nstorage = [\"fs:store\"]\nfilters = [{filters}]\n"
    ));
    sandbox.ok(&["backup"]);
    taken(sandbox, pipeline, "hand")
}

/// A copy of the folder of the newest snapshot of `pipeline`, under the name `hand` in the sandbox.
pub fn taken(sandbox: &Sandbox, pipeline: &str, hand: &str) -> PathBuf {
    let hand = sandbox.path(hand);
    fs::create_dir(&hand).unwrap();
    for object in fs::read_dir(sandbox.object(pipeline, "")).unwrap() {
        let object = object.unwrap();
        fs::copy(object.path(), hand.join(object.file_name())).unwrap();
    }
    hand
}

/// The commands that RESTORE.txt tells to run in the folder, and the one that fetches the first file.
pub fn commands(hand: &Path) -> (Vec<String>, String) {
    let text = fs::read_to_string(hand.join("RESTORE.txt")).unwrap();
    let (run, fetch) =
        text.split_once("run, in this folder:\n").unwrap().1.split_once("\nWhen this folder").unwrap();
    let lines = run.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    (lines.map(str::to_owned).collect(), fetch.lines().nth(1).unwrap().to_owned())
}

/// Runs it with `sh` in `folder`, where no program of ours can be found.
pub fn sh(folder: &Path, command: &str) -> Vec<u8> {
    sh_with(folder, command, &[])
}

/// As [`sh`], with variables that tell where keys are.
pub fn sh_with(folder: &Path, command: &str, environment: &[(&str, PathBuf)]) -> Vec<u8> {
    let output = Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()
        .unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// The hash of the first stream stands in the manifest as `sha256sum` says it.
pub fn check_hash(hand: &Path, command: &str) {
    let object = command.strip_prefix("cat ").unwrap().split(' ').next().unwrap();
    let said = String::from_utf8(sh(hand, &format!("sha256sum {object}"))).unwrap();
    let hash = said.split(' ').next().unwrap();
    let manifest = fs::read_to_string(hand.join("manifest.json")).unwrap();
    assert!(manifest.contains(&format!("\"stored_sha256\":\"{hash}\"")), "{said} {manifest}");
}
