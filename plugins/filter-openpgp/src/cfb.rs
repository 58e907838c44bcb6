//! Encryption in the form that every OpenPGP program reads: AES-256 in CFB mode, and at the end a hash of all plain bytes
//! (version 1 of the protected packet).
//!
//! Bytes are hashed and encrypted in turns of 64: both wait for their own last result most of the time, so that the
//! processor does the one while it waits for the other.

use std::io::{self, Write};

use aes::Aes256;
use cfb_mode::Encryptor;
use cfb_mode::cipher::inout::InOutBuf;
use cfb_mode::cipher::{AsyncStreamCipher, BlockEncryptMut, KeyIvInit};
use rand::RngCore;
use rand::rngs::OsRng;
use sha1::{Digest, Sha1};

/// The version of the packet.
const VERSION: u8 = 1;
const BLOCK_BYTES: usize = 16;
/// What is encrypted at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// What is hashed and encrypted in one turn.
const TURN_BYTES: usize = 64;
/// The header of the packet that holds the hash, which is hashed as well.
const MDC_HEADER: [u8; 2] = [0xd3, 20];

/// Encrypts what is written to it.
pub struct Cfb<W> {
    next: W,
    cipher: Encryptor<Aes256>,
    hash: Sha1,
    /// Plain bytes to be encrypted.
    buffer: Vec<u8>,
}

impl<W: Write> Cfb<W> {
    /// Begins with random bytes, the last two of them twice: by these a reader knows a wrong key.
    pub fn new(mut next: W, key: &[u8; 32]) -> io::Result<Self> {
        next.write_all(&[VERSION])?;
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        buffer.resize(BLOCK_BYTES, 0);
        OsRng.try_fill_bytes(&mut buffer).map_err(io::Error::other)?;
        buffer.extend_from_within(BLOCK_BYTES - 2..);
        let cipher = Encryptor::new(key.into(), &[0; BLOCK_BYTES].into());
        Ok(Self { next, cipher, hash: Sha1::new(), buffer })
    }

    /// Encrypts the buffer, which is full.
    fn encrypt(&mut self) -> io::Result<()> {
        for turn in self.buffer.chunks_exact_mut(TURN_BYTES) {
            self.hash.update(&*turn);
            let (blocks, _) = InOutBuf::from(turn).into_chunks();
            self.cipher.encrypt_blocks_inout_mut(blocks);
        }
        self.next.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes the rest and the hash, and gives back what is behind.
    pub fn finish(mut self) -> io::Result<W> {
        self.buffer.extend_from_slice(&MDC_HEADER);
        self.hash.update(&self.buffer);
        self.buffer.extend_from_slice(&self.hash.finalize());
        self.cipher.encrypt(&mut self.buffer);
        self.next.write_all(&self.buffer)?;
        Ok(self.next)
    }
}

impl<W: Write> Write for Cfb<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while self.buffer.len() + rest.len() >= BUFFER_BYTES {
            let (filling, behind) = rest.split_at(BUFFER_BYTES - self.buffer.len());
            self.buffer.extend_from_slice(filling);
            self.encrypt()?;
            rest = behind;
        }
        self.buffer.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}
