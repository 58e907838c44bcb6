//! Reading keys: files and texts with one key or many, armored or binary, as `gpg --export` writes them.
//!
//! Each key is cut out by its packets before it is parsed, so that one of an unknown kind doesn't hide those behind it.
//! What a key may be used for is not judged here, and no error quotes what was read.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use pgp::composed::{Deserializable, SignedPublicKey, SignedSecretKey};
use windlass_plugin_api::{During, Error, ErrorKind, Result};

use crate::frame::packet;
use crate::kinds;
use crate::packets::{Packets, tag};

/// A file of keys larger than this, in bytes, is another file.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// No packet of a key is larger, photographs included.
const MAX_PACKET_BYTES: usize = 16 << 20;
/// What armored keys begin with.
const ARMOR: &str = "-----BEGIN PGP ";
const PRIVATE: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";
/// What some editors put before a text.
const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];
/// Where GnuPG's own file of public keys says that it is one.
const KEYBOX: (usize, &[u8]) = (8, b"KBXf");

/// A key, as it was found.
pub enum Found {
    Public(Box<SignedPublicKey>),
    Secret(Box<SignedSecretKey>),
    /// One that can't be read: of that kind, or damaged.
    Unknown(Option<String>),
}

/// Whether `text` holds keys, as opposed to their names.
pub fn is_armored(text: &str) -> bool {
    text.contains(ARMOR)
}

/// All keys in `bytes`; `place` says where they stand, for errors.
pub fn parse(bytes: &[u8], place: &str) -> Result<Vec<Found>> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("{place} {why}"));
    if bytes.get(KEYBOX.0..KEYBOX.0 + KEYBOX.1.len()) == Some(KEYBOX.1) {
        return Err(refuse("is GnuPG's own file and no export")
            .hint("Write one that can be read with `gpg --export NAME… > FILE`."));
    }
    let mut keys = Vec::new();
    for binary in binaries(bytes).ok_or_else(|| refuse("holds no OpenPGP key"))? {
        let cut = cut(&binary).map_err(|_| refuse("isn't an OpenPGP key, or is damaged"))?;
        keys.extend(cut.into_iter().map(parse_one));
    }
    if keys.is_empty() { Err(refuse("holds no OpenPGP key")) } else { Ok(keys) }
}

/// Every armored block decoded, or the bytes themselves.
fn binaries(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    if bytes.first().is_some_and(|first| first & 0x80 != 0) {
        return Some(vec![bytes.to_vec()]);
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let starts: Vec<usize> = text.match_indices(ARMOR).map(|(start, _)| start).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let blocks = starts.iter().zip(ends).map(|(start, end)| {
        let mut binary = Vec::new();
        let mut dearmored = pgp::armor::Dearmor::new(Cursor::new(text[*start..end].trim().as_bytes()));
        dearmored.read_to_end(&mut binary).ok()?;
        Some(binary)
    });
    blocks.collect()
}

/// A key that isn't parsed yet.
struct Cut {
    is_secret: bool,
    packets: Vec<u8>,
    /// The first kind in it that doesn't work.
    unsupported: Option<String>,
}

fn cut(binary: &[u8]) -> Result<Vec<Cut>> {
    let mut packets = Packets::new(binary);
    let mut keys: Vec<Cut> = Vec::new();
    while let Some(tag) = packets.next()? {
        let body = packets.small(MAX_PACKET_BYTES)?;
        let is_secret = tag == tag::SECRET_KEY;
        if tag == tag::PUBLIC_KEY || is_secret {
            keys.push(Cut { is_secret, packets: Vec::new(), unsupported: None });
        }
        let Some(key) = keys.last_mut() else { continue };
        if matches!(tag, tag::PUBLIC_KEY | tag::SECRET_KEY | tag::PUBLIC_SUBKEY | tag::SECRET_SUBKEY) {
            key.unsupported = key.unsupported.take().or_else(|| kinds::unsupported_in(&body));
        }
        key.packets.extend(packet(tag, &body));
    }
    Ok(keys)
}

fn parse_one(key: Cut) -> Found {
    let packets = Cursor::new(key.packets);
    let unknown = Found::Unknown(key.unsupported);
    if key.is_secret {
        SignedSecretKey::from_bytes(packets).map_or(unknown, |key| Found::Secret(Box::new(key)))
    } else {
        SignedPublicKey::from_bytes(packets).map_or(unknown, |key| Found::Public(Box::new(key)))
    }
}

/// One that can't be read, of that kind if it is known.
pub fn unreadable(place: &str, kind: Option<&String>) -> Error {
    let Some(kind) = kind else {
        return Error::new(
            ErrorKind::Config,
            format!("{place} holds a key that is damaged or of no known kind"),
        );
    };
    let message = format!("{place} holds a key of a kind that isn't supported: {kind}");
    Error::new(ErrorKind::Config, message).hint(KINDS)
}

/// For errors about a kind that doesn't work.
pub const KINDS: &str = "Take a key of RSA, Curve25519 or a NIST curve.";

/// The public keys in `bytes`, one at least. A private one is refused: it doesn't belong where these are read. One that
/// can't be read is refused too unless `skips_unreadable` and there are others.
pub fn parse_public(bytes: &[u8], place: &str, skips_unreadable: bool) -> Result<Vec<SignedPublicKey>> {
    let is_private = String::from_utf8_lossy(bytes).contains(PRIVATE);
    let found = if is_private { Vec::new() } else { parse(bytes, place)? };
    if is_private || found.iter().any(|key| matches!(key, Found::Secret(_))) {
        return Err(Error::new(ErrorKind::Config, format!("{place} is a private key")).hint(
            "Take the public key, as `gpg --armor --export` writes it. Treat the private one as known to others, and make a new one.",
        ));
    }
    let (mut known, mut unknown) = (Vec::new(), None);
    for key in found {
        match key {
            Found::Public(key) => known.push(*key),
            Found::Unknown(kind) => unknown = unknown.or(Some(kind)),
            Found::Secret(_) => {}
        }
    }
    match unknown {
        Some(kind) if known.is_empty() || !skips_unreadable => Err(unreadable(place, kind.as_ref())),
        _ => Ok(known),
    }
}

/// What stands in a file of keys. One that can't be read is no damage of a snapshot.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("can't read the keys in `{}`", path.display());
    let config = |error: Error| Error { kind: ErrorKind::Config, ..error };
    let mut bytes = Vec::new();
    let file = File::open(path).during_with(what).map_err(config)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).during_with(what).map_err(config)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::new(ErrorKind::Config, format!("`{}` is larger than 64 MiB", path.display())));
    }
    Ok(bytes)
}
