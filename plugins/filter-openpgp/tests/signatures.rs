//! Who made a stream: signatures of both programs, and what is refused where one is asked for.

mod common;

use common::{Gpg, MODERN, RSA, decode, decode_part, encode, openpgp};
use serde_json::{Map, Value, json};
use windlass_plugin_api::{Context, ErrorKind, Filter};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

const TO: &str = "to@example.org";
const BY: &str = "by@example.org";
const OTHER: &str = "other@example.org";

fn people(kind: &str) -> Gpg {
    let gpg = Gpg::new();
    gpg.key(TO, MODERN, "", "never");
    gpg.key(BY, kind, "sign it", "never");
    gpg.key(OTHER, MODERN, "", "never");
    gpg
}

#[test]
fn gpg_finds_the_signature_good_and_so_does_the_filter() {
    for kind in [MODERN, RSA] {
        let gpg = people(kind);
        let signs = json!({
            "recipients": [gpg.public(TO)], "sign_with": gpg.secret_text(BY, "sign it"), "sign_passphrase": "sign it",
        });
        let plain = noise(1, 300_000);
        let (stored, params) = encode(&openpgp(signs), &plain);
        let told = gpg.run("--trust-model always --status-fd 1 -o plain -d", &stored);
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("GOODSIG") && told.contains(&gpg.fingerprint(BY)), "{told}");
        assert!(std::fs::read(gpg.path("plain")).unwrap() == plain);

        let identity = gpg.secret_text(TO, "");
        let ring = gpg.write("ring.gpg", gpg.run("--export", b""));
        for signers in [
            json!({ "signers": [gpg.public(OTHER), gpg.public(BY)] }),
            json!({ "signers": [BY], "keyring": [ring] }),
            json!({ "signer_files": [ring] }),
            json!({}),
        ] {
            let mut options = signers.clone();
            options["identities"] = json!([identity]);
            assert!(decode(&openpgp(options), &params, &stored).unwrap() == plain, "{kind}: {signers}");
        }
    }
}

#[test]
fn what_gpg_signed_is_checked_compressed_or_not() {
    let gpg = people(RSA);
    let plain = noise(2, 200_000);
    let filter =
        |by: &str| openpgp(json!({ "identities": [gpg.secret_text(TO, "")], "signers": [gpg.public(by)] }));
    for options in ["", "-z 0", "-a", "-u other@example.org"] {
        let stored = gpg.encrypt(&format!("--passphrase 'sign it' -u {BY} {options} -s -e -r {TO}"), &plain);
        assert!(decode(&filter(BY), &Map::new(), &stored).unwrap() == plain, "{options}");
        let error = decode(&filter(TO), &Map::new(), &stored).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{options}");
        assert!(error.message.contains("no signature of one of the `signers` holds"), "{error}");
    }
}

#[test]
fn what_is_unsigned_is_refused_before_a_byte_passes() {
    let gpg = people(MODERN);
    let filter = openpgp(json!({ "identities": [gpg.secret_text(TO, "")], "signers": [gpg.public(BY)] }));
    let (ours, _) = encode(&openpgp(json!({ "recipients": [gpg.public(TO)] })), b"hello");
    for stored in [ours, gpg.encrypt(&format!("-e -r {TO}"), b"hello")] {
        let (part, error) = decode_part(&filter, &Map::new(), &stored);
        let error = error.unwrap();
        assert_eq!((part.len(), error.kind), (0, ErrorKind::Damaged), "{error}");
        assert!(error.message.contains("isn't signed"), "{error}");
    }
}

/// The key has expired since, or was revoked.
#[test]
fn a_signer_counts_as_he_was_when_he_signed_unless_others_may_have_the_key() {
    let gpg = Gpg::new();
    let then = "--faked-system-time 20200101T000000 --passphrase ''";
    gpg.run(&format!("{then} --quick-generate-key 'old <old@example.org>' ed25519 sign 1y"), b"");
    gpg.run(&format!("{then} --quick-generate-key 'to <{TO}>' default default never"), b"");
    let sign = |time: &str| {
        gpg.encrypt(&format!("--faked-system-time {time} -u old@example.org -s -e -r {TO}"), b"hello")
    };
    let stored = sign("20200601T000000");
    let read = || {
        let options =
            json!({ "identities": [gpg.secret_text(TO, "")], "signers": [gpg.public("old@example.org")] });
        decode(&openpgp(options), &Map::new(), &stored)
    };
    assert_eq!(read().unwrap(), b"hello");
    let old = gpg.fingerprint("old@example.org");
    // Extended since: `gpg` puts the new signature of the key over itself in the place of the old one.
    gpg.run(&format!("--passphrase '' --quick-set-expire {old} 10y"), b"");
    assert_eq!(read().unwrap(), b"hello");
    let certificate = std::fs::read_to_string(gpg.path(&format!("openpgp-revocs.d/{old}.rev"))).unwrap();
    gpg.run("--import", certificate.replace(":-----BEGIN", "-----BEGIN").as_bytes());
    assert_eq!(read().unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn a_key_that_cannot_sign_is_told_before_a_byte_is_written() {
    let gpg = people(MODERN);
    let locked = gpg.secret_text(BY, "sign it");
    gpg.run("--passphrase '' --quick-generate-key 'c <c@example.org>' ed25519 cert never", b"");
    for (sign_with, passphrase, told) in [
        (locked.as_str(), Value::Null, "needs a passphrase"),
        (&locked, json!("hunter2"), "doesn't unlock"),
        (&gpg.public(BY), Value::Null, "holds a public key and no private one"),
        (&gpg.secret_text("c@example.org", ""), Value::Null, "has no part that signs"),
        ("nonsense", Value::Null, "holds no OpenPGP key"),
    ] {
        let options =
            json!({ "recipients": [gpg.public(TO)], "sign_with": sign_with, "sign_passphrase": passphrase });
        let (next, view) = TestSink::new();
        let error = openpgp(options).encode(&Context::default(), "data", Box::new(next)).err().unwrap();
        assert_eq!((error.kind, view.len()), (ErrorKind::Config, 0), "{error}");
        assert!(error.message.contains(told), "{error}");
        let whole = format!("{error:?}");
        assert!(!whole.contains("hunter2") && !whole.contains(&locked[100..140]), "{whole}");
    }
}
