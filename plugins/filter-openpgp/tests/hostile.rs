//! Wrong keys, bad options, and streams that somebody changed: always an error, never an end that looks good, never a secret.

mod common;

use common::{
    CHUNKS_PUBLIC, CHUNKS_SECRET, PUBLIC, SECRET, breaks, decode, decode_part, encode, made, openpgp, reading,
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

const FINGERPRINT: &str = "50D937228462E8DF";
/// A part of a packet, with the octet of its length.
const PART: usize = 65_536 + 1;

fn whole(error: &Error) -> String {
    format!("{error:?}")
}

/// A stream to `public`, and where its protected packet begins.
fn sample(public: &str, seed: u64, length: usize) -> (Vec<u8>, Map<String, Value>, Vec<u8>, usize) {
    let plain = noise(seed, length);
    let (stored, params) = encode(&openpgp(json!({ "recipients": [public] })), &plain);
    let head = head_of(&stored);
    assert_eq!(stored[head], 0xd2);
    (stored, params, plain, head)
}

/// How long what precedes the message is: one packet, or nothing that could be told in an armored stream.
fn head_of(stored: &[u8]) -> usize {
    if stored[0] == 0xc1 { 2 + usize::from(stored[1]) } else { 0 }
}

#[test]
fn parts_that_were_moved_doubled_left_out_or_taken_from_another_stream_are_found() {
    for public in [PUBLIC, CHUNKS_PUBLIC] {
        let (stored, params, plain, head) = sample(public, 1, 3 * 65_536);
        let (other, ..) = sample(public, 2, 3 * 65_536);
        let parts: Vec<&[u8]> = stored[head + 1..].chunks(PART).collect();
        let foreign: Vec<&[u8]> = other[head + 1..].chunks(PART).collect();
        let put = |parts: &[&[u8]]| [&stored[..=head], &parts.concat()].concat();
        assert_eq!(put(&parts), stored);
        let is_proved = public == CHUNKS_PUBLIC;
        let check = |what: &str, stored: &[u8]| {
            let part = breaks(what, &params, stored);
            assert!(!is_proved || plain.starts_with(&part), "{what}: a wrong byte passed");
        };
        check("reordered", &put(&[parts[1], parts[0], parts[2], parts[3]]));
        check("doubled", &put(&[parts[0], parts[0], parts[1], parts[2], parts[3]]));
        check("left out", &put(&[parts[0], parts[2], parts[3]]));
        check("cut at a part", &put(&parts[..3]));
        check("without a part", &put(&[]));
        check("spliced", &put(&[parts[0], foreign[1], parts[2], parts[3]]));
        check("the end of another", &put(&[parts[0], parts[1], parts[2], foreign[3]]));
        check("another's head", &[&other[..head], &stored[head..]].concat());
        check("without a head", &stored[head..]);
        check("two messages", &[&stored[..], &stored].concat());
        check("a packet behind", &[&stored[..], &[0xca, 3], b"PGP"].concat());
        check("the protected packet twice", &[&stored[..], &stored[head..]].concat());
    }
}

/// Every bit of small messages in every form.
#[test]
fn no_bit_of_a_small_message_can_be_changed_unnoticed() {
    for (form, options) in [
        ("hashed", json!({ "recipients": [PUBLIC] })),
        ("armored", json!({ "recipients": [PUBLIC], "armor": true })),
        ("in chunks", json!({ "recipients": [CHUNKS_PUBLIC] })),
        ("signed", json!({ "recipients": [PUBLIC], "sign_with": SECRET })),
    ] {
        let (stored, params) = encode(&openpgp(options), b"hello");
        let protected = head_of(&stored);
        for (at, bit) in (0..stored.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut changed = stored.clone();
            changed[at] ^= 1 << bit;
            match decode_part(&reading(), &params, &changed) {
                (_, Some(error)) => assert_eq!(error.kind, ErrorKind::Damaged, "{form}, {at}.{bit}: {error}"),
                // What precedes the message has no proof in this format: a change of no effect is found by none.
                (plain, None) => assert!(plain == b"hello" && at < protected, "{form}, {at}.{bit}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// What precedes the message has no proof in this format: a change there may at most be of no effect.
    #[test]
    fn a_changed_bit_is_found_and_so_is_a_cut(
        length in prop::sample::select(vec![0_usize, 1, 1_000, 65_536, 70_000]),
        place in 0.0..1.0_f64,
        at_the_start in any::<bool>(),
        bit in 0..8_u32,
        form in 0..4,
    ) {
        let plain = noise(length as u64, length);
        let options = match form {
            0 => json!({ "recipients": [PUBLIC] }),
            1 => json!({ "recipients": [PUBLIC], "armor": true }),
            2 => json!({ "recipients": [CHUNKS_PUBLIC] }),
            _ => json!({ "recipients": [PUBLIC], "sign_with": SECRET }),
        };
        let (stored, params) = encode(&openpgp(options), &plain);
        let protected = head_of(&stored);
        let range = if at_the_start { stored.len().min(300) } else { stored.len() };
        let at = (place * range as f64) as usize;
        let mut changed = stored.clone();
        changed[at] ^= 1 << bit;
        let (part, error) = decode_part(&reading(), &params, &changed);
        if error.is_none() {
            prop_assert!(form != 1 && at < protected, "form {form}: bit {bit} of byte {at} isn't found");
            prop_assert!(part == plain, "form {form}: bit {bit} of byte {at}: other bytes");
        }
        let (part, error) = decode_part(&reading(), &params, &stored[..at]);
        prop_assert!(error.is_some_and(|error| error.kind == ErrorKind::Damaged), "cut at {at}");
        prop_assert!(plain.starts_with(&part), "cut at {at}: a wrong byte passed");
    }
}

#[test]
fn a_wrong_key_is_no_damage_and_the_error_names_whom_it_needs() {
    let (stored, params, ..) = sample(PUBLIC, 1, 1_000);
    let wrong = openpgp(json!({ "identities": [CHUNKS_SECRET] }));
    let error = decode(&wrong, &params, &stored).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.message.contains(&format!("encrypted to `{FINGERPRINT}`, and none of the 1")), "{error}");
    assert!(error.hint.as_ref().unwrap().contains("--identity"), "{error:?}");
    // Of a stream that another program wrote, the packet itself tells the subkey.
    let error = decode(&openpgp(json!({})), &Map::new(), &stored).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(
        error.message.contains("encrypted to `") && error.message.contains("there is no identity"),
        "{error}"
    );
}

#[test]
fn a_head_that_the_right_key_cannot_open_is_damage() {
    let (stored, params, ..) = sample(PUBLIC, 1, 1_000);
    // In the key's number, in its point, in the wrapped session key.
    for at in [4, 20, 80] {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        assert_eq!(breaks(&format!("byte {at}"), &params, &changed), b"");
    }
}

#[test]
fn a_wrong_passphrase_opens_nothing_and_stands_in_no_error() {
    let (stored, params) = encode(&openpgp(json!({ "passphrase": "hunter2hunter2" })), b"hello");
    for options in [json!({}), json!({ "passphrase": "swordfish" }), json!({ "identities": [SECRET] })] {
        let (part, error) = decode_part(&openpgp(options.clone()), &params, &stored);
        let error = error.unwrap();
        assert_eq!((part.len(), error.kind), (0, ErrorKind::Denied), "{options}: {error}");
        let text = whole(&error);
        assert!(!text.contains("swordfish") && !text.contains("hunter2"), "{text}");
        assert!(error.message.contains("encrypted with a passphrase"), "{error}");
    }
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0xc0 | tag, 0xff], &(body.len() as u32).to_be_bytes()[..], body].concat()
}

#[test]
fn what_would_fill_the_memory_is_refused_first() {
    // Argon2 with 2^31 KiB: version 6, lengths, AES-256, OCB, then the kind of hashing and its parameters.
    let forged = [&[6, 37, 9, 2, 20, 4][..], &[7; 16], &[1, 4, 31], &[0; 15], &[0; 48]].concat();
    let stored = [packet(3, &forged), packet(18, &[&[2, 9, 2, 10][..], &noise(1, 100)].concat())].concat();
    let error = decode(&openpgp(json!({ "passphrase": "p" })), &Map::new(), &stored).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
    assert!(error.message.contains("more than 1 GiB"), "{error}");

    let (stored, params, _, head) = sample(PUBLIC, 1, 1_000);
    let endless = [stored[..head].repeat(5_000), stored[head..].to_vec()].concat();
    breaks("an endless head", &params, &endless);
    breaks("a large packet", &params, &packet(1, &vec![0; 300_000]));
    let header = format!("-----BEGIN PGP MESSAGE-----\n{}\n", "Comment: x\n".repeat(10_000));
    breaks("endless headers", &params, header.as_bytes());
    breaks(
        "an endless line",
        &params,
        &[b"-----BEGIN PGP MESSAGE-----\n\n".to_vec(), vec![b'A'; 100_000]].concat(),
    );
}

#[test]
fn a_private_key_in_a_wrong_place_is_not_quoted() {
    for (options, told) in [
        (json!({ "recipients": [SECRET] }), "recipient 1 is a private key"),
        (json!({ "recipients": [&SECRET[..400]] }), "recipient 1 is a private key"),
        (json!({ "recipients": ["nonsense"] }), "recipient 1 is neither a key nor the name of one"),
        (json!({ "recipients": [&PUBLIC[..400]] }), "recipient 1"),
        (json!({ "recipients": [""] }), "recipient 1 is neither"),
        (json!({ "recipients": [PUBLIC], "passphrase": "p" }), "both recipients and a passphrase"),
        (json!({ "sign_passphrase": "p" }), "`sign_with` isn't"),
        (json!({ "recipient_files": ["gone.asc"] }), "gone.asc"),
    ] {
        let error = made(options).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config, "{told}");
        assert!(error.message.contains(told), "{error}");
        assert!(!whole(&error).contains(&SECRET[150..200]), "{error:?}");
    }
    let (stored, params, ..) = sample(PUBLIC, 1, 1_000);
    for (identity, told) in [
        (PUBLIC, "identity 1 holds a public key"),
        (&SECRET[..400], "identity 1"),
        ("nonsense", "identity 1 holds no OpenPGP key"),
        ("", "identity 1 holds no OpenPGP key"),
    ] {
        let error = decode(&openpgp(json!({ "identities": [identity] })), &params, &stored).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.message.contains(told), "{error}");
        assert!(!whole(&error).contains(&SECRET[150..200]), "{error:?}");
    }
}

