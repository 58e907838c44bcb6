//! Snapshots encrypted with OpenPGP from end to end: with keys that `gpg` made, restored with and without Windlass.

mod common;

use std::fs;
use std::process::Command;

use common::by_hand::{commands, sh_with, taken};
use common::gpg::Gpg;
use common::{Ran, Sandbox, binary, database, rows};
use serde_json::Value;

/// The config of a machine that makes backups, and what follows it.
fn config(sandbox: &Sandbox, filters: &str, more: &str) {
    sandbox.config(&format!(
        "[source.it]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
         [pipeline.shop]\nsource = \"it\"\nstorage = [\"fs:store\"]\nfilters = [{filters}]\n{more}"
    ));
}

const TO_KEY: &str = "\"zstd\", { plugin = \"openpgp\", recipient_files = [\"key.pub\"] }";

/// A database, a key, and a snapshot that is encrypted to it.
fn backed_up(filters: &str) -> (Sandbox, Gpg, String) {
    let (sandbox, gpg) = (Sandbox::new(), Gpg::new());
    database(&sandbox.path("shop.db"), "wal", 50);
    let fingerprint = gpg.key(&sandbox.path(""), "key", "");
    config(&sandbox, filters, "");
    sandbox.ok(&["backup"]);
    (sandbox, gpg, fingerprint)
}

fn is_restored(sandbox: &Sandbox, target: &str) {
    assert_eq!(rows(&sandbox.path(target)), rows(&sandbox.path("shop.db")), "{target}");
    fs::remove_file(sandbox.path(target)).unwrap();
}

#[test]
fn a_machine_with_public_keys_alone_backs_up_lists_and_verifies_and_only_a_restore_needs_the_private_one() {
    let (sandbox, _gpg, fingerprint) = backed_up(TO_KEY);
    let listed = |recipient: &str| {
        let text = sandbox.ok(&["--json", "list", "--encrypted-to", recipient]);
        text.lines().filter(|line| serde_json::from_str::<Value>(line).unwrap()["type"] == "snapshot").count()
    };
    assert_eq!((listed(&fingerprint), listed(&fingerprint[..16]), listed("0123456789ABCDEF")), (1, 1, 0));
    sandbox.ok(&["verify"]);
    let checked = sandbox.ok(&["check"]);
    assert!(checked.contains("can't prove that it can be decoded, no identity here"), "{checked}");
    let full = sandbox.run(&["verify", "shop", "--full"]).expect(3);
    let told = format!("{}{}", full.stdout, full.stderr);
    assert!(told.contains("only the stored bytes could be proved"), "{told}");
    let restored = sandbox.run(&["restore", "shop", "--to", "sqlite:new.db"]).expect(1);
    restored.says("there is no identity").says("--identity FILE").says(&fingerprint[..16]);
    assert!(!sandbox.path("new.db").exists());

    sandbox.ok(&["verify", "shop", "--full", "--identity", "key.sec"]);
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db", "--identity", "key.sec"]);
    is_restored(&sandbox, "new.db");
    config(&sandbox, TO_KEY, "[decode.gpg]\nidentity_files = [\"key.sec\"]\n");
    let checked = sandbox.ok(&["check"]);
    assert!(checked.contains("a sample came back"), "{checked}");
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db"]);
    is_restored(&sandbox, "new.db");
    // No config at all.
    fs::remove_file(sandbox.path("windlass.toml")).unwrap();
    let bare = ["restore", "shop", "--storage", "fs:store", "--to", "sqlite:new.db", "--identity", "key.sec"];
    sandbox.ok(&bare);
    is_restored(&sandbox, "new.db");
}

