//! The program `age` on the other side, and every kind of key.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{FINGERPRINT, IDENTITY, RECIPIENT, age, decode, encode, on_terminal, piped, ssh_key};
use serde_json::{Map, json};
use windlass_plugin_api::Filter;
use windlass_testkit::noise::noise;

#[test]
fn the_command_by_hand_decodes_what_was_encoded() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key.txt"), IDENTITY).unwrap();
    for plain in [Vec::new(), noise(1, 1), noise(2, 65_536), noise(3, 131_073), noise(4, 3_000_000)] {
        for armor in [false, true] {
            let filter = age(json!({ "recipients": [RECIPIENT], "armor": armor }));
            let (stored, _) = encode(&filter, &plain);
            let by_hand = piped(folder.path(), &filter.by_hand().unwrap(), &stored);
            assert!(by_hand == plain, "{} bytes, armor {armor}", plain.len());
        }
    }
}

#[test]
fn what_the_age_program_wrote_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let filter = age(json!({ "identities": [IDENTITY] }));
    for plain in [Vec::new(), noise(1, 1), noise(2, 65_536), noise(3, 3_000_000)] {
        for options in ["", "-a"] {
            let stored = piped(folder.path(), &format!("age {options} -r {RECIPIENT}"), &plain);
            assert!(decode(&filter, &Map::new(), &stored).unwrap() == plain, "{} {options}", plain.len());
        }
    }
}

#[test]
fn each_of_several_recipients_can_read_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ed25519, ed25519_public) = ssh_key(folder.path(), "ed25519", "");
    let (rsa, rsa_public) = ssh_key(folder.path(), "rsa", "");
    let list = folder.path().join("recipients.txt");
    fs::write(&list, format!("# the team\n\n{ed25519_public}\n  {rsa_public}")).unwrap();
    let filter = age(json!({ "recipients": [RECIPIENT], "recipient_files": [list] }));
    let plain = noise(1, 200_000);
    let (stored, params) = encode(&filter, &plain);

    let key = folder.path().join("key.txt");
    fs::write(&key, format!("# created: today\n# public key: {RECIPIENT}\n{IDENTITY}\n")).unwrap();
    for path in [&ed25519, &rsa, &key] {
        let text = fs::read_to_string(path).unwrap();
        for filter in
            [age(json!({ "identity_files": [path] })), age(json!({ "identities": [text.trim_end()] }))]
        {
            assert!(decode(&filter, &params, &stored).unwrap() == plain, "{}", path.display());
        }
        let by_hand = piped(folder.path(), &format!("age -d -i {}", path.display()), &stored);
        assert!(by_hand == plain, "{}", path.display());
    }

    let told =
        String::from_utf8(piped(folder.path(), &format!("ssh-keygen -l -f {}.pub", ed25519.display()), b""))
            .unwrap();
    let fingerprint = |number: usize| params["recipients"][number].as_str().unwrap();
    assert_eq!(fingerprint(0), FINGERPRINT);
    assert_eq!(fingerprint(1).len(), 23);
    assert!(told.contains(fingerprint(1)), "{told} {params:?}");
}

#[test]
fn what_the_age_program_encrypted_to_an_ssh_key_is_decoded() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["ed25519", "rsa"] {
        let (path, _) = ssh_key(folder.path(), kind, "");
        let stored = piped(folder.path(), &format!("age -R {}.pub", path.display()), b"hello");
        assert_eq!(
            decode(&age(json!({ "identity_files": [path] })), &Map::new(), &stored).unwrap(),
            b"hello"
        );
    }
}

#[test]
fn all_keys_are_tried_wherever_the_right_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    let (ssh, _) = ssh_key(folder.path(), "ed25519", "");
    let (locked, _) = ssh_key(folder.path(), "ed25519", "locked");
    let generated = piped(folder.path(), "age-keygen 2>/dev/null", b"");
    let generated = String::from_utf8(generated).unwrap();
    let (stored, params) = encode(&age(json!({ "recipients": [RECIPIENT] })), b"hello");
    let several = format!("{generated}\n{IDENTITY}");
    for options in [
        json!({ "identities": [generated, IDENTITY] }),
        json!({ "identities": [IDENTITY, generated] }),
        json!({ "identities": [several], "identity_files": [ssh, locked] }),
    ] {
        assert_eq!(decode(&age(options.clone()), &params, &stored).unwrap(), b"hello", "{options}");
    }
}

#[test]
fn a_key_that_opens_the_stream_is_enough_whatever_is_wrong_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, other) = (folder.path().join("missing.txt"), folder.path().join("key.asc"));
    std::fs::write(&other, "-----BEGIN PGP PRIVATE KEY BLOCK-----\n").unwrap();
    let (stored, params) = encode(&age(json!({ "recipients": [RECIPIENT] })), b"hello");
    let with = |identities: &[&str]| json!({ "identities": identities, "identity_files": [missing, other] });
    assert_eq!(decode(&age(with(&["nonsense", IDENTITY])), &params, &stored).unwrap(), b"hello");
    let error = decode(&age(with(&[])), &params, &stored).unwrap_err();
    assert!(error.to_string().contains("missing.txt"), "{error}");
}

