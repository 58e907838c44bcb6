//! Encrypted snapshots from end to end: machines without a private key, keys that rotate, restores by hand.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::by_hand::{commands, sh, sh_with, taken};
use common::{Sandbox, age_key as key, binary, database, fill, rows};
use serde_json::Value;

/// A new ssh key, locked with `passphrase`.
fn ssh_key(sandbox: &Sandbox, name: &str, passphrase: &str) -> (PathBuf, String) {
    let path = sandbox.path(name);
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(&path).status();
    assert!(made.expect("`ssh-keygen` is needed: `make setup`").success());
    (path.clone(), fs::read_to_string(path.with_extension("pub")).unwrap().trim().to_owned())
}

/// The config of a machine that makes backups: `pipeline` with `filters`.
fn pipeline(name: &str, filters: &str) -> String {
    format!(
        "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
         [pipeline.{name}]\nsource = \"it\"\nstorage = [\"fs:store\"]\nfilters = [{filters}]\n"
    )
}

fn to(recipient: &str) -> String {
    format!("\"zstd\", {{ plugin = \"age\", recipients = [\"{recipient}\"] }}")
}

/// The rows of `list` with these arguments.
fn listed(sandbox: &Sandbox, arguments: &[&str]) -> Vec<Value> {
    let arguments = [&["--json", "list"], arguments].concat();
    let text = sandbox.ok(&arguments);
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| row["type"] == "snapshot").collect()
}

/// The newest snapshot of `pipeline`, as `restore` names it, and the rows that it holds.
fn backup(sandbox: &Sandbox, pipeline: &str) -> (String, String) {
    sandbox.ok(&["backup"]);
    let all = listed(sandbox, &[pipeline]);
    (all.last().unwrap()["snapshot"].as_str().unwrap().to_owned(), rows(&sandbox.path("shop.db")))
}

#[test]
fn three_generations_of_keys_codecs_and_names_still_list_and_restore() {
    let sandbox = Sandbox::new();
    let shop = database(&sandbox.path("shop.db"), "wal", 20);
    let (first, first_public) = key(&sandbox, "first.txt");
    let (second, second_public) = key(&sandbox, "second.txt");
    let mut generations = Vec::new();
    for (name, filters) in [
        ("shop", format!("{}, {{ plugin = \"gzip\", level = 1 }}", to(&first_public))),
        (
            "shop",
            format!("\"gzip\", {{ plugin = \"age\", armor = true, recipients = [\"{second_public}\"] }}"),
        ),
        ("store", to(&second_public)),
    ] {
        sandbox.config(&pipeline(name, &filters));
        fill(&shop, 5);
        generations.push(backup(&sandbox, name));
    }
    // No pipeline is left; of the keys, one is a secret and one a file.
    sandbox.config("[decode.age]\nidentities = [{ file = \"first.txt\" }]\nidentity_files = [\"second.txt\"]\n[storage.store]\nplugin = \"fs\"\nroot = \"store\"\n");
    assert_eq!(listed(&sandbox, &[]).len(), 3);
    for (number, (snapshot, then)) in generations.iter().enumerate() {
        let target = format!("{number}.db");
        sandbox.ok(&["restore", snapshot, "--to", &format!("sqlite:{target}")]);
        assert_eq!(rows(&sandbox.path(&target)), *then, "{snapshot}");
        sandbox.ok(&["verify", snapshot, "--full"]);
    }
    // And with no config at all.
    fs::remove_file(sandbox.path("windlass.toml")).unwrap();
    let keys = ["--identity", first.to_str().unwrap(), "--identity", second.to_str().unwrap()];
    for (number, (snapshot, then)) in generations.iter().enumerate() {
        let target = format!("bare-{number}.db");
        let to = format!("sqlite:{target}");
        sandbox.ok(&[&["restore", snapshot, "--storage", "fs:store", "--to", &to][..], &keys].concat());
        assert_eq!(rows(&sandbox.path(&target)), *then, "{snapshot}");
    }
}