#[test]
fn a_wrong_key_restores_nothing_and_no_message_holds_a_secret() {
    let (sandbox, gpg, _) = backed_up(TO_KEY);
    gpg.key(&sandbox.path(""), "wrong", "hunter2hunter2");
    let more = "[decode.openpgp]\nidentities = [{ file = \"wrong.sec\" }]\npassphrases = [\"hunter2hunter2\", \"swordfish\"]\n";
    config(&sandbox, TO_KEY, more);
    let secret = fs::read_to_string(sandbox.path("wrong.sec")).unwrap();
    let secret = secret.lines().nth(4).unwrap();
    for arguments in [["-vvv", "restore"], ["--json", "restore"]] {
        let arguments = [&arguments[..], &["shop", "--to", "sqlite:new.db"]].concat();
        let ran = sandbox.run(&arguments).expect(1);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains("none of the 1 identities opens it"), "{told}");
        for text in [secret, "hunter2", "swordfish"] {
            assert!(!told.contains(text), "{told}");
        }
    }
    assert!(!sandbox.path("new.db").exists());
    let shown = sandbox.ok(&["config", "show"]);
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn damage_is_found_without_a_key_and_told_as_damage_with_one() {
    let (sandbox, _gpg, _) = backed_up(TO_KEY);
    let object = sandbox.object("shop", "data.zst.gpg");
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, &bytes).unwrap();
    sandbox.run(&["verify", "shop"]).expect(4);
    sandbox.run(&["verify", "shop", "--full", "--identity", "key.sec"]).expect(4);
    sandbox.run(&["restore", "shop", "--to", "sqlite:new.db", "--identity", "key.sec"]).expect(4);
    // A bare stream has no hash of ours: its own must tell.
    sandbox.write("data.zst.gpg", &bytes);
    let bare = ["restore", "--input", "data.zst.gpg", "--to", "sqlite:new.db", "--identity", "key.sec"];
    sandbox.run(&bare).expect(4);
    assert!(!sandbox.path("new.db").exists());
}

#[test]
fn keys_that_make_no_sense_are_told_before_anything_is_stored() {
    let (sandbox, gpg) = (Sandbox::new(), Gpg::new());
    database(&sandbox.path("shop.db"), "wal", 5);
    gpg.key(&sandbox.path(""), "key", "");
    let then = ["--faked-system-time", "20200101T000000", "--passphrase", ""];
    gpg.run(
        &[&then[..], &["--quick-generate-key", "old@example.org", "rsa2048", "default", "1y"]].concat(),
        b"",
    );
    sandbox.write("ring.gpg", gpg.run(&["--export"], b""));
    let curve = gpg.key_of("secp256k1", &sandbox.path(""), "curve", "");
    gpg.run(&["--passphrase", "", "--quick-add-key", &curve, "secp256k1", "encr", "never"], b"");
    sandbox.write("curve.pub", gpg.run(&["--armor", "--export", "curve@example.org"], b""));
    for (options, told) in [
        ("recipients = [\"nonsense\"]", "recipient 1 is neither a key nor the name of one"),
        ("recipients = [\"old@example.org\"], keyring = [\"ring.gpg\"]", "expired"),
        ("recipients = [\"gone@example.org\"], keyring = [\"ring.gpg\"]", "is in no file of `keyring`"),
        ("recipient_files = [\"key.sec\"]", "is a private key"),
        ("recipient_files = [\"gone.pub\"]", "gone.pub"),
        ("recipient_file = [\"key.pub\"]", "recipient_files"),
        ("recipient_files = [\"key.pub\"], sign_with = \"nonsense\"", "`sign_with` holds no OpenPGP key"),
        ("recipient_files = [\"curve.pub\"]", "a key of a kind that isn't supported: secp256k1"),
    ] {
        config(&sandbox, &format!("{{ plugin = \"openpgp\", {options} }}"), "");
        let ran = sandbox.run(&["backup"]).expect(2).says(told);
        assert!(ran.stderr.lines().count() <= 3, "the library tells nothing beside: {}", ran.stderr);
        assert_eq!(sandbox.files("store"), Vec::<String>::new(), "{options}");
    }
    // A key that isn't one: a machine that restores should know before it needs it.
    sandbox.write("broken.sec", "-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nSECRETSTUFF\n");
    config(&sandbox, TO_KEY, "[decode.openpgp]\nidentity_files = [\"broken.sec\"]\n");
    let checked = sandbox.run(&["check"]).expect(2);
    let told = format!("{}{}", checked.stdout, checked.stderr);
    assert!(told.contains("broken.sec") && !told.contains("SECRETSTUFF"), "{told}");
}

