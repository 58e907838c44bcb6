//! Keys that are broken, locked or oddly written: what else is given must still be tried, and what is wrong be told.

mod common;

use std::fs;

use common::{IDENTITY, RECIPIENT, age, decode, encode, piped, ssh_key};
use serde_json::json;
use windlass_plugin_api::ErrorKind;

#[test]
fn broken_locked_keys_do_not_keep_the_good_ones_from_being_tried_and_are_told_by_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let (ssh, public) = ssh_key(folder.path(), "ed25519", "open it");
    let (stored, params) = encode(&age(json!({ "recipients": [public] })), b"hello");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let locked = |factor: u8, text: &str| {
        encode(&age(json!({ "passphrase": "open it", "work_factor": factor })), text.as_bytes()).0
    };
    let whole = locked(10, IDENTITY);
    let at = whole.windows(4).position(|bytes| bytes == b" 10\n").unwrap();
    let broken = [
        file("truncated.age", &whole[..whole.len() - 9]),
        file("to-a-key.age", &encode(&age(json!({ "recipients": [RECIPIENT] })), IDENTITY.as_bytes()).0),
        file("not-keys.age", &locked(10, "a diary")),
        // A header that asks for the work factor 21; it is refused before it is proved.
        file("work.age", &[&whole[..at], b" 21\n", &whole[at + 4..]].concat()),
    ];
    let with =
        |files: &[&std::path::PathBuf]| age(json!({ "identity_files": files, "passphrases": ["open it"] }));
    for path in &broken {
        for order in [[path, &ssh], [&ssh, path]] {
            assert_eq!(decode(&with(&order), &params, &stored).unwrap(), b"hello", "{order:?}");
        }
        let error = decode(&with(&[path]), &params, &stored).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    }
    let all: Vec<_> = broken.iter().collect();
    let error = decode(&with(&all), &params, &stored).unwrap_err().to_string();
    for path in broken {
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }
}

#[test]
fn a_passphrase_that_can_not_be_had_does_not_keep_the_others_from_being_tried() {
    let missing = json!({ "$secret": "unknown" });
    let (stored, params) = encode(&age(json!({ "passphrase": "right", "work_factor": 10 })), b"hello");
    let filter = age(json!({ "passphrase": missing, "passphrases": [missing, "right"] }));
    assert_eq!(decode(&filter, &params, &stored).unwrap(), b"hello");
    let error = decode(&age(json!({ "passphrase": missing })), &params, &stored).unwrap_err();
    assert!(error.to_string().contains("unknown"), "{error}");
}

#[test]
fn a_line_that_is_no_key_does_not_spoil_the_others_in_its_file_and_is_told_if_none_opens() {
    let (stored, params) = encode(&age(json!({ "recipients": [RECIPIENT] })), b"hello");
    let other = String::from_utf8(piped(std::path::Path::new("/"), "age-keygen 2>/dev/null", b"")).unwrap();
    for (line, told) in [("AGE-PLUGIN-YUBIKEY-1QQQ", "program `age`"), ("nonsense", "AGE-SECRET-KEY-1")] {
        for text in [format!("{line}\n{IDENTITY}\n"), format!("{IDENTITY}\n{line}\n")] {
            assert_eq!(decode(&age(json!({ "identities": [text] })), &params, &stored).unwrap(), b"hello");
        }
        let filter = age(json!({ "identities": [format!("{other}{line}\n")] }));
        let error = decode(&filter, &params, &stored).unwrap_err();
        assert!(error.message.contains("identity 1") && error.message.contains("in line 4"), "{error}");
        assert!(error.hint.unwrap().contains(told));
    }
}

#[test]
fn a_byte_order_mark_before_keys_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, format!("\u{feff}{text}\n")).unwrap();
        path
    };
    let (ssh, _) = ssh_key(folder.path(), "ed25519", "");
    let ssh_marked = file("ssh", &fs::read_to_string(&ssh).unwrap());
    let list = file("recipients.txt", RECIPIENT);
    let ssh_list = file("ssh.txt", &fs::read_to_string(ssh.with_extension("pub")).unwrap());
    let (stored, params) = encode(&age(json!({ "recipient_files": [list, ssh_list] })), b"hello");
    for path in [file("key.txt", IDENTITY), ssh_marked] {
        assert_eq!(decode(&age(json!({ "identity_files": [path] })), &params, &stored).unwrap(), b"hello");
    }
}