#[test]
fn what_cannot_be_encrypted_writes_nothing() {
    for (options, told) in [(json!({}), "nobody to encrypt to"), (json!({ "passphrase": "" }), "empty")] {
        let (next, view) = TestSink::new();
        let error = openpgp(options).encode(&Context::default(), "data", Box::new(next)).err().unwrap();
        assert_eq!((error.kind, view.len()), (ErrorKind::Config, 0));
        assert!(error.message.contains(told), "{error}");
    }
}

/// The binary form of an armored key.
fn binary(armored: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut pgp::armor::Dearmor::new(armored.as_bytes()), &mut bytes).unwrap();
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// A key with a changed bit is refused, or the bit had no meaning; a changed signature of it is not believed.
    #[test]
    fn a_changed_key_is_no_other_key(place in 0.0..1.0_f64, bit in 0..8_u32, is_chunked in any::<bool>()) {
        let (public, secret) = if is_chunked { (CHUNKS_PUBLIC, CHUNKS_SECRET) } else { (PUBLIC, SECRET) };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let change = |armored: &str| {
            let mut bytes = binary(armored);
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, bytes).unwrap();
        };
        change(public);
        if let Ok(filter) = made(json!({ "recipient_files": [path] })) {
            let (stored, params) = encode(&filter, b"hello");
            prop_assert_eq!(decode(&openpgp(json!({ "identities": [secret] })), &params, &stored).unwrap(), b"hello");
        }
        change(secret);
        let (stored, params) = encode(&openpgp(json!({ "recipients": [public] })), b"hello");
        if let Ok(plain) = decode(&openpgp(json!({ "identity_files": [path] })), &params, &stored) {
            prop_assert_eq!(plain, b"hello");
        }
    }
}
