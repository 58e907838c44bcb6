//! Damage × place: what a verify of each depth notices and names, and that a restore refuses before it touches anything.

mod common;

use std::fs;
use std::path::Path;

use common::Sandbox;
use common::shop::Shop;

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

/// Every damage to `object`, one after the other. A restore must refuse each, but where it isn't `read`, only what
/// its size tells.
#[track_caller]
fn every_damage_to(shop: &Shop, object: &str, is_read: bool) {
    let path = shop.snapshot.join(object);
    let good = fs::read(&path).unwrap();
    let other = fs::read(shop.older.join(object)).unwrap();
    let is_manifest = object == "manifest.json";
    for (name, hurt) in &DAMAGE {
        let case = format!("{object}: {name}");
        let mut bytes = good.clone();
        hurt(&mut bytes, &other);
        assert_ne!(bytes, good, "{case}");
        fs::write(&path, &bytes).unwrap();
        let keeps_size = bytes.len() == good.len();
        shop.is_noticed(&case, if is_manifest { "manifest" } else { object }, keeps_size && !is_manifest);
        if is_read || !keeps_size {
            shop.is_refused(&case);
        }
    }
    if !is_manifest {
        fs::remove_file(&path).unwrap();
        shop.is_noticed("deleted", object, false);
        shop.is_refused(&format!("{object}: deleted"));
    }
    fs::write(&path, good).unwrap();
    shop.verify("--full").expect(0);
    shop.is_untouched(object);
    shop.restore().expect(0);
    assert_ne!(fs::read(&shop.target.path).unwrap(), shop.target.bytes);
}