#[test]
fn what_was_not_signed_by_one_of_the_signers_is_not_restored() {
    let (sandbox, gpg, _) = backed_up(TO_KEY);
    gpg.key(&sandbox.path(""), "signer", "sign it");
    let checks = "[decode.openpgp]\nidentity_files = [\"key.sec\"]\nsigner_files = [\"signer.pub\"]\n";
    config(&sandbox, TO_KEY, checks);
    let restore = ["restore", "shop", "--to", "sqlite:new.db"];
    sandbox.run(&restore).expect(4).says("isn't signed");
    assert!(!sandbox.path("new.db").exists());
    let signed = "{ plugin = \"openpgp\", recipient_files = [\"key.pub\"], sign_with = { file = \"signer.sec\" }, sign_passphrase = \"sign it\" }";
    config(&sandbox, signed, checks);
    sandbox.ok(&["backup"]);
    sandbox.ok(&restore);
    is_restored(&sandbox, "new.db");
}

#[test]
fn a_snapshot_comes_back_by_hand_with_gpg_alone() {
    let armored = "{ plugin = \"openpgp\", recipient_files = [\"key.pub\"], armor = true }, \"gzip\"";
    for (number, filters) in [TO_KEY, armored].into_iter().enumerate() {
        let (sandbox, gpg, _) = backed_up(filters);
        let hand = taken(&sandbox, "shop", &format!("hand-{number}"));
        let (commands, _) = commands(&hand);
        let command = &commands[0];
        assert!(command.contains("gpg -d"), "{command}");
        // Somebody who has the key in a file, and somebody whose `gpg` knows it.
        let new = Gpg::new();
        let file = sandbox.path("key.sec");
        let home = |gpg: &Gpg| ("GNUPGHOME", gpg.home().to_owned());
        for environment in [&[home(&new), ("OPENPGP_KEY", file.clone())][..], &[home(&gpg)]] {
            sh_with(&hand, command, environment);
            assert_eq!(rows(&hand.join("shop.db")), rows(&sandbox.path("shop.db")));
            fs::remove_file(hand.join("shop.db")).unwrap();
        }
    }
}

#[test]
fn a_file_that_gpg_made_is_restored() {
    let (sandbox, gpg) = (Sandbox::new(), Gpg::new());
    database(&sandbox.path("shop.db"), "delete", 50);
    gpg.key(&sandbox.path(""), "key", "open sesame");
    let gzip = Command::new("gzip").args(["-c", "shop.db"]).current_dir(sandbox.path("")).output().unwrap();
    let encrypt = ["--encrypt", "-r", "key@example.org"];
    sandbox.write("old.dump.gz.gpg", gpg.run(&encrypt, &gzip.stdout));
    sandbox.write("old.asc", gpg.run(&[&encrypt[..], &["--armor"]].concat(), &gzip.stdout));
    sandbox.config("[decode.openpgp]\nidentity_files = [\"key.sec\"]\npassphrases = [\"open sesame\"]\n");
    for arguments in [
        &["--input", "old.dump.gz.gpg"][..],
        &["--input", "old.dump.gz.gpg", "--decode", "gzip,openpgp"],
        &["--input", "old.asc", "--decode", "gzip,gpg"],
    ] {
        sandbox.ok(&[&["restore"], arguments, &["--to", "sqlite:new.db"]].concat());
        is_restored(&sandbox, "new.db");
    }
}

