//! Wrong keys, bad options, and streams that somebody changed: always an error, never an end that looks good, never a secret.

mod common;

use common::{decode, decode_part, encode, made, openpgp};
use pgp::composed::{Deserializable, RawSessionKey, SignedPublicKey};
use pgp::crypto::aead::{AeadAlgorithm, ChunkSize};
use pgp::crypto::sym::SymmetricKeyAlgorithm::AES256;
use pgp::packet::{PacketTrait, PublicKeyEncryptedSessionKey, SymEncryptedProtectedData};
use proptest::prelude::*;
use rand::rngs::OsRng;
use serde_json::{Map, Value, json};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::TestSink;

/// Keys of nobody, for tests: one of GnuPG, and one that announces the newer form.
const PUBLIC: &str = include_str!("keys/nobody.pub.asc");
const SECRET: &str = include_str!("keys/nobody.sec.asc");
const CHUNKS_PUBLIC: &str = include_str!("keys/chunks.pub.asc");
const CHUNKS_SECRET: &str = include_str!("keys/chunks.sec.asc");
const FINGERPRINT: &str = "50D937228462E8DF";
/// A part of a packet, with the octet of its length.
const PART: usize = 65_536 + 1;

fn reading() -> windlass_filter_openpgp::OpenPgp {
    openpgp(json!({ "identities": [SECRET, CHUNKS_SECRET] }))
}

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

/// There is an error of damage, and nothing that looks like an end before it.
#[track_caller]
fn breaks(what: &str, params: &Map<String, Value>, stored: &[u8]) -> Vec<u8> {
    let (part, error) = decode_part(&reading(), params, stored);
    let error = error.unwrap_or_else(|| panic!("{what}: no error"));
    assert_eq!(error.kind, ErrorKind::Damaged, "{what}: {error}");
    part
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

/// A message to nobody's key with these packets inside; `is_chunked` for the newer form.
fn sealed(inside: &[u8], is_chunked: bool) -> Vec<u8> {
    let key = RawSessionKey::from(noise(9, 32));
    let text = if is_chunked { CHUNKS_PUBLIC } else { PUBLIC };
    let public = SignedPublicKey::from_string(text).unwrap().0;
    let subkey = &public.public_subkeys[0].key;
    let mut stored = Vec::new();
    let (to, data) = if is_chunked {
        let (mode, chunk) = (AeadAlgorithm::Ocb, ChunkSize::C64B);
        let to = PublicKeyEncryptedSessionKey::from_session_key_v6(OsRng, &key, subkey);
        let data =
            SymEncryptedProtectedData::encrypt_seipdv2(OsRng, AES256, mode, chunk, key.as_ref(), inside);
        (to, data)
    } else {
        let to = PublicKeyEncryptedSessionKey::from_session_key_v3(OsRng, &key, AES256, subkey);
        (to, SymEncryptedProtectedData::encrypt_seipdv1(OsRng, AES256, key.as_ref(), inside))
    };
    to.unwrap().to_writer_with_header(&mut stored).unwrap();
    data.unwrap().to_writer_with_header(&mut stored).unwrap();
    stored
}

fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[0xc0 | tag, 0xff], &(body.len() as u32).to_be_bytes()[..], body].concat()
}

fn literal(plain: &[u8]) -> Vec<u8> {
    packet(11, &[&b"b\x04name\0\0\0\0"[..], plain].concat())
}

fn deflated(inside: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::DeflateEncoder::new(vec![1], flate2::Compression::fast());
    encoder.write_all(inside).unwrap();
    packet(8, &encoder.finish().unwrap())
}

#[test]
fn what_another_library_sealed_is_decoded_in_both_forms() {
    let plain = noise(3, 100_000);
    for is_chunked in [false, true] {
        for inside in [
            literal(&plain),
            deflated(&literal(&plain)),
            packet(8, &[&[0][..], &literal(&plain)].concat()),
            [packet(10, b"PGP"), literal(&plain), packet(21, &noise(1, 900))].concat(),
        ] {
            let decoded = decode(&reading(), &Map::new(), &sealed(&inside, is_chunked)).unwrap();
            assert!(decoded == plain);
        }
    }
}