#[test]
fn damage_to_a_stream_is_named_and_refused() {
    every_damage_to(&Shop::new(r#"{ plugin = "zstd" }"#), "data.zst", true);
}

#[test]
fn damage_to_a_gzipped_stream_is_named_and_refused() {
    every_damage_to(&Shop::new(r#"{ plugin = "gzip" }"#), "data.gz", true);
}

#[test]
fn damage_to_a_stream_without_filters_is_named_and_refused() {
    every_damage_to(&Shop::new(""), "data", true);
}

#[test]
fn damage_to_the_description_is_named_and_refused() {
    every_damage_to(&Shop::new(r#"{ plugin = "zstd" }"#), "contents.json.zst", true);
}

#[test]
fn damage_to_the_manifest_is_named_and_refused() {
    every_damage_to(&Shop::new(r#"{ plugin = "zstd" }"#), "manifest.json", true);
}

/// A restore doesn't read the instructions: it refuses where their size tells that something happened to the snapshot.
#[test]
fn damage_to_the_instructions_is_named() {
    every_damage_to(&Shop::new(""), "RESTORE.txt", false);
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

/// A source that commits whatever it was fed: everything is proved before it gets the first byte.
#[test]
fn a_restore_command_is_not_started_where_the_very_last_byte_is_damaged() {
    for filters in ["", r#"{ plugin = "zstd" }"#] {
        let sandbox = Sandbox::new();
        let command = command_config(&sandbox, filters, "");
        sandbox.config(&command);
        sandbox.ok(&["backup", "dump"]);
        let stored = sandbox.object("dump", if filters.is_empty() { "data" } else { "data.zst" });
        damage_last_byte(&stored);
        let ran = sandbox.run(&["restore", "dump", "--yes", "--mode", "replace"]);
        ran.fails_with_exit(4, filters, &["damaged"]);
        assert!(!sandbox.path("started").exists(), "the command was started");
        assert!(!sandbox.path("restored").exists());
        damage_last_byte(&stored);
        sandbox.ok(&["restore", "dump", "--yes", "--mode", "replace"]);
        assert!(fs::read(sandbox.path("restored")).unwrap() == fs::read(sandbox.path("plain")).unwrap());
    }
}

/// Proved once, and yet not believed: what is read again for the restore is proved again.
#[test]
fn a_storage_that_gives_other_bytes_the_second_time_is_noticed() {
    let sandbox = Sandbox::new();
    let config = command_config(&sandbox, "", "").replace("plugin = \"fs\"", "plugin = \"misbehaving\"");
    sandbox.config(&config);
    sandbox.ok(&["backup", "dump"]);
    sandbox.config(&config.replace("[storage.nas]", "[storage.nas]\nlie = \"bytes-again\""));
    sandbox.ok(&["verify", "dump"]);
    let ran = sandbox.run(&["restore", "dump", "--yes", "--mode", "replace"]);
    ran.fails_with_exit(4, "again", &["damaged"]);
    assert!(sandbox.path("started").exists(), "the first read was damaged already");
    assert!(!sandbox.path("restored").exists(), "the command saw the end of the stream");
}

/// A source that commits at end-of-file alone is fed at once, but dies before it sees the end.
#[test]
fn a_restore_command_that_commits_at_the_end_never_sees_the_end_of_a_damaged_stream() {
    let sandbox = Sandbox::new();
    sandbox.config(&command_config(&sandbox, r#"{ plugin = "zstd" }"#, "atomic = true"));
    sandbox.ok(&["backup", "dump"]);
    damage_last_byte(&sandbox.object("dump", "data.zst"));
    let ran = sandbox.run(&["restore", "dump", "--yes", "--mode", "replace"]);
    ran.fails_with_exit(4, "atomic", &["damaged"]);
    assert!(sandbox.path("started").exists(), "the command was not even started");
    assert!(!sandbox.path("restored").exists(), "the command saw the end of the stream");
    let fed = fs::metadata(sandbox.path("half")).unwrap().len();
    assert!(fed + (64 << 10) <= 3_000_000, "{fed} bytes were fed");
}

/// What is large is proved block by block: the message says in which the damage lies, and the source gets no more.
#[test]
fn damage_to_a_large_stream_is_told_by_its_place() {
    const BLOCK: usize = 16 << 20;
    let sandbox = Sandbox::new();
    sandbox.config(&command_config(&sandbox, "", "atomic = true"));
    let plain: Vec<u8> = (0..2 * BLOCK + 1000).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    sandbox.write("plain", &plain);
    sandbox.ok(&["backup", "dump"]);
    let stored = sandbox.object("dump", "data");
    let places = [
        (0, "between bytes 0 and 16777216"),
        (BLOCK - 1, "between bytes 0 and 16777216"),
        (BLOCK, "between bytes 16777216 and 33554432"),
        (2 * BLOCK, "between bytes 33554432 and 33555432"),
        (2 * BLOCK + 999, "between bytes 33554432 and 33555432"),
    ];
    for (at, place) in places {
        let mut bytes = plain.clone();
        bytes[at] ^= 1;
        fs::write(&stored, &bytes).unwrap();
        let ran = sandbox.run(&["verify", "dump"]).expect(4);
        assert!(ran.stdout.contains(place), "{at}: {}", ran.stdout);
        sandbox.run(&["restore", "dump", "--yes", "--mode", "replace"]).fails_with_exit(4, place, &[place]);
        assert!(!sandbox.path("restored").exists());
    }
    fs::write(&stored, &plain).unwrap();
    sandbox.ok(&["verify", "--full", "dump"]);
    sandbox.ok(&["restore", "dump", "--yes", "--mode", "replace"]);
    assert!(fs::read(sandbox.path("restored")).unwrap() == plain);
}

/// A pipeline that dumps a file of 3 MB, and restores it with a rename at end-of-file.
fn command_config(sandbox: &Sandbox, filters: &str, options: &str) -> String {
    let plain: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    sandbox.write("plain", plain);
    let (place, store) = (sandbox.path(""), sandbox.path("store"));
    let (place, store) = (place.display(), store.display());
    format!(
        r#"
        [source.dump]
        plugin = "command"
        dump_command = ["cat", "{place}plain"]
        restore_command = ["sh", "-c", "cd {place} && touch started && cat > half && mv half restored"]
        {options}
        [storage.nas]
        plugin = "fs"
        root = "{store}"
        [pipeline.dump]
        source = "dump"
        storage = ["nas"]
        filters = [{filters}]
        "#
    )
}

fn damage_last_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(path, bytes).unwrap();
}

fn swap(one: &Path, two: &Path) {
    let (first, second) = (fs::read(one).unwrap(), fs::read(two).unwrap());
    fs::write(one, second).unwrap();
    fs::write(two, first).unwrap();
}
