//! Wrong keys, bad options, and streams that somebody changed: always an error, never a wrong byte, never a secret.

mod common;

use std::fs;

use common::{FINGERPRINT, IDENTITY, RECIPIENT, age, decode, decode_part, encode, made};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

const CHUNK: usize = 65_536 + 16;

fn whole(error: &Error) -> String {
    format!("{error:?}")
}

/// A stream with several chunks, its plain bytes, and where the first chunk begins.
fn sample(seed: u64) -> (Vec<u8>, Map<String, Value>, Vec<u8>, usize) {
    let plain = noise(seed, 3 * 65_536 + 1_000);
    let (stored, params) = encode(&age(json!({ "recipients": [RECIPIENT] })), &plain);
    let payload = stored.len() - (3 * CHUNK + 1_000 + 16);
    (stored, params, plain, payload)
}

/// What comes out is a beginning of `plain`, and then there is an error of damage.
#[track_caller]
fn breaks_off(what: &str, params: &Map<String, Value>, stored: &[u8], plain: &[u8]) {
    let (part, error) = decode_part(&age(json!({ "identities": [IDENTITY] })), params, stored);
    let error = error.unwrap_or_else(|| panic!("{what}: no error"));
    assert_eq!(error.kind, ErrorKind::Damaged, "{what}: {error}");
    assert!(plain.starts_with(&part) && part.len() % 65_536 == 0, "{what}: a wrong byte passed");
    assert!(!whole(&error).contains(&IDENTITY[20..]), "{what}: {error:?}");
}

#[test]
fn chunks_that_were_moved_doubled_left_out_or_taken_from_another_stream_are_found() {
    let (stored, params, plain, payload) = sample(1);
    let (other, _, _, other_payload) = sample(2);
    let (head, chunks) = stored.split_at(payload);
    let chunks: Vec<&[u8]> = chunks.chunks(CHUNK).collect();
    let foreign: Vec<&[u8]> = other[other.len() - (stored.len() - payload)..].chunks(CHUNK).collect();
    let put = |chunks: &[&[u8]]| [head, &chunks.concat()].concat();
    assert_eq!(put(&chunks), stored);
    breaks_off("reordered", &params, &put(&[chunks[0], chunks[2], chunks[1], chunks[3]]), &plain);
    breaks_off("doubled", &params, &put(&[chunks[0], chunks[0], chunks[1], chunks[2], chunks[3]]), &plain);
    breaks_off("left out", &params, &put(&[chunks[0], chunks[2], chunks[3]]), &plain);
    breaks_off("cut at a chunk", &params, &put(&chunks[..3]), &plain);
    breaks_off("without a chunk", &params, &put(&[]), &plain);
    breaks_off("spliced", &params, &put(&[chunks[0], foreign[1], chunks[2], chunks[3]]), &plain);
    breaks_off("the end of another", &params, &put(&[chunks[0], chunks[1], chunks[2], foreign[3]]), &plain);
    breaks_off("another's header", &params, &[&other[..other_payload], &stored[payload..]].concat(), &plain);
    breaks_off("half a header", &params, &[&stored[..payload / 2], &stored[payload..]].concat(), &plain);
    breaks_off("two streams", &params, &[&stored[..], &stored].concat(), &plain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Header, nonce, chunks, tags: wherever a bit changes, and wherever the stream is cut.
    #[test]
    fn a_changed_bit_is_found_before_a_wrong_byte_passes(
        length in prop::sample::select(vec![0_usize, 1, 1_000, 65_536, 70_000]),
        place in 0.0..1.0_f64,
        in_header in any::<bool>(),
        bit in 0..8_u32,
        armor in any::<bool>(),
    ) {
        let plain = noise(length as u64, length);
        let (stored, params) = encode(&age(json!({ "recipients": [RECIPIENT], "armor": armor })), &plain);
        let range = if in_header { stored.len().min(300) } else { stored.len() };
        let at = (place * range as f64) as usize;
        let mut changed = stored.clone();
        changed[at] ^= 1 << bit;
        for stored in [&changed[..], &stored[..at]] {
            let (part, error) = decode_part(&age(json!({ "identities": [IDENTITY] })), &params, stored);
            prop_assert!(error.is_some(), "bit {bit} of byte {at}");
            prop_assert!(plain.starts_with(&part), "bit {bit} of byte {at}: a wrong byte passed");
        }
    }
}

#[test]
fn a_wrong_key_is_no_damage_and_the_error_names_whom_it_needs() {
    let (stored, params, ..) = sample(1);
    let folder = tempfile::tempdir().unwrap();
    let wrong = common::piped(folder.path(), "age-keygen 2>/dev/null", b"");
    let wrong = String::from_utf8(wrong).unwrap();
    let error = decode(&age(json!({ "identities": [wrong] })), &params, &stored).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.message.contains(&format!("encrypted to `{FINGERPRINT}`, and none of the 1")), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("--identity"), "{error:?}");
    assert!(!whole(&error).contains("AGE-SECRET-KEY-1"), "{error:?}");
    let error = decode(&age(json!({})), &params, &stored).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("there is no identity"), "{error}");
}