#[test]
fn a_machine_without_a_private_key_backs_up_lists_and_verifies_and_only_a_restore_needs_it() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 50);
    let (identity, public) = key(&sandbox, "key.txt");
    let away = sandbox.path("away");
    fs::rename(&identity, &away).unwrap();
    // The config may name a key that isn't there: only a restore needs it.
    let config = pipeline("shop", &to(&public));
    for (key, why) in [
        ("", "there is no identity"),
        ("identities = { file = \"key.txt\" }", "key.txt"),
        ("identities = [{ env = \"NO_SUCH_KEY\" }]", "NO_SUCH_KEY"),
        ("identities = [{ command = [\"false\"] }]", "false"),
        ("identity_files = [\"nowhere/key.txt\"]", "nowhere/key.txt"),
    ] {
        sandbox.config(&format!("{config}[decode.age]\n{key}\n"));
        let checked = sandbox.run(&["check"]).expect(0);
        checked.prints("can't prove that it can be decoded, no identity here").prints(why);
        sandbox.ok(&["backup"]);
        sandbox.ok(&["list"]);
        sandbox.ok(&["show", "shop"]);
        sandbox.ok(&["verify"]);
        sandbox.ok(&["verify", "--quick"]);
    }
    sandbox.config(&config);
    let checked = sandbox.ok(&["check"]);
    assert!(checked.contains("can't prove that it can be decoded, no identity here"), "{checked}");
    let full = sandbox.run(&["verify", "shop", "--full"]).expect(3);
    let told = format!("{}{}", full.stdout, full.stderr);
    assert!(told.contains("only the stored bytes could be proved"), "{told}");
    let restored = sandbox.run(&["restore", "shop", "--to", "sqlite:new.db"]).expect(1);
    restored.says("there is no identity to decrypt it with").says("--identity FILE").says(&public[..16]);
    assert!(!sandbox.path("new.db").exists());

    let identity = away.to_str().unwrap();
    sandbox.ok(&["verify", "shop", "--full", "--identity", identity]);
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db", "--identity", identity]);
    assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")));
    sandbox.config(&format!("{config}[decode.age]\nidentity_files = [\"away\"]\n"));
    let checked = sandbox.ok(&["check"]);
    assert!(checked.contains("a sample came back"), "{checked}");
    sandbox.run(&["restore", "shop", "--identity", "gone.txt"]).expect(2).says("gone.txt");

    // Another machine, with the config of this one and one of its keys.
    sandbox.config(&format!("{config}[decode.age]\nidentity_files = [\"gone.txt\"]\n"));
    sandbox.run(&["restore", "shop", "--to", "sqlite:third.db"]).expect(2).says("gone.txt");
    sandbox.ok(&["restore", "shop", "--to", "sqlite:third.db", "--identity", identity]);
    assert_eq!(rows(&sandbox.path("third.db")), rows(&sandbox.path("shop.db")));
}

#[test]
fn damage_is_found_without_a_key_and_told_as_damage_with_one() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 300);
    let (_, public) = key(&sandbox, "key.txt");
    sandbox.config(&pipeline("shop", &to(&public)));
    sandbox.ok(&["backup"]);
    let object = sandbox.object("shop", "data.zst.age");
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, bytes).unwrap();
    sandbox.run(&["verify", "shop"]).expect(4);
    let full = sandbox.run(&["verify", "shop", "--full"]).expect(4);
    assert!(format!("{}{}", full.stdout, full.stderr).contains("data.zst.age"), "{full:?}");
    sandbox.run(&["verify", "shop", "--full", "--identity", "key.txt"]).expect(4);
    sandbox.run(&["restore", "shop", "--to", "sqlite:new.db", "--identity", "key.txt"]).expect(4);
    assert!(!sandbox.path("new.db").exists());
}

#[test]
fn a_wrong_key_restores_nothing_and_no_message_holds_a_secret() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let (_, public) = key(&sandbox, "key.txt");
    let (wrong, _) = key(&sandbox, "wrong.txt");
    sandbox.config(&pipeline("shop", &to(&public)));
    sandbox.ok(&["backup"]);
    let secret = fs::read_to_string(&wrong).unwrap().lines().last().unwrap().to_owned();
    sandbox.config(&format!(
        "{}[decode.age]\nidentities = [\"{secret}\"]\npassphrases = [\"hunter2hunter2\"]\n",
        pipeline("shop", &to(&public))
    ));
    for json in [false, true] {
        let mut arguments = vec!["-vvv", "restore", "shop", "--to", "sqlite:new.db"];
        arguments.extend(json.then_some("--json"));
        let ran = sandbox.run(&arguments).expect(1);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains("none of the 1 identities opens it"), "{told}");
        assert!(!told.contains(&secret[20..]) && !told.contains("hunter2"), "{told}");
    }
    assert!(!sandbox.path("new.db").exists());
    let shown = sandbox.ok(&["config", "show"]);
    assert!(!shown.contains(&secret[20..]), "{shown}");
}

