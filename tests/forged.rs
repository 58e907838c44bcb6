//! Manifests that somebody edited who may write to the storage, with a checksum that fits: nothing outside of the
//! snapshot is read or written, nothing runs that isn't installed, and the target stays as it was.

mod common;

use std::fs;

use common::shop::{Shop, sealed, sha256};
use common::{Sandbox, age_key, rows};
use serde_json::{Value, json};

type Edit = fn(&mut Value);

const ZSTD: &str = r#"{ plugin = "zstd" }"#;

#[test]
fn an_edited_manifest_without_its_checksum_is_damaged() {
    let shop = Shop::new(ZSTD);
    let text = String::from_utf8(shop.manifest()).unwrap();
    let edited = text.replace("\"which\":\"newer\"", "\"which\":\"older\"");
    assert_ne!(text, edited);
    fs::write(shop.snapshot.join("manifest.json"), edited).unwrap();
    shop.is_noticed("edited", "checksum differs", false);
    shop.is_refused("edited");
}

#[test]
fn a_tag_may_be_edited_with_the_checksum() {
    let shop = Shop::new(ZSTD);
    shop.forge(|manifest| manifest["tags"]["which"] = "older".into());
    shop.verify("--full").expect(0);
    shop.restore().expect(0);
}

/// Each of these would make a key that leaves the snapshot, or name one twice.
#[test]
fn names_that_leave_the_snapshot_are_refused() {
    let shop = Shop::new(ZSTD);
    let good = shop.manifest();
    shop.sandbox.write("store/web1/secret", "outside");
    let edits: [(&str, Edit); 12] = [
        ("stream", |m| m["streams"][0]["name"] = "../../secret".into()),
        ("stream", |m| m["streams"][0]["name"] = "/etc/passwd".into()),
        ("stream", |m| m["streams"][0]["name"] = "".into()),
        ("stream", |m| m["streams"][0]["name"] = "manifest.json".into()),
        ("suffix", |m| m["streams"][0]["filters"][0]["suffix"] = "/../../../secret".into()),
        ("suffix", |m| m["contents"]["filters"][0]["suffix"] = ".".into()),
        ("description", |m| m["contents"]["name"] = "../../secret".into()),
        ("instructions", |m| m["restore_txt"]["name"] = "../../secret".into()),
        ("host", |m| m["host"] = "..".into()),
        ("pipeline", |m| m["pipeline"] = "../web1/shop".into()),
        ("id", |m| m["id"] = "../../secret".into()),
        ("twice", |m| {
            let stream = m["streams"][0].clone();
            m["streams"].as_array_mut().unwrap().push(stream);
        }),
    ];
    for (number, (what, edit)) in edits.into_iter().enumerate() {
        let case = format!("{number}: {what}");
        shop.forge(edit);
        shop.is_noticed(&case, "manifest", false);
        shop.is_refused(&case);
        fs::write(shop.snapshot.join("manifest.json"), &good).unwrap();
    }
    assert_eq!(fs::read_to_string(shop.sandbox.path("store/web1/secret")).unwrap(), "outside");
}

#[test]
fn numbers_that_do_not_add_up_are_refused() {
    let shop = Shop::new(ZSTD);
    let good = shop.manifest();
    let edits: [Edit; 10] = [
        |m| m["streams"][0]["filters"] = json!(vec![m["streams"][0]["filters"][0].clone(); 17]),
        |m| m["streams"][0]["stored_bytes"] = json!(u64::MAX),
        |m| m["streams"][0]["stored_bytes"] = json!(0),
        |m| m["streams"][0]["stored_bytes"] = json!(-1),
        |m| m["streams"][0]["block_bytes"] = json!(0),
        |m| m["streams"][0]["block_bytes"] = json!(64),
        |m| m["streams"][0]["sha256_states"] = json!(["00"]),
        |m| m["restore_txt"]["stored_bytes"] = json!(u64::MAX),
        |m| m["streams"] = json!(null),
        |m| m["sequence"] = json!("seven"),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        shop.forge(edit);
        shop.is_noticed(&number.to_string(), "", false);
        shop.is_refused(&number.to_string());
        fs::write(shop.snapshot.join("manifest.json"), &good).unwrap();
    }
}

