//! Kinds of keys by their names, and which of them the library can do nothing with although GnuPG makes them.
//!
//! It looks at the public half alone, parsed or not, and doesn't judge what a key may be used for.

use pgp::ser::Serialize;
use pgp::types::KeyDetails;

/// Curves that are written as their object identifier, of the kinds that work in each use.
const CURVES: [&[u8]; 5] = [
    &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07],
    &[0x2b, 0x81, 0x04, 0x00, 0x22],
    &[0x2b, 0x81, 0x04, 0x00, 0x23],
    &[0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01],
    &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x97, 0x55, 0x01, 0x05, 0x01],
];
/// This one works for signatures, and isn't read for encryption.
const SECP256K1: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x0a];
/// Those that don't work, by the names that `gpg` has for them.
const OTHER_CURVES: [(&[u8], &str); 5] = [
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x07], "brainpoolP256r1"),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0b], "brainpoolP384r1"),
    (&[0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d], "brainpoolP512r1"),
    (&[0x2b, 0x65, 0x71], "Ed448 in the form of GnuPG"),
    (&[0x2b, 0x65, 0x6f], "X448 in the form of GnuPG"),
];
const ECDH: u8 = 18;
const ECDSA: u8 = 19;
const EDDSA: u8 = 22;

/// The kind of `key`, if it is one of those that don't work.
pub fn unsupported(key: &impl KeyDetails) -> Option<String> {
    let params = key.public_params().to_bytes().unwrap_or_default();
    judge(key.algorithm().into(), &params)
}

/// As [`unsupported`], of the body of a packet with a key, public or private, which need not be one.
pub fn unsupported_in(body: &[u8]) -> Option<String> {
    match body {
        // Behind the time of its making; version 6 has a length too.
        [4, _, _, _, _, algorithm, params @ ..] | [6, _, _, _, _, algorithm, _, _, _, _, params @ ..] => {
            judge(*algorithm, params)
        }
        [2 | 3, ..] => Some("version 3, as PGP made them before 1998".to_owned()),
        [version @ (4..), ..] => Some(format!("version {version}")),
        _ => None,
    }
}

fn judge(algorithm: u8, params: &[u8]) -> Option<String> {
    match algorithm {
        // RSA, DSA, and the curves of RFC 9580, which have a number each.
        1..=3 | 17 | 25..=28 => None,
        16 | 20 => Some("ElGamal".to_owned()),
        ECDH | ECDSA | EDDSA => {
            let length = usize::from(*params.first()?);
            let curve = params.get(1..=length)?;
            if CURVES.contains(&curve) || (algorithm == ECDSA && curve == SECP256K1) {
                return None;
            }
            let known = OTHER_CURVES.iter().find(|(id, _)| *id == curve);
            let name = if curve == SECP256K1 { Some("secp256k1") } else { known.map(|(_, name)| *name) };
            Some(name.unwrap_or("a curve that isn't known").to_owned())
        }
        number => Some(format!("number {number} of the format")),
    }
}