#[test]
fn a_passphrase_opens_what_it_closed_and_the_manifest_says_nothing_of_it() {
    let (sandbox, gpg) = (Sandbox::new(), Gpg::new());
    database(&sandbox.path("shop.db"), "wal", 20);
    sandbox.write("passphrase", "open sesame\n");
    config(
        &sandbox,
        "\"zstd\", { plugin = \"openpgp\", passphrase = { file = \"passphrase\" } }",
        "[decode.openpgp]\npassphrases = [\"an older one\", { file = \"passphrase\" }]\n",
    );
    sandbox.ok(&["backup"]);
    sandbox.ok(&["verify", "--full"]);
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db"]);
    is_restored(&sandbox, "new.db");
    let manifest = fs::read_to_string(sandbox.object("shop", "manifest.json")).unwrap();
    assert!(
        manifest.contains("\"recipients\":[\"passphrase\"]") && !manifest.contains("sesame"),
        "{manifest}"
    );
    let stored = fs::read(sandbox.object("shop", "data.zst.gpg")).unwrap();
    let zstd = gpg.run(&["--passphrase", "open sesame", "-d"], &stored);
    assert!(zstd.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
}

#[test]
fn a_passphrase_is_asked_for_once_on_a_terminal_and_only_where_nothing_else_opens_it() {
    let (sandbox, gpg, _) = backed_up(TO_KEY);
    gpg.key(&sandbox.path(""), "locked", "open sesame");
    config(
        &sandbox,
        "\"zstd\", { plugin = \"openpgp\", recipient_files = [\"key.pub\", \"locked.pub\"] }",
        "",
    );
    sandbox.ok(&["backup"]);
    let restore = format!("{} restore shop --to sqlite:new.db --identity", binary());
    let ran =
        sandbox.on_terminal(&sandbox.path(""), &format!("{restore} locked.sec"), "open sesame\n").expect(0);
    assert_eq!(ran.stdout.matches("Passphrase to decrypt with").count(), 1, "{}", ran.stdout);
    is_restored(&sandbox, "new.db");
    sandbox.on_terminal(&sandbox.path(""), &format!("{restore} locked.sec"), "open barley\n").expect(1);
    assert!(!sandbox.path("new.db").exists());
    let ran = sandbox
        .on_terminal(&sandbox.path(""), &format!("{restore} locked.sec --identity key.sec"), "")
        .expect(0);
    assert!(!ran.stdout.contains("Passphrase"), "{}", ran.stdout);
    is_restored(&sandbox, "new.db");
    // Nobody to ask: an error, and no waiting.
    let arguments = ["restore", "shop", "--to", "sqlite:new.db", "--identity", "locked.sec"];
    sandbox.run(&arguments).expect(1).says("needs a passphrase");
}

#[test]
fn private_keys_come_from_the_environment_from_a_program_and_from_a_file() {
    let (sandbox, gpg, _) = backed_up(TO_KEY);
    gpg.key_of("future-default", &sandbox.path(""), "wrong", "");
    let secret = fs::read_to_string(sandbox.path("key.sec")).unwrap();
    let restore = ["-vv", "restore", "shop", "--to", "sqlite:new.db"];
    for identity in
        ["{ env = \"OPENPGP_SECRET\" }", "{ command = [\"cat\", \"key.sec\"] }", "{ file = \"key.sec\" }"]
    {
        let more = format!("[decode.openpgp]\nidentities = [{{ file = \"wrong.sec\" }}, {identity}]\n");
        config(&sandbox, TO_KEY, &more);
        let ran =
            Ran::of(sandbox.command(&restore).env("OPENPGP_SECRET", &secret).output().unwrap()).expect(0);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(
            secret.lines().skip(2).all(|line| line.len() < 16 || !told.contains(line)),
            "{identity}: {told}"
        );
        is_restored(&sandbox, "new.db");
    }
    config(&sandbox, TO_KEY, "[decode.openpgp]\nidentities = [{ env = \"OPENPGP_SECRET\" }]\n");
    sandbox.run(&restore).expect(2).says("OPENPGP_SECRET");
    assert!(!sandbox.path("new.db").exists());
}

#[test]
fn a_stream_to_a_key_of_a_kind_that_is_not_supported_is_not_called_damaged() {
    let (sandbox, gpg) = (Sandbox::new(), Gpg::new());
    database(&sandbox.path("shop.db"), "delete", 5);
    let fingerprint = gpg.key_of("brainpoolP256r1", &sandbox.path(""), "key", "");
    let subkey = ["--passphrase", "", "--quick-add-key", &fingerprint, "brainpoolP256r1", "encr", "never"];
    gpg.run(&subkey, b"");
    sandbox.write("key.sec", gpg.run(&["--passphrase", "", "--export-secret-keys"], b""));
    sandbox.write("old.gpg", gpg.run(&["-e", "-r", "key@example.org"], b"a database"));
    let restore = ["restore", "--input", "old.gpg", "--to", "sqlite:new.db", "--identity", "key.sec"];
    sandbox.run(&restore).expect(1).says("supported: brainpoolP256r1").says("`gpg -d`");
    assert!(!sandbox.path("new.db").exists());
}

/// Every 16 bytes of the secret numbers in what `gpg --export-secret-keys` wrote of an unlocked key, as hexadecimal digits:
/// they are the end of each packet of a private key, behind the public part and an octet that says they aren't locked.
fn secret_windows(export: &[u8]) -> Vec<String> {
    let (mut rest, mut windows) = (export, Vec::new());
    while let [first, length @ ..] = rest {
        let (tag, octets) = ((first >> 2) & 15, 1 << (first & 3));
        let count = length[..octets].iter().fold(0, |count, octet| count << 8 | usize::from(*octet));
        let (body, behind) = length[octets..].split_at(count);
        // Private keys and subkeys of RSA: version, time and algorithm, and two public numbers.
        if matches!(tag, 5 | 7) {
            assert_eq!((body[0], body[5]), (4, 1), "an RSA key of version 4");
            let bytes = |at: usize| (usize::from(body[at]) << 8 | usize::from(body[at + 1])).div_ceil(8) + 2;
            let public = 6 + bytes(6) + bytes(6 + bytes(6));
            windows.extend(body[public..].windows(16).map(hex));
        }
        rest = behind;
    }
    assert!(windows.len() > 1000, "{}", windows.len());
    windows
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn no_log_holds_a_part_of_a_private_key_however_much_is_told() {
    for passphrase in ["", "open sesame"] {
        let (sandbox, gpg) = (Sandbox::new(), Gpg::new());
        database(&sandbox.path("shop.db"), "wal", 5);
        let locked = ["--passphrase", passphrase];
        let fingerprint = gpg.key_of("rsa2048", &sandbox.path(""), "key", passphrase);
        gpg.run(&[&locked[..], &["--quick-add-key", &fingerprint, "rsa2048", "encr", "never"]].concat(), b"");
        let secret = gpg.run(&[&locked[..], &["--export-secret-keys"]].concat(), b"");
        sandbox.write("key.pub", gpg.run(&["--export"], b""));
        sandbox.write("key.asc", gpg.run(&[&locked[..], &["--armor", "--export-secret-keys"]].concat(), b""));
        let unlock = if passphrase.is_empty() { "" } else { ", sign_passphrase = \"open sesame\"" };
        config(
            &sandbox,
            &format!(
                "{{ plugin = \"openpgp\", recipient_files = [\"key.pub\"], sign_with = {{ file = \"key.asc\" }}{unlock} }}"
            ),
            "[decode.openpgp]\nidentity_files = [\"key.asc\"]\npassphrases = [\"open sesame\"]\n",
        );
        let windows = secret_windows(&secret);
        let restore = ["restore", "shop", "--to", "sqlite:new.db", "--mode", "replace", "--yes"];
        for (level, arguments) in
            [("-vv", &["backup"][..]), ("-vvv", &["backup"]), ("-vv", &restore), ("-vvv", &restore)]
        {
            let ran = sandbox.run(&[&[level], arguments].concat()).expect(0);
            let told = format!("{}{}", ran.stdout, ran.stderr).to_lowercase();
            let found = windows.iter().find(|window| told.contains(*window));
            assert_eq!(found, None, "{level} {arguments:?} with the passphrase {passphrase:?}");
        }
    }
}