#[test]
fn a_header_that_the_right_key_cannot_open_is_damage() {
    let (mut stored, params, plain, _) = sample(1);
    let at = stored.windows(10).position(|window| window == b"-> X25519 ").unwrap() + 60;
    stored[at] = if stored[at] == b'A' { b'B' } else { b'A' };
    breaks_off("a stanza", &params, &stored, &plain);
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_stands_in_no_error() {
    let (stored, params) =
        encode(&age(json!({ "passphrase": "hunter2hunter2", "work_factor": 10 })), b"hello");
    for options in [json!({}), json!({ "passphrase": "swordfish" }), json!({ "identities": [IDENTITY] })] {
        let (part, error) = decode_part(&age(options.clone()), &params, &stored);
        let error = error.unwrap();
        assert_eq!((part.len(), error.kind), (0, ErrorKind::Denied), "{options}: {error}");
        let text = whole(&error);
        assert!(
            !text.contains("swordfish") && !text.contains("hunter2") && !text.contains(&IDENTITY[20..]),
            "{text}"
        );
        assert!(error.message.contains("encrypted with a passphrase"), "{error}");
    }
}

#[test]
fn more_work_than_the_limit_is_refused_before_it_is_done() {
    let (stored, params) = encode(&age(json!({ "passphrase": "p", "work_factor": 10 })), b"hello");
    // 2^30 times 1 KiB would be a tebibyte.
    let text = String::from_utf8_lossy(&stored).find(" 10\n").unwrap();
    let forged = [&stored[..text], b" 30\n", &stored[text + 4..]].concat();
    let error = decode(&age(json!({ "passphrase": "p" })), &params, &forged).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.message.contains("work factor 30, and the limit is 20"), "{error}");
}

#[test]
fn an_endless_header_is_refused_before_it_fills_the_memory() {
    let mut stored = b"age-encryption.org/v1\n".to_vec();
    for _ in 0..10_000 {
        stored.extend_from_slice(b"-> X25519 AAAA\nAAAA\n");
    }
    for stored in [stored, [&b"age-encryption.org/v1\n-> "[..], &vec![b'a'; 200_000]].concat()] {
        let error = decode(&age(json!({ "identities": [IDENTITY] })), &Map::new(), &stored).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.message.contains("header is longer"), "{error}");
    }
}

#[test]
fn a_later_version_of_the_format_is_unsupported() {
    let error = decode(&age(json!({})), &Map::new(), b"age-encryption.org/v2\nsomething else\n").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
}