#[test]
fn the_manifest_names_recipients_by_fingerprints_and_says_nothing_of_the_content() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let (_, public) = key(&sandbox, "key.txt");
    let (_, other) = key(&sandbox, "other.txt");
    let (_, ssh) = ssh_key(&sandbox, "ssh", "");
    sandbox.config(&pipeline(
        "shop",
        &format!("{{ plugin = \"age\", recipients = [\"{public}\", \"{ssh}\"] }}"),
    ));
    sandbox.ok(&["backup"]);
    sandbox.config(&pipeline("shop", &to(&other)));
    sandbox.ok(&["backup"]);
    sandbox.config(&pipeline("shop", ""));
    sandbox.ok(&["backup"]);
    let told = Command::new("ssh-keygen").arg("-lf").arg(sandbox.path("ssh.pub")).output().unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    let ssh_fingerprint = told.split(' ').nth(1).unwrap();
    // With a comment behind it, and without.
    let bare = &ssh[..ssh.rfind(' ').unwrap()];
    assert!(bare.starts_with("ssh-ed25519 AAAA") && ssh.len() > bare.len());
    let both: Vec<Value> = listed(&sandbox, &["shop", "--encrypted-to", &public]);
    assert_eq!(both.len(), 1);
    let recipients: Vec<&str> =
        both[0]["recipients"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    assert_eq!(recipients, [&ssh_fingerprint[..23], &public[..16]]);
    for (fingerprint, count) in [
        (&public[..16], 1),
        (ssh_fingerprint, 1),
        (&ssh, 1),
        (bare, 1),
        (&other, 1),
        ("age1", 2),
        ("age1zzzz", 0),
    ] {
        assert_eq!(listed(&sandbox, &["--encrypted-to", fingerprint]).len(), count, "{fingerprint}");
    }
    // What fits nothing is told: a typo looks the same.
    let told = ["there is no snapshot encrypted to", "begin"];
    for nobody in ["age1zzzz", "ssh-ed25519 nonsense", "alice@example.org"] {
        told.iter()
            .fold(sandbox.run(&["list", "--encrypted-to", nobody]).expect(0), |ran, text| ran.says(text));
    }
    let ran = sandbox.run(&["list", "--encrypted-to", &public[..16]]).expect(0);
    assert!(!ran.stderr.contains("encrypted to"), "{ran:?}");
    let shown = sandbox.ok(&["--json", "show", both[0]["snapshot"].as_str().unwrap()]);
    assert!(!shown.contains("plain_sha256") && !shown.contains(&public[..20]), "{shown}");
}

/// The first command of RESTORE.txt of the newest snapshot of `shop`, whose folder is copied to `hand`.
fn by_hand(sandbox: &Sandbox, hand: &str) -> (PathBuf, String) {
    let hand = taken(sandbox, "shop", hand);
    let command = commands(&hand).0.remove(0);
    (hand, command)
}

#[test]
fn a_snapshot_comes_back_by_hand_with_each_kind_of_key() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let (identity, public) = key(&sandbox, "key.txt");
    let (ssh, ssh_public) = ssh_key(&sandbox, "ssh", "");
    let both = format!("recipients = [\"{public}\", \"{ssh_public}\"]");
    for (number, filters) in [
        format!("\"zstd\", {{ plugin = \"age\", {both} }}"),
        format!("{{ plugin = \"age\", {both}, armor = true }}, \"gzip\""),
    ]
    .iter()
    .enumerate()
    {
        sandbox.config(&pipeline("shop", filters));
        sandbox.ok(&["backup"]);
        let (hand, command) = by_hand(&sandbox, &format!("hand-{number}"));
        assert!(command.contains("age -d -i"), "{command}");
        for key in [&identity, &ssh] {
            sh_with(&hand, &command, &[("AGE_IDENTITY", key.clone())]);
            assert_eq!(rows(&hand.join("shop.db")), rows(&sandbox.path("shop.db")));
            fs::remove_file(hand.join("shop.db")).unwrap();
        }
        // Without the variable it is `key.txt` beside the files.
        fs::copy(&identity, hand.join("key.txt")).unwrap();
        sh(&hand, &command);
        assert_eq!(rows(&hand.join("shop.db")), rows(&sandbox.path("shop.db")));
    }
}

