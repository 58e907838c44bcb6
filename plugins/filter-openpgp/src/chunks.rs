//! Encryption in the newer form: AES-256 in OCB mode, in chunks with a tag each and one at the end over their number
//! (version 2 of the protected packet, RFC 9580).

use std::io::{self, Write};

use hkdf::Hkdf;
use pgp::bytes::BytesMut;
use pgp::crypto::aead::{AeadAlgorithm, ChunkSize};
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use rand::RngCore;
use rand::rngs::OsRng;
use sha2::Sha256;

/// The packet's first octet and its version.
const HEAD: [u8; 2] = [0xd2, 2];
const CIPHER: SymmetricKeyAlgorithm = SymmetricKeyAlgorithm::AES256;
const MODE: AeadAlgorithm = AeadAlgorithm::Ocb;
const CHUNK: ChunkSize = ChunkSize::C64KiB;
const CHUNK_BYTES: usize = CHUNK.as_byte_size() as usize;
const KEY_BYTES: usize = 32;
/// The rest of a nonce is the chunk's number.
const IV_BYTES: usize = 7;

/// Encrypts what is written to it.
pub struct Chunks<W> {
    next: W,
    /// What belongs to every tag.
    info: [u8; 5],
    key: [u8; KEY_BYTES],
    iv: [u8; IV_BYTES],
    number: u64,
    plain_bytes: u64,
    /// The chunk that is being filled.
    buffer: BytesMut,
}

impl<W: Write> Chunks<W> {
    /// Derives a key of its own from the session's one and a salt.
    pub fn new(mut next: W, session_key: &[u8; KEY_BYTES]) -> io::Result<Self> {
        let info = [HEAD[0], HEAD[1], CIPHER.into(), MODE.into(), CHUNK.into()];
        let mut salt = [0; 32];
        OsRng.try_fill_bytes(&mut salt).map_err(io::Error::other)?;
        next.write_all(&info[1..])?;
        next.write_all(&salt)?;
        let mut derived = [0; KEY_BYTES + IV_BYTES];
        Hkdf::<Sha256>::new(Some(&salt), session_key)
            .expand(&info, &mut derived)
            .map_err(io::Error::other)?;
        let (mut key, mut iv) = ([0; KEY_BYTES], [0; IV_BYTES]);
        key.copy_from_slice(&derived[..KEY_BYTES]);
        iv.copy_from_slice(&derived[KEY_BYTES..]);
        let buffer = BytesMut::with_capacity(CHUNK_BYTES + 16);
        Ok(Self { next, info, key, iv, number: 0, plain_bytes: 0, buffer })
    }

    fn seal(&mut self, info: &[u8]) -> io::Result<()> {
        let nonce = [&self.iv[..], &self.number.to_be_bytes()].concat();
        self.plain_bytes += self.buffer.len() as u64;
        MODE.encrypt_in_place(&CIPHER, &self.key, &nonce, info, &mut self.buffer)
            .map_err(io::Error::other)?;
        self.number += 1;
        self.next.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the last tags, and gives back what is behind.
    pub fn finish(mut self) -> io::Result<W> {
        if !self.buffer.is_empty() {
            self.seal(&self.info.clone())?;
        }
        let info = [&self.info[..], &self.plain_bytes.to_be_bytes()].concat();
        self.seal(&info)?;
        Ok(self.next)
    }
}

impl<W: Write> Write for Chunks<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while self.buffer.len() + rest.len() >= CHUNK_BYTES {
            let (filling, behind) = rest.split_at(CHUNK_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(filling);
            self.seal(&self.info.clone())?;
            rest = behind;
        }
        self.buffer.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}