/// Only a decoding reader can know: a quick and a plain verify find nothing.
#[test]
fn a_wrong_hash_or_size_of_the_plain_bytes_is_noticed_when_decoding() {
    let shop = Shop::new(ZSTD);
    let good = shop.manifest();
    let edits: [Edit; 3] = [
        |m| m["streams"][0]["plain_sha256"] = "0".repeat(64).into(),
        |m| m["streams"][0]["plain_bytes"] = json!(1),
        |m| m["streams"][0]["plain_bytes"] = json!(u64::MAX),
    ];
    for (number, edit) in edits.into_iter().enumerate() {
        shop.forge(edit);
        shop.verify("").expect(0);
        let ran = shop.verify("--full").expect(4);
        assert!(ran.stdout.contains("data.zst"), "{number}: {}", ran.stdout);
        // It isn't decoded to the end of a bomb.
        let is_more = ran.stdout.contains("decodes to more than the 1 bytes");
        assert_eq!(is_more, number == 1, "{number}: {}", ran.stdout);
        shop.is_refused(&number.to_string());
        fs::write(shop.snapshot.join("manifest.json"), &good).unwrap();
    }
}

#[test]
fn a_manifest_of_another_snapshot_pipeline_or_host_is_refused() {
    let shop = Shop::new(ZSTD);
    let mine = shop.snapshot.join("manifest.json");
    fs::write(&mine, fs::read(shop.older.join("manifest.json")).unwrap()).unwrap();
    shop.is_noticed("another snapshot's", "manifest", false);
    shop.is_refused("another snapshot's");

    let config = fs::read_to_string(shop.sandbox.path("windlass.toml")).unwrap();
    let other = config.replace("[pipeline.shop]", "[pipeline.media]");
    let other = shop.sandbox.write("other.toml", other);
    shop.sandbox.ok(&["-c", other.to_str().unwrap(), "backup"]);
    fs::write(&mine, fs::read(shop.sandbox.object("media", "manifest.json")).unwrap()).unwrap();
    shop.is_noticed("another pipeline's", "media@", false);
    shop.is_refused("another pipeline's");

    shop.sandbox.ok(&["backup", "--host", "web2"]);
    let theirs = shop.sandbox.files("store/web2").into_iter().find(|file| file.ends_with("manifest.json"));
    let theirs = fs::read(shop.sandbox.path("store/web2").join(theirs.unwrap())).unwrap();
    fs::write(&mine, theirs).unwrap();
    shop.is_noticed("another host's", "web2/", false);
    shop.is_refused("another host's");
}

/// The chain comes from the manifest: it may choose among what is installed, and the hashes still decide.
#[test]
fn another_chain_of_filters_never_gets_to_the_target() {
    let shop = Shop::new(ZSTD);
    let good = shop.manifest();
    let gzip = json!({ "plugin": "windlass/gzip", "version": "0.1.0", "suffix": ".zst" });
    let through = json!({ "plugin": "windlass/misbehaving", "version": "0.1.0", "suffix": ".zst" });
    let filters = [
        json!([gzip]),
        json!([through]),
        json!([through, { "plugin": "windlass/zstd", "version": "0.1.0", "suffix": "" }, through]),
    ];
    for (number, filters) in filters.into_iter().enumerate() {
        shop.forge(|manifest| manifest["streams"][0]["filters"] = filters);
        let ran = shop.verify("--full");
        assert_eq!(ran.code, 4, "{number}: {}{}", ran.stdout, ran.stderr);
        shop.is_refused(&number.to_string());
        fs::write(shop.snapshot.join("manifest.json"), &good).unwrap();
    }
}

