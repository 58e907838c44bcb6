//! The encoder: a sink that writes one OpenPGP message into the next sink.
//!
//! Plain bytes go through three layers: a packet that holds them, one that encrypts that packet, and the armor where it is
//! asked for. Dropped before `finish`, it leaves a message whose last packet has no end, which no decoder takes for whole.

use std::io::{self, Write};

use pgp::composed::RawSessionKey;
use pgp::crypto::hash::HashAlgorithm;
use pgp::crypto::sym::SymmetricKeyAlgorithm::AES256;
use pgp::packet::{PacketTrait, PublicKeyEncryptedSessionKey, SymKeyEncryptedSessionKey};
use pgp::types::{Password, StringToKey};
use rand::RngCore;
use rand::rngs::OsRng;
use serde_json::Map;
use windlass_plugin_api::{Encoder, Error, ErrorKind, Finished, Result, Sink};

use crate::RECIPIENTS_PARAM;
use crate::armor::Out;
use crate::cfb::Cfb;
use crate::chunks::Chunks;
use crate::frame::Framed;
use crate::packets::tag;
use crate::recipients::{PASSPHRASE, Part, Recipient};
use crate::sign::Signer;

/// What precedes plain bytes: they are binary, and have no name and no date.
const LITERAL_HEAD: [u8; 6] = [b'b', 0, 0, 0, 0, 0];
/// How often a passphrase is hashed, as the format codes it: the most, 62 MiB.
const MOST_HASHING: u8 = 255;

/// Who can read what is written.
pub enum To<'a> {
    /// Each of these, alone.
    Recipients(&'a [Recipient]),
    /// Who knows the passphrase.
    Passphrase(String),
}

impl To<'_> {
    /// Whether all of them read version 2 of the protected packet. GnuPG doesn't, so a passphrase never asks for it.
    pub fn reads_chunks(&self) -> bool {
        match self {
            Self::Recipients(recipients) => recipients.iter().all(|recipient| recipient.reads_chunks),
            Self::Passphrase(_) => false,
        }
    }

    fn fingerprints(&self) -> Vec<String> {
        match self {
            Self::Recipients(recipients) => recipients.iter().map(|one| one.fingerprint.clone()).collect(),
            Self::Passphrase(_) => vec![PASSPHRASE.to_owned()],
        }
    }

    /// The packets that hold the session's key for each of them.
    fn head(&self, key: &RawSessionKey) -> pgp::errors::Result<Vec<u8>> {
        let mut head = Vec::new();
        match self {
            Self::Recipients(recipients) => {
                for recipient in *recipients {
                    let packet = match (recipient.part(), self.reads_chunks()) {
                        (Part::Primary(to), false) => {
                            PublicKeyEncryptedSessionKey::from_session_key_v3(OsRng, key, AES256, to)
                        }
                        (Part::Subkey(to), false) => {
                            PublicKeyEncryptedSessionKey::from_session_key_v3(OsRng, key, AES256, to)
                        }
                        (Part::Primary(to), true) => {
                            PublicKeyEncryptedSessionKey::from_session_key_v6(OsRng, key, to)
                        }
                        (Part::Subkey(to), true) => {
                            PublicKeyEncryptedSessionKey::from_session_key_v6(OsRng, key, to)
                        }
                    };
                    packet?.to_writer_with_header(&mut head)?;
                }
            }
            Self::Passphrase(passphrase) => {
                let hashing = StringToKey::new_iterated(OsRng, HashAlgorithm::Sha256, MOST_HASHING);
                let passphrase = Password::from(passphrase.as_str());
                let packet = SymKeyEncryptedSessionKey::encrypt_v4(&passphrase, key, hashing, AES256)?;
                packet.to_writer_with_header(&mut head)?;
            }
        }
        Ok(head)
    }
}

/// Writes what precedes the message into `next` at once.
pub fn encoder(
    to: &To<'_>,
    mut signer: Option<Signer>,
    armor: bool,
    next: Box<dyn Sink>,
) -> Result<Box<dyn Sink>> {
    let mut key = [0; 32];
    OsRng.try_fill_bytes(&mut key).map_err(|error| Error::failed("no random bytes").because(&error))?;
    let head = to.head(&RawSessionKey::from(&key[..])).map_err(|error| {
        Error::new(ErrorKind::Config, "can't encrypt to these recipients together").because(&error)
    })?;
    let mut out = Out::new(armor, next)?;
    out.write_all(&head)?;
    let framed = Framed::new(out, tag::PROTECTED)?;
    let mut protected = if to.reads_chunks() {
        Protected::Chunks(Box::new(Chunks::new(framed, &key)?))
    } else {
        Protected::Cfb(Box::new(Cfb::new(framed, &key)?))
    };
    if let Some(signer) = &mut signer {
        protected.write_all(signer.announced())?;
    }
    let mut literal = Framed::new(protected, tag::LITERAL)?;
    literal.write_all(&LITERAL_HEAD)?;
    let params = Map::from_iter([(RECIPIENTS_PARAM.to_owned(), to.fingerprints().into())]);
    Ok(Box::new(Encoder::new(Plain { literal, signer }, |plain| {
        let mut protected = plain.literal.finish()?;
        if let Some(signer) = plain.signer {
            protected.write_all(&signer.finish()?)?;
        }
        Ok((protected.finish()?.finish()?.finish()?, Finished { params, ..Finished::default() }))
    })))
}

/// Where plain bytes go.
struct Plain {
    literal: Framed<Protected>,
    signer: Option<Signer>,
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(signer) = &mut self.signer {
            signer.add(bytes)?;
        }
        self.literal.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.literal.flush()
    }
}

/// The protected packet, of one version or the other.
enum Protected {
    Cfb(Box<Cfb<Framed<Out>>>),
    Chunks(Box<Chunks<Framed<Out>>>),
}

impl Protected {
    fn finish(self) -> io::Result<Framed<Out>> {
        match self {
            Self::Cfb(cfb) => cfb.finish(),
            Self::Chunks(chunks) => chunks.finish(),
        }
    }
}

impl Write for Protected {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Cfb(cfb) => cfb.write(bytes),
            Self::Chunks(chunks) => chunks.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Cfb(cfb) => cfb.flush(),
            Self::Chunks(chunks) => chunks.flush(),
        }
    }
}
