//! Damage × place: what a verify of each depth notices and names, and that a restore refuses before it touches anything.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use common::{Ran, Sandbox, database};

/// What can happen to a stored object; the second argument is the same object of another snapshot.
type Hurt = fn(&mut Vec<u8>, &[u8]);

const DAMAGE: [(&str, Hurt); 8] = [
    ("a flipped bit in the first byte", |bytes, _| bytes[0] ^= 1),
    ("a flipped bit in the middle", |bytes, _| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }),
    ("a flipped bit in the last byte", |bytes, _| *bytes.last_mut().unwrap() ^= 1),
    // Two, for the last byte of a manifest is a line break that means nothing.
    ("truncated", |bytes, _| bytes.truncate(bytes.len() - 2)),
    ("truncated to half", |bytes, _| bytes.truncate(bytes.len() / 2)),
    ("emptied", |bytes, _| bytes.clear()),
    ("extended", |bytes, _| bytes.push(b'x')),
    ("swapped", |bytes, other| *bytes = other.to_vec()),
];

/// Two snapshots of a database, which has changed since.
struct Shop {
    sandbox: Sandbox,
    /// The folder of the newest.
    snapshot: PathBuf,
    older: PathBuf,
    target: Target,
}

/// The database as it was found.
struct Target {
    path: PathBuf,
    bytes: Vec<u8>,
    modified: SystemTime,
}