#[test]
fn a_filter_that_is_not_installed_is_not_looked_for_elsewhere() {
    let shop = Shop::new(ZSTD);
    let good = shop.manifest();
    let evil = shop.sandbox.write("evil/libwindlass_filter_evil.so", "\x7fELF");
    for plugin in ["evil", "windlass/evil", "../evil/evil", "evil/libwindlass_filter_evil.so", "", "/"] {
        shop.forge(|manifest| manifest["streams"][0]["filters"][0]["plugin"] = plugin.into());
        let ran = shop.restore().fails_with(plugin, &["no filter plugin"]);
        ran.says("install that plugin");
        shop.is_untouched(plugin);
        // The stored bytes are good, and that is all that can be proved.
        let ran = shop.verify("--full");
        assert!(ran.code == 3 && ran.stdout.contains("Unproved"), "{}{}", ran.stdout, ran.stderr);
        fs::write(shop.snapshot.join("manifest.json"), &good).unwrap();
    }
    assert!(evil.exists());
}

/// Options and params of the attacker: a filter gets its own params and nothing else, a source gets no options at all.
#[test]
fn options_in_a_manifest_reach_no_plugin() {
    let shop = Shop::new(ZSTD);
    let elsewhere = shop.sandbox.path("elsewhere.db");
    shop.forge(|manifest| {
        let options = json!({ "path": elsewhere, "restore_command": ["touch", elsewhere] });
        manifest["source"]["options"] = options.clone();
        manifest["options"] = options.clone();
        manifest["streams"][0]["options"] = options.clone();
        manifest["streams"][0]["filters"][0]["options"] = options.clone();
        manifest["streams"][0]["filters"][0]["params"] = options;
        manifest["source"]["plugin"] = "windlass/command".into();
    });
    shop.restore().expect(0);
    assert!(!elsewhere.exists());
    assert_eq!(rows(&shop.target.path).lines().count(), 500);
}

#[test]
fn a_stream_format_that_the_source_does_not_read_is_refused_and_says_which_it_reads() {
    let shop = Shop::new(ZSTD);
    shop.forge(|manifest| manifest["streams"][0]["stream_format"] = "shell/1".into());
    let ran = shop.restore();
    assert!(ran.code != 0, "{}", ran.stdout);
    ran.says("`shell/1`").says("It reads sqlite");
    shop.is_untouched("shell/1");
}

/// The pages of the database, called SQL: the loader meets garbage, and the target is as it was.
#[test]
fn a_stream_format_that_is_not_what_the_bytes_are_leaves_the_target_as_it_was() {
    let shop = Shop::new(ZSTD);
    shop.forge(|manifest| manifest["streams"][0]["stream_format"] = "sqlite-sql/1".into());
    let ran = shop.restore();
    assert!(ran.code != 0, "{}", ran.stdout);
    shop.is_untouched("sqlite-sql/1");
}

#[test]
fn a_snapshot_of_a_later_version_is_told_as_such() {
    let shop = Shop::new(ZSTD);
    let good = shop.manifest();
    let edits: [(&str, Edit); 2] = [
        ("format 2", |manifest| manifest["format"] = json!(2)),
        ("dedup", |manifest| manifest["requires"] = json!(["dedup"])),
    ];
    for (said, edit) in edits {
        shop.forge(edit);
        let ran = shop.restore();
        assert!(ran.code != 0);
        ran.says("later version").says(said);
        shop.is_untouched(said);
        fs::write(shop.snapshot.join("manifest.json"), &good).unwrap();
    }
}

/// Somebody who may write can put other bytes and fitting hashes in place: that is a snapshot of other content, and no
/// more than that. The source proves what it gets before it replaces anything.
#[test]
fn bytes_that_are_no_database_do_not_replace_one() {
    let shop = Shop::new("");
    let bytes = b"no database at all".repeat(5000);
    fs::write(shop.snapshot.join("data"), &bytes).unwrap();
    shop.forge(|manifest| {
        let stream = &mut manifest["streams"][0];
        stream["stored_bytes"] = json!(bytes.len());
        stream["plain_bytes"] = json!(bytes.len());
        stream["stored_sha256"] = sha256(&bytes).into();
        stream["plain_sha256"] = sha256(&bytes).into();
        stream["sha256_states"] = json!([]);
    });
    shop.verify("--full").expect(0);
    let ran = shop.restore();
    assert!(ran.code != 0, "{}", ran.stdout);
    shop.is_untouched("no database");
}

