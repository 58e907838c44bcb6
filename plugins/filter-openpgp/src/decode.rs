//! The decoder: a reader of the plain bytes of one OpenPGP message, binary or armored.
//!
//! A message without integrity protection is refused. With a hash at the end (version 1) plain bytes leave before they are
//! proved, for the host holds back the end; with tags (version 2) no byte does. Either way the end is told only when
//! everything was proved and nothing follows. Which key opens it is the [`keyring`](crate::keyring)'s business.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use pgp::composed::{PlainSessionKey, SignedPublicKey};
use pgp::crypto::aead::{AeadAlgorithm, ChunkSize, StreamDecryptor};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::packet::{PacketHeader, PublicKeyEncryptedSessionKey, SymKeyEncryptedSessionKey};
use pgp::types::{Seipdv1ReadMode, Tag};
use windlass_plugin_api::{Error, ErrorKind, Reader, Result};

use crate::armor::Dearmored;
use crate::keyring::{Head, Keyring};
use crate::message;
use crate::packets::{Body, Packets, tag, truncated};

/// What is asked of the input at a time.
const INPUT_BYTES: usize = 64 * 1024;
/// What precedes the message can't be larger: it would only fill the memory.
const HEAD_BYTES: usize = 256 * 1024;
/// The longest beginning of version 1: a block of random bytes, and the last two of them again.
const PREFIX_BYTES: usize = 18;

type Input = Box<dyn BufRead + Send>;

/// Reads what precedes the message in `input`, lets `keys` open it, and returns a reader of what it holds. If the message
/// `is_ours`, nothing but it may be there.
pub fn decoder(
    keys: &Keyring<'_>,
    signers: Option<Vec<SignedPublicKey>>,
    is_ours: bool,
    input: Reader,
) -> Result<Reader> {
    let mut input = BufReader::with_capacity(INPUT_BYTES, Stored(input));
    // The first bit of every packet is set, and of no letter.
    let input: Input = match *input.fill_buf()?.first().ok_or_else(truncated)? {
        first if first & 0x80 == 0 => {
            Box::new(BufReader::with_capacity(INPUT_BYTES, Dearmored::new(input, is_ours)?))
        }
        _ => Box::new(input),
    };
    let mut packets = Packets::new(input);
    let (head, kind) = read_head(&mut packets)?;
    let plain = match (kind, octets::<1>(&mut packets)?[0]) {
        (tag::PROTECTED, 1) => hashed(keys, &head, packets)?,
        (tag::PROTECTED, 2) | (tag::GNUPG_AEAD, 1) => tagged(keys, &head, kind, packets)?,
        _ => {
            let what = "the OpenPGP message is encrypted in a later version of the format, or damaged";
            return Err(Error::damaged(what));
        }
    };
    let plain = BufReader::with_capacity(INPUT_BYTES, Proved(plain));
    Ok(Box::new(Decoder { reader: message::open(Box::new(plain), signers)?, failure: None }))
}

/// The packets that hold the session's key, and the kind of the one that it opens.
fn read_head(packets: &mut Packets<Input>) -> Result<(Head, u8)> {
    let mut head = Head::default();
    let mut left = HEAD_BYTES;
    loop {
        let tag = packets.next()?.ok_or_else(truncated)?;
        match tag {
            tag::PKESK | tag::SKESK | tag::MARKER | tag::PADDING => {}
            tag::PROTECTED | tag::GNUPG_AEAD => return Ok((head, tag)),
            tag::UNPROTECTED => return Err(unprotected()),
            tag::COMPRESSED | tag::LITERAL | tag::ONE_PASS | tag::SIGNATURE => {
                return Err(Error::damaged("the OpenPGP message isn't encrypted"));
            }
            _ => return Err(Error::damaged("the stream doesn't begin like an OpenPGP message")),
        }
        let body = packets.small(left)?;
        left -= body.len();
        let header = |tag| PacketHeader::new_fixed(tag, body.len() as u32);
        if tag == tag::PKESK {
            let header = header(Tag::PublicKeyEncryptedSessionKey);
            match PublicKeyEncryptedSessionKey::try_from_reader(header, &body[..]) {
                Ok(packet) => head.to_keys.push(packet),
                Err(_) => head.unknown += 1,
            }
        } else if tag == tag::SKESK {
            let header = header(Tag::SymKeyEncryptedSessionKey);
            match SymKeyEncryptedSessionKey::try_from_reader(header, &body[..]) {
                Ok(packet) => head.to_passphrases.push(packet),
                Err(_) => head.unknown += 1,
            }
        }
    }
}

fn unprotected() -> Error {
    Error::damaged("the OpenPGP message has no integrity protection: anybody could have changed it").hint(
        "If you trust where it comes from, decrypt it with `gpg --ignore-mdc-error -d`, and restore the result.",
    )
}

