//! A pipeline with several storages, each of which misbehaves on request.

use std::fs;

use serde_json::Value;

use super::Sandbox;

/// Its config: `storage` is what stands behind that key (and whatever follows), `storages` are names with options of theirs.
pub fn config(sandbox: &Sandbox, source: &str, storage: &str, storages: &[(&str, &str)]) {
    let mut text = format!(
        "[source.bad]\nplugin = \"misbehaving\"\ntarget = \"{}\"\n{source}\n",
        sandbox.path("target/restored").display()
    );
    for (name, options) in storages {
        let root = sandbox.path("store").join(name);
        fs::create_dir_all(&root).unwrap();
        text += &format!(
            "[storage.{name}]\nplugin = \"misbehaving\"\nroot = \"{}\"\n{options}\n",
            root.display()
        );
    }
    sandbox.config(&format!("{text}[pipeline.shop]\nsource = \"bad\"\nstorage = {storage}\n"));
}

/// The storages of the whole snapshots that are listed, by the storage's name alone.
pub fn listed_in(sandbox: &Sandbox, storage: &str) -> Vec<String> {
    let text = sandbox.run(&["--json", "list", "shop", "--storage", storage]).stdout;
    events(&text, "snapshot").iter().map(|row| row["snapshot"].as_str().unwrap().to_owned()).collect()
}

/// The events of this type.
pub fn events(stdout: &str, kind: &str) -> Vec<Value> {
    let all = stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    all.filter(|event| event["type"] == kind).collect()
}

impl Sandbox {
    /// Every object of the storage `one` is in `other` too, with the same bytes.
    #[track_caller]
    pub fn are_level(&self, one: &str, other: &str) {
        let files = self.files(&format!("store/{one}"));
        assert!(!files.is_empty());
        assert_eq!(files, self.files(&format!("store/{other}")), "{one} and {other} hold different objects");
        for file in files {
            let read = |storage: &str| fs::read(self.path("store").join(storage).join(&file)).unwrap();
            assert!(read(one) == read(other), "`{file}` differs in {one} and {other}");
        }
    }
}