impl Shop {
    fn new(filters: &str) -> Self {
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
    fn verify(&self, depth: &str) -> Ran {
        let name = self.name();
        let mut arguments = vec!["verify", name.as_str()];
        arguments.extend((!depth.is_empty()).then_some(depth));
        self.sandbox.run(&arguments)
    }

    fn name(&self) -> String {
        format!("shop@{}", self.snapshot.file_name().unwrap().to_str().unwrap())
    }

    fn restore(&self) -> Ran {
        self.sandbox.run(&["restore", &self.name(), "--mode", "replace", "--yes"])
    }

    /// Every depth notices it and names `object`; but `--quick` can't if it `keeps_size`.
    #[track_caller]
    fn is_noticed(&self, case: &str, object: &str, keeps_size: bool) {
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
    fn is_refused(&self, case: &str) {
        let ran = self.restore();
        assert_eq!(ran.code, 4, "{case}: {}{}", ran.stdout, ran.stderr);
        ran.error_line(case);
        self.is_untouched(case);
    }

    #[track_caller]
    fn is_untouched(&self, case: &str) {
        let target = &self.target;
        assert!(fs::read(&target.path).unwrap() == target.bytes, "{case}: the target has changed");
        assert_eq!(target.path.metadata().unwrap().modified().unwrap(), target.modified, "{case}");
        assert_eq!(self.sandbox.files("place"), ["shop.db"], "{case}: something is left beside the target");
    }

    /// Every damage to `object`, one after the other. A restore must refuse each, but where it isn't `read`, only what
    /// its size tells.
    #[track_caller]
    fn every_damage_to(&self, object: &str, is_read: bool) {
        let path = self.snapshot.join(object);
        let good = fs::read(&path).unwrap();
        let other = fs::read(self.older.join(object)).unwrap();
        let is_manifest = object == "manifest.json";
        for (name, hurt) in &DAMAGE {
            let case = format!("{object}: {name}");
            let mut bytes = good.clone();
            hurt(&mut bytes, &other);
            assert_ne!(bytes, good, "{case}");
            fs::write(&path, &bytes).unwrap();
            let keeps_size = bytes.len() == good.len();
            self.is_noticed(&case, if is_manifest { "manifest" } else { object }, keeps_size && !is_manifest);
            if is_read || !keeps_size {
                self.is_refused(&case);
            }
        }
        if !is_manifest {
            fs::remove_file(&path).unwrap();
            self.is_noticed("deleted", object, false);
            self.is_refused(&format!("{object}: deleted"));
        }
        fs::write(&path, good).unwrap();
        self.verify("--full").expect(0);
        self.is_untouched(object);
        self.restore().expect(0);
        assert_ne!(fs::read(&self.target.path).unwrap(), self.target.bytes);
    }
}

#[test]
fn damage_to_a_stream_is_named_and_refused() {
    Shop::new(r#"{ plugin = "zstd" }"#).every_damage_to("data.zst", true);
}

#[test]
fn damage_to_a_gzipped_stream_is_named_and_refused() {
    Shop::new(r#"{ plugin = "gzip" }"#).every_damage_to("data.gz", true);
}

#[test]
fn damage_to_a_stream_without_filters_is_named_and_refused() {
    Shop::new("").every_damage_to("data", true);
}

#[test]
fn damage_to_the_description_is_named_and_refused() {
    Shop::new(r#"{ plugin = "zstd" }"#).every_damage_to("contents.json.zst", true);
}

#[test]
fn damage_to_the_manifest_is_named_and_refused() {
    Shop::new(r#"{ plugin = "zstd" }"#).every_damage_to("manifest.json", true);
}

/// A restore doesn't read the instructions: it refuses where their size tells that something happened to the snapshot.
#[test]
fn damage_to_the_instructions_is_named() {
    Shop::new("").every_damage_to("RESTORE.txt", false);
}

#[test]
fn without_its_manifest_a_snapshot_is_none() {
    let shop = Shop::new("");
    fs::remove_file(shop.snapshot.join("manifest.json")).unwrap();
    assert_eq!(shop.sandbox.listed().len(), 1);
    shop.verify("").expect(10);
    shop.restore().expect(10);
    shop.is_untouched("no manifest");
    shop.sandbox.ok(&["verify", "shop", "--full"]);
}

#[test]
fn a_damaged_snapshot_is_listed_as_damaged_and_the_others_stay_usable() {
    let shop = Shop::new("");
    let manifest = shop.snapshot.join("manifest.json");
    fs::write(&manifest, &fs::read(&manifest).unwrap()[..100]).unwrap();
    let listed = shop.sandbox.run(&["list", "shop"]);
    let row = listed.stdout.lines().find(|line| line.contains(&shop.name()["shop@".len()..]));
    assert!(row.is_some_and(|row| row.contains("damaged")), "{}", listed.stdout);
    shop.sandbox.run(&["verify"]).expect(4);
    let older = format!("shop@{}", shop.older.file_name().unwrap().to_str().unwrap());
    shop.sandbox.ok(&["restore", &older, "--mode", "replace", "--yes"]);
    assert_eq!(common::rows(&shop.target.path).lines().count(), 100);
}

#[test]
fn a_damaged_stream_is_never_given_out_whole() {
    let shop = Shop::new(r#"{ plugin = "zstd" }"#);
    let path = shop.snapshot.join("data.zst");
    let mut bytes = fs::read(&path).unwrap();
    let whole = fs::read(&shop.target.path).unwrap().len();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let ran = shop.sandbox.run(&["restore", &shop.name(), "--output", "out.db"]);
    ran.expect(4);
    assert!(!shop.sandbox.path("out.db").exists());
    assert_eq!(shop.sandbox.siblings(), [""; 0]);
    let out = shop.sandbox.command(&["restore", &shop.name(), "--output", "-"]).output().unwrap();
    assert_eq!(out.status.code(), Some(4));
    assert!(out.stdout.len() + (64 << 10) <= whole, "{} of {whole} bytes were given out", out.stdout.len());
}

#[test]
fn streams_swapped_with_each_other_are_noticed() {
    let sandbox = Sandbox::new();
    common::misbehaving::config(&sandbox, "streams = 2", "", "");
    sandbox.ok(&["backup"]);
    let (one, two) = (sandbox.object("shop", "data-0001"), sandbox.object("shop", "data-0002"));
    swap(&one, &two);
    sandbox.run(&["verify", "--quick"]).expect(0);
    let ran = sandbox.run(&["verify"]).expect(4);
    assert!(ran.stdout.contains("/data-0001`") && ran.stdout.contains("/data-0002`"), "{}", ran.stdout);
    fs::create_dir(sandbox.path("target")).unwrap();
    sandbox.run(&["restore", "shop"]).expect(4);
    assert_eq!(sandbox.files("target"), [""; 0]);
}

fn swap(one: &Path, two: &Path) {
    let (first, second) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    fs::write(one, second).unwrap();
    fs::write(two, first).unwrap();
}
