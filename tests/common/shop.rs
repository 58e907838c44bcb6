//! Two snapshots of a database that has changed since, and what must hold when one of them is damaged.

use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Ran, Sandbox, database};

/// Two snapshots of a database, which has changed since.
pub struct Shop {
    /// Where it lies; the config has the pipeline `shop`.
    pub sandbox: Sandbox,
    /// The folder of the newest.
    pub snapshot: PathBuf,
    /// Of the other one.
    pub older: PathBuf,
    /// What a restore overwrites.
    pub target: Target,
}

/// The database as it was found.
pub struct Target {
    /// Its file.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its last change.
    pub modified: SystemTime,
}

impl Shop {
    pub fn new(filters: &str) -> Self {
        let sandbox = Sandbox::new();
        let path = sandbox.path("place/shop.db");
        fs::create_dir(sandbox.path("place")).unwrap();
        sandbox.config(&format!(
            r#"
            [source.shop]
            plugin = "sqlite"
            path = "{}"
            [storage.nas]
            plugin = "fs"
            root = "{}"
            [pipeline.shop]
            source = "shop"
            storage = ["nas"]
            filters = [{filters}]
            "#,
            path.display(),
            sandbox.path("store").display()
        ));
        database(&path, "delete", 100).close().unwrap();
        sandbox.ok(&["backup", "shop"]);
        let older = sandbox.object("shop", "");
        database(&path, "delete", 400).close().unwrap();
        sandbox.ok(&["backup", "shop", "--tag", "which=newer"]);
        let ids = fs::read_dir(older.parent().unwrap()).unwrap().map(|id| id.unwrap().path());
        let snapshot = ids.into_iter().find(|id| !older.starts_with(id)).unwrap();
        database(&path, "delete", 3).close().unwrap();
        let (bytes, modified) = (fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
        let target = Target { path, bytes, modified };
        Self { sandbox, snapshot, older, target }
    }

    /// How `windlass verify` of the newest snapshot ends.
    pub fn verify(&self, depth: &str) -> Ran {
        let name = self.name();
        let mut arguments = vec!["verify", name.as_str()];
        arguments.extend((!depth.is_empty()).then_some(depth));
        self.sandbox.run(&arguments)
    }

    pub fn name(&self) -> String {
        format!("shop@{}", self.snapshot.file_name().unwrap().to_str().unwrap())
    }

    pub fn restore(&self) -> Ran {
        self.sandbox.run(&["restore", &self.name(), "--mode", "replace", "--yes"])
    }

    /// Every depth notices it and names `object`; but `--quick` can't if it `keeps_size`.
    #[track_caller]
    pub fn is_noticed(&self, case: &str, object: &str, keeps_size: bool) {
        for depth in ["--quick", "", "--full"] {
            let ran = self.verify(depth);
            if depth == "--quick" && keeps_size {
                assert_eq!(ran.code, 0, "{case} {depth}: {}{}", ran.stdout, ran.stderr);
                continue;
            }
            assert_eq!(ran.code, 4, "{case} {depth}: {}{}", ran.stdout, ran.stderr);
            let said = ran.stdout + &ran.stderr;
            assert!(said.contains(object), "{case} {depth}: `{object}` isn't named in:\n{said}");
        }
    }

    /// A restore ends with exit 4, and the target is as it was.
    #[track_caller]
    pub fn is_refused(&self, case: &str) {
        let ran = self.restore();
        assert_eq!(ran.code, 4, "{case}: {}{}", ran.stdout, ran.stderr);
        ran.error_line(case);
        self.is_untouched(case);
    }

    #[track_caller]
    pub fn is_untouched(&self, case: &str) {
        let target = &self.target;
        assert!(fs::read(&target.path).unwrap() == target.bytes, "{case}: the target has changed");
        assert_eq!(target.path.metadata().unwrap().modified().unwrap(), target.modified, "{case}");
        assert_eq!(self.sandbox.files("place"), ["shop.db"], "{case}: something is left beside the target");
    }

    /// Puts an edited manifest in place of the newest one, its checksum made anew: what somebody can do who may write to
    /// the storage.
    pub fn forge(&self, edit: impl FnOnce(&mut Value)) {
        let path = self.snapshot.join("manifest.json");
        let mut envelope: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let mut manifest = envelope["manifest"].take();
        edit(&mut manifest);
        fs::write(path, sealed(&manifest)).unwrap();
    }

    /// The bytes of the newest manifest.
    pub fn manifest(&self) -> Vec<u8> {
        fs::read(self.snapshot.join("manifest.json")).unwrap()
    }
}

/// The object of a manifest, with its checksum.
pub fn sealed(manifest: &Value) -> String {
    let text = manifest.to_string();
    format!("{{\"manifest\":{text},\"sha256\":\"{}\"}}\n", sha256(text.as_bytes()))
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