#[test]
fn bad_recipients_are_refused_at_once_and_a_private_key_is_not_quoted() {
    for (recipient, told) in [
        ("age1nonsense", "recipient 1 isn't a recipient"),
        ("ssh-ed25519 AAAA", "recipient 1 isn't an ssh key"),
        ("ssh-dss AAAAB3NzaC1kc3MAAACB", "recipient 1 isn't an ssh key"),
        (IDENTITY, "recipient 1 is a private key"),
        ("age1tagpq1xyz", "recipient 1 is of a kind"),
        ("", "recipient 1 isn't a recipient"),
    ] {
        let error = made(json!({ "recipients": [recipient] })).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config, "{recipient}");
        assert!(error.message.contains(told), "{error}");
        assert!(!whole(&error).contains(&IDENTITY[20..]), "{error:?}");
    }
    let both = made(json!({ "recipients": [RECIPIENT], "passphrase": "p" })).err().unwrap();
    assert_eq!(both.kind, ErrorKind::Config);
    assert_eq!(made(json!({ "work_factor": 9 })).err().unwrap().kind, ErrorKind::Config);
}

/// The error of an encoder that can't be made.
fn refused(options: Value) -> Error {
    let (next, view) = TestSink::new();
    let encoder = made(options).and_then(|age| age.encode(&Context::default(), "data", Box::new(next)));
    let error = encoder.err().unwrap();
    assert_eq!(view.len(), 0, "something was written");
    error
}

#[test]
fn what_cannot_be_encrypted_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recipients");
    assert!(refused(json!({})).message.contains("nobody to encrypt to"));
    assert!(refused(json!({ "passphrase": "" })).message.contains("empty"));
    assert_eq!(refused(json!({ "recipient_files": [path] })).kind, ErrorKind::Config);
    fs::write(&path, "# nobody\n\n").unwrap();
    assert!(refused(json!({ "recipient_files": [path] })).message.contains("names no recipient"));
    fs::write(&path, format!("{RECIPIENT}\n\n{IDENTITY}\n")).unwrap();
    let error = refused(json!({ "recipient_files": [path] }));
    assert!(error.message.contains("line 3 of") && !whole(&error).contains(&IDENTITY[20..]), "{error:?}");
    fs::write(&path, format!("{RECIPIENT}\n").repeat(101)).unwrap();
    assert!(refused(json!({ "recipient_files": [path] })).message.contains("101 recipients"));
}

#[test]
fn as_many_recipients_as_are_taken_can_be_read_again() {
    let recipients = vec![RECIPIENT; 100];
    let (stored, params) = encode(&age(json!({ "recipients": recipients })), b"hello");
    assert_eq!(decode(&age(json!({ "identities": [IDENTITY] })), &params, &stored).unwrap(), b"hello");
}

#[test]
fn what_is_no_identity_is_told_by_its_place_and_never_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let (stored, params) = encode(&age(json!({ "recipients": [RECIPIENT] })), b"hello");
    let broken = IDENTITY.replace("GQ97", "GQ98");
    let cut = &common::ssh_key(folder.path(), "ed25519", "").0;
    let cut = fs::read_to_string(cut).unwrap();
    let cut = &cut[..cut.len() / 2];
    for (text, told) in [
        (&*format!("# mine\n{broken}"), "identity 1 holds something else than an identity in line 2"),
        (RECIPIENT, "in line 1"),
        ("AGE-PLUGIN-YUBIKEY-1SECRETTEXT", "in line 1"),
        ("# nothing\n", "identity 1 holds no identity"),
        (cut, "identity 1 isn't an ssh key"),
    ] {
        let error = decode(&age(json!({ "identities": [text] })), &params, &stored).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.message.contains(told), "{error}");
        let line = text.lines().last().unwrap();
        assert!(!whole(&error).contains(&line[line.len() / 2..]), "{error:?}");
    }
    let missing = folder.path().join("gone.txt");
    let error = decode(&age(json!({ "identity_files": [missing] })), &params, &stored).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.message.contains("gone.txt"), "{error}");
}
