//! A folder with a file to dump and a place to restore it to.
#![allow(dead_code)]

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use windlass_testkit::{SourceFixture, TestHost};

/// A pair of commands that says all that a pair can: whether its target is empty, and that it is atomic.
pub struct Pair {
    folder: TempDir,
}

impl SourceFixture for Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = (0..40_000).map(|n| format!("row {n}\n")).collect();
        fs::write(folder.path().join("from"), lines).unwrap();
        Self { folder }
    }

    fn options(&self) -> Value {
        json!({
            "dump_command": ["sh", "-c", "echo \"dumping with $KEY\" >&2; cat from"],
            "secret_env": { "KEY": { "$secret": "source.pair.key" } },
            "working_dir": self.folder.path(),
        })
    }

    fn target_options(&self) -> Value {
        json!({
            "restore_command": ["sh", "-c", "cat > half && mv half to && echo \"restored with $KEY\""],
            "target_check": ["sh", "-c", "! [ -s to ]"],
            "atomic": true,
            "secret_env": { "KEY": { "$secret": "source.pair.key" } },
            "working_dir": self.folder.path(),
        })
    }

    fn fingerprint(&self) -> String {
        summary(&self.folder.path().join("from"))
    }

    fn target_fingerprint(&self) -> String {
        summary(&self.folder.path().join("to"))
    }

    fn change(&self) {
        fs::write(self.folder.path().join("from"), "row 1\nrow 1000000\n").unwrap();
    }

    fn host(&self) -> TestHost {
        TestHost::new().secret("source.pair.key", "hunter2-of-the-pair")
    }
}

/// The text's length and end: short, and different for what these tests write.
fn summary(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    format!("{} bytes, {:?}", text.len(), text.lines().last())
}
