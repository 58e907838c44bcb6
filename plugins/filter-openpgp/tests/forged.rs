//! Messages that nobody would write, sealed well: what is inside is trusted no more than what is outside.

mod common;

use common::{CHUNKS_PUBLIC, PUBLIC, SECRET, breaks, decode, decode_part, encode, openpgp, reading};
use pgp::composed::{Deserializable, RawSessionKey, SignedPublicKey};
use pgp::crypto::aead::{AeadAlgorithm, ChunkSize};
use pgp::crypto::sym::SymmetricKeyAlgorithm::AES256;
use pgp::packet::{PacketTrait, PublicKeyEncryptedSessionKey, SymEncryptedProtectedData};
use proptest::prelude::*;
use rand::rngs::OsRng;
use serde_json::{Map, json};
use windlass_plugin_api::ErrorKind;
use windlass_testkit::noise::noise;

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
    let (stored, params) = encode(&openpgp(json!({ "recipients": [PUBLIC] })), b"hello");
    let head = 2 + usize::from(stored[1]);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Packets that are well framed and hold anything: outside, and inside the encryption.
    #[test]
    fn whatever_packets_hold_ends_in_an_error(
        outside in prop::collection::vec((prop::sample::select(vec![1_u8, 3, 18, 20]), 0..7_u8, any::<Vec<u8>>()), 1..4),
        inside in prop::collection::vec((prop::sample::select(vec![2_u8, 4, 8, 11]), 0..7_u8, any::<Vec<u8>>()), 1..4),
    ) {
        let put = |packets: &[(u8, u8, Vec<u8>)]| -> Vec<u8> {
            packets.iter().flat_map(|(tag, version, body)| packet(*tag, &[&[*version][..], body].concat())).collect()
        };
        let keys = openpgp(json!({ "identities": [SECRET], "signers": [PUBLIC] }));
        for stored in [put(&outside), sealed(&put(&inside), false)] {
            let (_, error) = decode_part(&keys, &Map::new(), &stored);
            let error = error.unwrap();
            prop_assert!(error.kind == ErrorKind::Damaged || error.kind == ErrorKind::Denied || error.kind == ErrorKind::Config);
        }
    }
}