#[test]
fn a_passphrase_is_asked_for_once_on_a_terminal_and_only_where_nothing_else_opens_it() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let (ssh, public) = ssh_key(&sandbox, "ssh", "open sesame");
    let (_, plain) = key(&sandbox, "key.txt");
    let folder = sandbox.path("");
    let locked = format!("{{ plugin = \"age\", recipients = [\"{public}\", \"{plain}\"] }}");
    let closed = "{ plugin = \"age\", work_factor = 10, passphrase = \"open sesame\" }".to_owned();
    for (filters, identity) in [(locked, format!("--identity {}", ssh.display())), (closed, String::new())] {
        sandbox.config(&pipeline("shop", &filters));
        sandbox.ok(&["backup"]);
        let restore = format!("{} restore shop --mode replace --yes --to sqlite:new.db {identity}", binary());
        let ran = sandbox.on_terminal(&folder, &restore, "open sesame\n").expect(0);
        assert_eq!(ran.stdout.matches("Passphrase to decrypt with").count(), 1, "{}", ran.stdout);
        assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")));
        fs::remove_file(sandbox.path("new.db")).unwrap();
        sandbox.on_terminal(&folder, &restore, "open barley\n").expect(1);
        assert!(!sandbox.path("new.db").exists());
        // Nobody to ask: an error, and no waiting.
        let arguments: Vec<&str> = restore.split(' ').skip(1).filter(|word| !word.is_empty()).collect();
        sandbox.run(&arguments).expect(1).says("passphrase");
    }
    // A key that needs no passphrase: nobody is asked.
    sandbox.config(&pipeline("shop", &to(&plain)));
    sandbox.ok(&["backup"]);
    let restore = format!("{} restore shop --to sqlite:new.db --identity key.txt", binary());
    let ran = sandbox.on_terminal(&folder, &restore, "").expect(0);
    assert!(!ran.stdout.contains("Passphrase"), "{}", ran.stdout);
}

#[test]
fn a_snapshot_under_a_passphrase_comes_back_by_hand_and_by_the_config() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    sandbox.write("passphrase", "open sesame\n");
    let filters = "\"zstd\", { plugin = \"age\", work_factor = 10, passphrase = { file = \"passphrase\" } }";
    let config = pipeline("shop", filters);
    sandbox.config(&format!(
        "{config}[decode.age]\npassphrases = [\"an older one\", {{ file = \"passphrase\" }}]\n"
    ));
    sandbox.ok(&["backup"]);
    sandbox.ok(&["verify", "--full"]);
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db"]);
    assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")));
    let (hand, command) = by_hand(&sandbox, "hand");
    let manifest = fs::read_to_string(hand.join("manifest.json")).unwrap();
    assert!(
        manifest.contains("\"recipients\":[\"passphrase\"]") && !manifest.contains("sesame"),
        "{manifest}"
    );
    fs::write(hand.join("restore.sh"), command).unwrap();
    sandbox.on_terminal(&hand, "sh restore.sh", "open sesame\n").expect(0);
    assert_eq!(rows(&hand.join("shop.db")), rows(&sandbox.path("shop.db")));
}

#[test]
fn a_bare_encrypted_stream_is_restored_with_an_identity() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 20);
    let (_, public) = key(&sandbox, "key.txt");
    sandbox.config(&pipeline("shop", &to(&public)));
    sandbox.ok(&["backup"]);
    fs::copy(sandbox.object("shop", "data.zst.age"), sandbox.path("data.zst.age")).unwrap();
    fs::remove_file(sandbox.path("windlass.toml")).unwrap();
    let restore = ["restore", "--input", "data.zst.age", "--to", "sqlite:new.db"];
    sandbox.run(&restore).expect(1).says("no identity");
    sandbox.ok(&[&restore[..], &["--identity", "key.txt"]].concat());
    assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")));
}

#[test]
fn keys_in_the_config_that_make_no_sense_are_told_by_every_command() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "wal", 5);
    let (_, public) = key(&sandbox, "key.txt");
    for (filters, decode, told) in [
        (to("age1nonsense"), "", "recipient 1 isn't a recipient"),
        (to(&public), "[decode.age]\nidentites = [\"x\"]\n", "identities"),
        (to(&public), "[decode.aeg]\nidentities = [\"x\"]\n", "aeg"),
    ] {
        sandbox.config(&format!("{}{decode}", pipeline("shop", &filters)));
        sandbox.run(&["backup"]).expect(2).says(told);
        assert_eq!(sandbox.files("store"), Vec::<String>::new());
    }
    // A private key that isn't one: a machine that restores should know before it needs it.
    sandbox.write("broken.txt", "AGE-SECRET-KEY-1BROKEN\n");
    for files in ["\"broken.txt\"", "\"gone.txt\", \"broken.txt\""] {
        let decode = format!("[decode.age]\nidentity_files = [{files}]\n");
        sandbox.config(&format!("{}{decode}", pipeline("shop", &to(&public))));
        let checked = sandbox.run(&["check"]).expect(2);
        let told = format!("{}{}", checked.stdout, checked.stderr);
        assert!(told.contains("broken.txt") && !told.contains("1BROKEN"), "{told}");
    }
}