/// Version 1: CFB mode, and a hash at the end.
fn hashed(keys: &Keyring<'_>, head: &Head, mut packets: Packets<Input>) -> Result<Reader> {
    let prefix = octets::<PREFIX_BYTES>(&mut packets)?;
    let key = keys.open(head, |key| begins(key, &prefix))?;
    let PlainSessionKey::V3_4 { sym_alg, key } = &key else { return Err(mixed()) };
    let body = Cursor::new(prefix).chain(BufReader::with_capacity(INPUT_BYTES, Body(packets)));
    let plain = sym_alg.stream_decryptor_protected(Seipdv1ReadMode::Streaming, key.as_ref(), body);
    Ok(Box::new(plain.map_err(|_| unknown_cipher())?))
}

/// Whether `key` makes a beginning of `prefix`: a block, and its last two bytes again.
fn begins(key: &PlainSessionKey, prefix: &[u8; PREFIX_BYTES]) -> bool {
    let PlainSessionKey::V3_4 { sym_alg, key } = key else { return false };
    let block = sym_alg.block_size();
    if block == 0 || block + 2 > PREFIX_BYTES {
        return false;
    }
    let mut start = prefix[..block + 2].to_vec();
    let decrypted = sym_alg.decrypt_with_iv_regular(key.as_ref(), &vec![0; block], &mut start);
    decrypted.is_ok() && start[block - 2..block] == start[block..]
}

/// Chunks with a tag each: version 2, and what GnuPG had before that was agreed on.
fn tagged(keys: &Keyring<'_>, head: &Head, kind: u8, mut packets: Packets<Input>) -> Result<Reader> {
    let [cipher, mode, chunk] = octets::<3>(&mut packets)?;
    let (cipher, mode) = (SymmetricKeyAlgorithm::from(cipher), AeadAlgorithm::from(mode));
    let chunk = ChunkSize::try_from(chunk)
        .map_err(|_| Error::damaged("the OpenPGP message has chunks of a size that can't be"))?;
    // The library takes it for granted that these are known.
    if !matches!(mode, AeadAlgorithm::Eax | AeadAlgorithm::Ocb | AeadAlgorithm::Gcm)
        || cipher.block_size() != 16
    {
        return Err(Error::damaged("the OpenPGP message is encrypted in a mode that nobody knows"));
    }
    let start = if kind == tag::PROTECTED { 32 } else { mode.iv_size() };
    let mut salt = vec![0; start];
    packets.exact(&mut salt)?;
    let body = BufReader::with_capacity(INPUT_BYTES, Body(packets));
    let fits = |key: &PlainSessionKey| match key {
        PlainSessionKey::V6 { key } => kind == tag::PROTECTED && key.len() == cipher.key_size(),
        PlainSessionKey::V5 { key } | PlainSessionKey::V3_4 { key, .. } => {
            kind != tag::PROTECTED && key.len() == cipher.key_size()
        }
    };
    let key = keys.open(head, fits)?;
    let (PlainSessionKey::V6 { key } | PlainSessionKey::V5 { key } | PlainSessionKey::V3_4 { key, .. }) =
        &key;
    let plain = match <&[u8; 32]>::try_from(&salt[..]) {
        Ok(salt) if kind == tag::PROTECTED => {
            StreamDecryptor::new_rfc9580(cipher, mode, chunk, salt, key.as_ref(), body)
        }
        _ => StreamDecryptor::new_gnupg(cipher, mode, chunk, key.as_ref(), &salt, body),
    };
    Ok(Box::new(plain.map_err(|_| unknown_cipher())?))
}

fn octets<const COUNT: usize>(packets: &mut Packets<Input>) -> Result<[u8; COUNT]> {
    let mut octets = [0; COUNT];
    packets.exact(&mut octets)?;
    Ok(octets)
}

fn mixed() -> Error {
    Error::damaged("the OpenPGP message mixes versions of the format")
}

fn unknown_cipher() -> Error {
    Error::new(ErrorKind::Unsupported, "the OpenPGP message is encrypted with a cipher that isn't known")
}

/// The stored bytes. Its errors are told from those of the layers above by their type.
struct Stored(Reader);

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(|error| Error::from(error).into_io()),
            }
        }
    }
}

/// What the library decrypts.
struct Proved(Reader);

impl Read for Proved {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(as_damage)
    }
}

/// Errors that came up from below stay as they are; a library's own are about the bytes.
pub fn as_damage(error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<Error>()) {
        return error;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => truncated().into_io(),
        _ => Error::damaged("the OpenPGP message is damaged").because(&error).into_io(),
    }
}

struct Decoder {
    reader: Reader,
    /// What every later read returns.
    failure: Option<Error>,
}

impl Read for Decoder {
    fn read(&mut self, plain: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into());
        }
        self.reader.read(plain).map_err(|error| {
            let error = Error::from(error);
            self.failure = Some(error.clone());
            error.into_io()
        })
    }
}