/// What the format itself proves: an attacker who makes all hashes fit still can't move, drop or exchange a part of an
/// encrypted stream, and gets no stream of another snapshot in beside the encrypted description.
#[test]
fn an_encrypted_stream_that_was_put_together_anew_with_fitting_hashes_is_refused() {
    let scratch = Sandbox::new();
    let (identity, public) = age_key(&scratch, "key.txt");
    let shop = Shop::new(&format!("{{ plugin = \"age\", recipients = [\"{public}\"] }}"));
    let key = ["--identity", identity.to_str().unwrap()];
    let (object, good) = (shop.snapshot.join("data.age"), shop.manifest());
    let (stored, older) = (fs::read(&object).unwrap(), fs::read(shop.older.join("data.age")).unwrap());
    let name = shop.name();
    let restore = || {
        let restore = ["restore", &name, "--mode", "replace", "--yes"];
        shop.sandbox.run(&[&restore[..], &key].concat())
    };
    let (head, (one, rest)) = (header(&stored), payload(&stored).split_at(CHUNK));
    let (two, rest) = rest.split_at(CHUNK);
    let foreign = &payload(&older)[..CHUNK];
    let cases = [
        ("reordered", [head, two, one, rest].concat()),
        ("doubled", [head, one, one, rest].concat()),
        ("left out", [head, two, rest].concat()),
        ("cut at a chunk", [head, one].concat()),
        ("spliced", [head, foreign, two, rest].concat()),
        ("of another snapshot", older.clone()),
    ];
    for (case, bytes) in cases {
        assert_ne!(bytes, stored, "{case}");
        fs::write(&object, &bytes).unwrap();
        shop.forge(|manifest| {
            let stream = &mut manifest["streams"][0];
            stream["stored_bytes"] = json!(bytes.len());
            stream["stored_sha256"] = sha256(&bytes).into();
            stream["sha256_states"] = json!([]);
        });
        shop.verify("").expect(0);
        shop.sandbox.run(&[&["verify", &name, "--full"][..], &key].concat()).expect(4);
        restore().expect(4);
        shop.is_untouched(case);
        fs::write(shop.snapshot.join("manifest.json"), &good).unwrap();
    }
    fs::write(&object, stored).unwrap();
    restore().expect(0);
}

/// What `age` encrypts at a time, with its tag.
const CHUNK: usize = 65_536 + 16;

/// The header and the nonce of a stream that `age` encrypted.
fn header(stored: &[u8]) -> &[u8] {
    let mac = stored.windows(5).position(|bytes| bytes == b"\n--- ").unwrap() + 1;
    let line = stored[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1;
    &stored[..mac + line + 16]
}

/// The chunks behind them.
fn payload(stored: &[u8]) -> &[u8] {
    &stored[header(stored).len()..]
}

/// Not a list of streams but a bomb: read within bounds, and told as damage.
#[test]
fn a_manifest_that_is_deeply_nested_or_huge_is_damaged() {
    let shop = Shop::new("");
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    fs::write(shop.snapshot.join("manifest.json"), format!("{{\"manifest\":{deep},\"sha256\":\"\"}}"))
        .unwrap();
    shop.is_noticed("deep", "manifest", false);
    shop.is_refused("deep");
    let huge = fs::File::create(shop.snapshot.join("manifest.json")).unwrap();
    huge.set_len(300 << 20).unwrap();
    shop.is_noticed("huge", "manifest", false);
    shop.is_refused("huge");
    fs::write(shop.snapshot.join("manifest.json"), sealed(&json!({}))).unwrap();
    shop.is_noticed("empty", "manifest", false);
    shop.is_refused("empty");
}