/// What `gpg` 2.3 and later write to keys that they made: OCB chunks in a packet of their own, bound to their number.
fn sealed_by_later_gpg(inside: &[u8]) -> Vec<u8> {
    let key = RawSessionKey::from(noise(9, 32));
    let public = SignedPublicKey::from_string(PUBLIC).unwrap().0;
    let to = &public.public_subkeys[0].key;
    let to = PublicKeyEncryptedSessionKey::from_session_key_v3(OsRng, &key, AES256, to).unwrap();
    let (iv, head) = (noise(4, 15), [0xd4, 1, 9, 2, 0]);
    let mut body = [&head[1..], &iv].concat();
    let mut seal = |number: usize, plain: &[u8], end: &[u8]| {
        let mut nonce = iv.clone();
        nonce[14] ^= number as u8;
        let info = [&head[..], &(number as u64).to_be_bytes(), end].concat();
        let mut chunk = pgp::bytes::BytesMut::from(plain);
        AeadAlgorithm::Ocb.encrypt_in_place(&AES256, key.as_ref(), &nonce, &info, &mut chunk).unwrap();
        body.extend_from_slice(&chunk);
    };
    let chunks = inside.chunks(64);
    let count = chunks.len();
    chunks.enumerate().for_each(|(number, chunk)| seal(number, chunk, b""));
    seal(count, b"", &(inside.len() as u64).to_be_bytes());
    let mut stored = Vec::new();
    to.to_writer_with_header(&mut stored).unwrap();
    [stored, packet(20, &body)].concat()
}

#[test]
fn what_later_versions_of_gpg_seal_is_decoded_and_a_change_is_found() {
    let stored = sealed_by_later_gpg(&literal(&noise(3, 1_000)));
    assert!(decode(&reading(), &Map::new(), &stored).unwrap() == noise(3, 1_000));
    for at in [stored.len() / 2, stored.len() - 1] {
        let mut changed = stored.clone();
        changed[at] ^= 1;
        breaks(&format!("byte {at}"), &Map::new(), &changed);
    }
    breaks("cut at a chunk", &Map::new(), &sealed_by_later_gpg(&literal(&noise(3, 1_000))[..640]));
}

#[test]
fn packets_that_make_no_message_are_damage_however_well_they_are_sealed() {
    let data = literal(b"hello");
    let long = packet(11, &[&b"b\x04name\0\0\0\0"[..], &noise(1, 99)].concat());
    for (what, inside) in [
        ("nothing", Vec::new()),
        ("no data", packet(10, b"PGP")),
        ("data that is cut", long[..50].to_vec()),
        ("half a head", packet(11, b"b\x04na")),
        ("two data", [&data[..], &data].concat()),
        ("garbage behind", [&data[..], b"garbage"].concat()),
        ("a signature that nothing announced", [&data[..], &packet(2, b"x")].concat()),
        ("an unknown packet", [&packet(60, b"x")[..], &data].concat()),
        ("encrypted again", sealed(&data, false)),
        ("compressed twice", deflated(&deflated(&data))),
        ("compressed garbage", packet(8, &[&[1][..], &noise(1, 500)].concat())),
        ("compressed by nobody", packet(8, &[&[77][..], &data].concat())),
        ("nothing, compressed", deflated(b"")),
        ("garbage behind what is compressed", [&deflated(&data)[..], &data].concat()),
        ("garbage behind, compressed", deflated(&[&data[..], b"garbage"].concat())),
        ("garbage in the compressed packet", {
            let mut body = deflated(&data)[6..].to_vec();
            body.extend_from_slice(b"garbage");
            packet(8, &body)
        }),
    ] {
        for is_chunked in [false, true] {
            breaks(what, &Map::new(), &sealed(&inside, is_chunked));
        }
    }
}

#[test]
fn a_message_without_integrity_protection_or_without_encryption_is_refused() {
    let (stored, params, _, head) = sample(PUBLIC, 1, 1_000);
    let naked = [&stored[..head], &packet(9, &noise(1, 500))].concat();
    let error = decode(&reading(), &params, &naked).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged);
    assert!(error.message.contains("no integrity protection"), "{error}");
    for plain in [literal(b"hello"), deflated(&literal(b"hello"))] {
        let error = decode(&reading(), &params, &plain).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged);
        assert!(error.message.contains("isn't encrypted"), "{error}");
    }
    // The hash at the end left out, with lengths that fit.
    let sealed = sealed(&literal(&noise(2, 50)), false);
    let head = 2 + usize::from(sealed[1]);
    let mut cut = sealed[..sealed.len() - 22].to_vec();
    assert_eq!(cut[head], 0xd2);
    cut[head + 1] -= 22;
    breaks("without its hash", &Map::new(), &cut);
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
