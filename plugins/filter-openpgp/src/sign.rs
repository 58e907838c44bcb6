//! Signing what is encrypted: announced before the first byte, so that a reader can hash along, and made after the last.
//!
//! The key is unlocked once for a stream. It leaves this file only as a signature.

use std::io::Write;

use pgp::composed::{SignedPublicKey, SignedSecretKey};
use pgp::packet::{
    OnePassSignature, PacketTrait, SecretKey, SecretSubkey, SignatureConfig, SignatureHasher, SignatureType,
    SignatureVersionSpecific, Subpacket, SubpacketData,
};
use pgp::types::{Fingerprint, KeyDetails, Password, SigningKey, Timestamp};
use rand::rngs::OsRng;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::validity::{Chosen, Standing, Survey, Use};
use crate::{certs, identities, kinds};

/// A private key that needs no passphrase any more.
enum Key {
    Primary(Box<SecretKey>),
    Subkey(Box<SecretSubkey>),
}

/// A signature in the making.
pub struct Signer {
    key: Key,
    hasher: SignatureHasher,
    announced: Vec<u8>,
}

impl Signer {
    /// With the one key in `text`, which `passphrase` unlocks.
    pub fn new(text: &str, passphrase: Option<String>) -> Result<Self> {
        let refuse = |why: &str| Error::new(ErrorKind::Config, format!("the key of `sign_with` {why}"));
        // What can't be read can be decrypted with elsewhere, but not signed with here.
        let keys = identities::parse(text.as_bytes(), "`sign_with`").map_err(|error| match error.kind {
            ErrorKind::Unsupported => {
                Error { kind: ErrorKind::Config, hint: None, ..error }.hint(certs::KINDS)
            }
            _ => error,
        })?;
        let [secret] = &keys[..] else { return Err(refuse("isn't one key, but several")) };
        let key = unlocked(choose(secret)?, passphrase)?;
        let signs = key.as_signing();
        let (hasher, announced) = begin(signs).map_err(|error| refuse("can't sign").because(&error))?;
        Ok(Self { key, hasher, announced })
    }

    /// The packet that precedes what is signed.
    pub fn announced(&self) -> &[u8] {
        &self.announced
    }

    pub fn add(&mut self, plain: &[u8]) -> std::io::Result<()> {
        self.hasher.write_all(plain)
    }

    /// The packet that follows.
    pub fn finish(self) -> Result<Vec<u8>> {
        let failed = |error| Error::failed("can't sign").because(&error);
        let signature = self.key.sign(self.hasher).map_err(failed)?;
        let mut bytes = Vec::new();
        signature.to_writer_with_header(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

impl Key {
    fn as_signing(&self) -> &dyn SigningKey {
        match self {
            Self::Primary(key) => &**key,
            Self::Subkey(key) => &**key,
        }
    }

    fn sign(&self, hasher: SignatureHasher) -> pgp::errors::Result<pgp::packet::Signature> {
        match self {
            Self::Primary(key) => hasher.sign(&**key, &Password::empty()),
            Self::Subkey(key) => hasher.sign(&**key, &Password::empty()),
        }
    }
}

/// The part of the key to sign with.
fn choose(secret: &SignedSecretKey) -> Result<Key> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("the key of `sign_with` {why}"));
    let public = SignedPublicKey::from(secret.clone());
    let survey = Survey::new(&public, Timestamp::now());
    if let Some(kind) = kinds::unsupported(&public.primary_key) {
        return Err(refuse(&format!("is of a kind that isn't supported: {kind}")).hint(certs::KINDS));
    }
    match survey.standing {
        Standing::Good => {}
        Standing::Revoked => return Err(refuse("was revoked")),
        Standing::Expired(_) => return Err(refuse("expired")),
        Standing::Early | Standing::Unsigned => return Err(refuse("doesn't hold")),
    }
    let fingerprint = |number: usize| public.public_subkeys[number].key.fingerprint();
    let subkey = |wanted: Fingerprint| {
        let mut subkeys = secret.secret_subkeys.iter().map(|subkey| &subkey.key);
        subkeys.find(|key| key.fingerprint() == wanted && identities::is_there(key.secret_params()))
    };
    let is_there = |part| match part {
        Chosen::Primary => identities::is_there(secret.primary_key.secret_params()),
        Chosen::Subkey(number) => subkey(fingerprint(number)).is_some(),
    };
    match survey.choose(Use::Sign, is_there) {
        Ok(Chosen::Subkey(number)) => match subkey(fingerprint(number)) {
            Some(key) => Ok(Key::Subkey(Box::new(key.clone()))),
            None => Err(refuse("lacks the part that signs")),
        },
        Ok(Chosen::Primary) => Ok(Key::Primary(Box::new(secret.primary_key.clone()))),
        Err(Some(_)) => Err(refuse("has a part that signs, which doesn't hold any more")),
        Err(None) => Err(refuse("has no part that signs")),
    }
}

fn unlocked(mut key: Key, passphrase: Option<String>) -> Result<Key> {
    let is_locked = match &key {
        Key::Primary(key) => key.secret_params().is_encrypted(),
        Key::Subkey(key) => key.secret_params().is_encrypted(),
    };
    if !is_locked {
        return Ok(key);
    }
    let Some(passphrase) = passphrase else {
        return Err(Error::new(ErrorKind::Config, "the key of `sign_with` needs a passphrase")
            .hint("Set `sign_passphrase`."));
    };
    let passphrase = Password::from(passphrase);
    let removed = match &mut key {
        Key::Primary(key) => key.remove_password(&passphrase),
        Key::Subkey(key) => key.remove_password(&passphrase),
    };
    let wrong = |_| Error::new(ErrorKind::Config, "`sign_passphrase` doesn't unlock the key of `sign_with`");
    removed.map(|()| key).map_err(wrong)
}

fn begin(key: &dyn SigningKey) -> pgp::errors::Result<(SignatureHasher, Vec<u8>)> {
    let fingerprint = key.fingerprint();
    let kind = SignatureType::Binary;
    let mut config = SignatureConfig::from_key(OsRng, &Box::new(key), kind)?;
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(Timestamp::now()))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(fingerprint.clone()))?,
    ];
    let (hash, algorithm) = (config.hash_alg, config.pub_alg);
    let packet = match (&config.version_specific, &fingerprint) {
        (SignatureVersionSpecific::V6 { salt }, Fingerprint::V6(fingerprint)) => {
            OnePassSignature::v6(kind, hash, algorithm, salt.clone(), *fingerprint)
        }
        _ => {
            let id = key.legacy_key_id();
            config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(id))?];
            OnePassSignature::v3(kind, hash, algorithm, id)
        }
    };
    let mut announced = Vec::new();
    packet.to_writer_with_header(&mut announced)?;
    Ok((config.into_hasher()?, announced))
}