#[test]
fn a_passphrase_opens_what_it_closed_and_old_ones_are_tried() {
    let new = age(json!({ "passphrase": "new one", "work_factor": 10 }));
    let old = age(json!({ "passphrase": "old one", "work_factor": 11 }));
    let reading = age(json!({ "passphrase": "new one", "passphrases": ["older", "old one"] }));
    for filter in [&new, &old] {
        let (stored, params) = encode(filter, b"hello");
        assert_eq!(params["recipients"], json!(["passphrase"]));
        assert_eq!(decode(&reading, &params, &stored).unwrap(), b"hello");
    }
}

/// The program takes a passphrase only from a terminal: `script` gives it one.
#[test]
fn a_passphrase_interoperates_with_the_age_program() {
    let folder = tempfile::tempdir().unwrap();
    let filter = age(json!({ "passphrase": "correct horse", "work_factor": 12 }));
    let (stored, _) = encode(&filter, b"hello from here");
    fs::write(folder.path().join("data.age"), stored).unwrap();
    let by_hand = format!("cat data.age | {} > plain", filter.by_hand().unwrap());
    on_terminal(folder.path(), &by_hand, "correct horse\n");
    assert_eq!(fs::read(folder.path().join("plain")).unwrap(), b"hello from here");

    fs::write(folder.path().join("plain"), "hello from there").unwrap();
    on_terminal(folder.path(), "age -p -o there.age plain", "correct horse\ncorrect horse\n");
    let stored = fs::read(folder.path().join("there.age")).unwrap();
    assert_eq!(decode(&filter, &Map::new(), &stored).unwrap(), b"hello from there");
}

#[test]
fn a_locked_key_opens_with_its_passphrase_and_only_where_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (ssh, public) = ssh_key(folder.path(), "ed25519", "open it");
    let (stored, params) = encode(&age(json!({ "recipients": [RECIPIENT, public] })), b"hello");
    let mut files = vec![ssh.clone()];
    for armor in [false, true] {
        let lock = age(json!({ "passphrase": "open it", "work_factor": 10, "armor": armor }));
        let path = folder.path().join(format!("key-{armor}.age"));
        fs::write(&path, encode(&lock, format!("# mine\n{IDENTITY}\n").as_bytes()).0).unwrap();
        files.push(path);
    }
    for path in &files {
        for passphrases in [json!(["open it"]), json!(["wrong", "open it"])] {
            let options = json!({ "identity_files": [path], "passphrases": passphrases });
            assert_eq!(decode(&age(options.clone()), &params, &stored).unwrap(), b"hello", "{options}");
        }
        let without = decode(&age(json!({ "identity_files": [path] })), &params, &stored).unwrap_err();
        assert!(without.message.contains("needs a passphrase"), "{without}");
        let wrong = age(json!({ "identity_files": [path], "passphrase": "open it not" }));
        assert!(decode(&wrong, &params, &stored).unwrap_err().message.contains("none of the 1 identities"));
    }
    // A secret that can't be revealed shows that nobody asked for it.
    let options =
        json!({ "identities": [IDENTITY], "identity_files": files, "passphrase": { "$secret": "unknown" } });
    assert_eq!(decode(&age(options), &params, &stored).unwrap(), b"hello");
}

/// What the program takes for whole and what for cut or spoilt; `key.txt` is beside it.
fn takes(folder: &Path, stored: &[u8]) -> bool {
    fs::write(folder.join("stored"), stored).unwrap();
    let ran = Command::new("age").args(["-d", "-i", "key.txt", "stored"]).current_dir(folder).output();
    ran.expect("`age` is needed: `make setup`").status.success()
}

#[test]
fn the_end_of_an_armored_file_is_judged_as_the_age_program_does() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("key.txt"), IDENTITY).unwrap();
    let filter = age(json!({ "identities": [IDENTITY] }));
    for length in [0, 1, 20, 47, 48, 49, 1000] {
        let plain = noise(length as u64, length);
        let whole = piped(folder.path(), &format!("age -a -r {RECIPIENT}"), &plain);
        let bare = whole.strip_suffix(b"\n").unwrap();
        let mut variants: Vec<Vec<u8>> = (1..=60).map(|cut| whole[..whole.len() - cut].to_vec()).collect();
        for end in ["", "\n\n\n", " ", "\r", "\r\n", "\n \t\r\n", "\nx", "x", "  \n  ", "\n\0"] {
            variants.push([bare, end.as_bytes()].concat());
        }
        variants.push(String::from_utf8_lossy(&whole).replace('\n', "\r\n").into_bytes());
        for stored in &variants {
            let end = String::from_utf8_lossy(&stored[stored.len() - 40..]);
            let decoded = decode(&filter, &Map::new(), stored);
            assert_eq!(decoded.is_ok(), takes(folder.path(), stored), "{length}: `{end:?}`: {decoded:?}");
            assert!(decoded.is_err() || decoded.unwrap() == plain, "{length}: `{end}`");
        }
    }
}
