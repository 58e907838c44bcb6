//! Private keys: read from what the user gave, and the parts of them that may open a stream.
//!
//! Which of them is tried when is the [`keyring`](crate::keyring)'s business. No error quotes what stands in a key.

use pgp::composed::{PlainSessionKey, SignedSecretKey};
use pgp::packet::{PublicKeyEncryptedSessionKey, SecretKey, SecretSubkey};
use pgp::types::{
    DecryptionKey, EskType, KeyDetails, Password, PkeskBytes, S2kParams, SecretParams, StringToKey,
};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::certs::{self, Found};
use crate::kinds;
use crate::recipients::short;

/// A part of a private key.
pub enum Part<'a> {
    Primary(&'a SecretKey),
    Subkey(&'a SecretSubkey),
}

/// How a part of a key answers to the packet of a session key.
pub enum Answer {
    Opened(PlainSessionKey),
    /// The part is unlocked, and should have opened it.
    Failed,
    /// The passphrase is another one.
    Locked,
}

/// All keys in `bytes`; `place` says where they stand, for errors.
pub fn parse(bytes: &[u8], place: &str) -> Result<Vec<SignedSecretKey>> {
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("{place} {why}"));
    let mut keys = Vec::new();
    let (mut has_public, mut unknown) = (false, None);
    for found in certs::parse(bytes, place)? {
        match found {
            Found::Secret(key) => keys.push(*key),
            Found::Public(_) => has_public = true,
            Found::Unknown(kind) => unknown = unknown.or(Some(kind)),
        }
    }
    match keys.len() {
        0 if has_public => Err(refuse("holds a public key and no private one")
            .hint("`gpg --armor --export-secret-keys NAME` writes the private one.")),
        0 => {
            let error = certs::unreadable(place, unknown.as_ref().and_then(Option::as_ref));
            Err(if unknown.flatten().is_some() { unsupported(error) } else { error })
        }
        _ => Ok(keys),
    }
}

/// The key is sound, and of a kind that doesn't decrypt here.
pub fn unsupported(error: Error) -> Error {
    Error { kind: ErrorKind::Unsupported, hint: None, ..error }.hint("Import the key into `gpg`, decrypt the stored files with `gpg -d`, and restore the result with `windlass restore --input FILE`.")
}

/// Whether the private part is here: GnuPG writes keys whose main part was left out, or lives on a card.
pub fn is_there(params: &SecretParams) -> bool {
    let SecretParams::Encrypted(locked) = params else { return true };
    match locked.string_to_key_params() {
        S2kParams::Cfb { s2k, .. } | S2kParams::Aead { s2k, .. } | S2kParams::MalleableCfb { s2k, .. } => {
            !matches!(s2k, StringToKey::Private { .. } | StringToKey::Other { .. })
        }
        S2kParams::Unprotected | S2kParams::LegacyCfb { .. } => true,
    }
}

/// The parts of `key` whose private half is here and which can decrypt.
pub fn parts(key: &SignedSecretKey) -> impl Iterator<Item = Part<'_>> {
    let subkeys = key.secret_subkeys.iter().map(|subkey| Part::Subkey(&subkey.key));
    let all = subkeys.chain([Part::Primary(&key.primary_key)]);
    all.filter(|part| is_there(part.params()) && part.can_decrypt())
}

/// What a manifest names the key by.
pub fn fingerprint(key: &SignedSecretKey) -> String {
    short(&key.primary_key.fingerprint())
}

impl Part<'_> {
    fn params(&self) -> &SecretParams {
        match self {
            Self::Primary(key) => key.secret_params(),
            Self::Subkey(key) => key.secret_params(),
        }
    }

    fn can_decrypt(&self) -> bool {
        match self {
            Self::Primary(key) => key.algorithm().can_encrypt(),
            Self::Subkey(key) => key.algorithm().can_encrypt(),
        }
    }

    /// Its kind, if it is one that can't be decrypted with.
    pub fn unsupported(&self) -> Option<String> {
        match self {
            Self::Primary(key) => kinds::unsupported(*key),
            Self::Subkey(key) => kinds::unsupported(*key),
        }
    }

    /// Whether it opens nothing without a passphrase.
    pub fn is_locked(&self) -> bool {
        self.params().is_encrypted()
    }

    /// Whether the packet is for it, or says not for whom it is.
    pub fn may_open(&self, packet: &PublicKeyEncryptedSessionKey) -> bool {
        match self {
            Self::Primary(key) => packet.match_identity(key),
            Self::Subkey(key) => packet.match_identity(key),
        }
    }

    /// Tries to open the packet.
    pub fn open(&self, packet: &PublicKeyEncryptedSessionKey, passphrase: &Password) -> Answer {
        let kind = match packet {
            PublicKeyEncryptedSessionKey::V6 { .. } => EskType::V6,
            _ => EskType::V3_4,
        };
        let Ok(values) = packet.values() else { return Answer::Failed };
        match self.decrypt(passphrase, values, kind) {
            Ok(Ok(key)) => Answer::Opened(key),
            Ok(Err(_)) => Answer::Failed,
            Err(_) if self.is_locked() => Answer::Locked,
            Err(_) => Answer::Failed,
        }
    }

    fn decrypt(
        &self,
        passphrase: &Password,
        values: &PkeskBytes,
        kind: EskType,
    ) -> pgp::errors::Result<pgp::errors::Result<PlainSessionKey>> {
        match self {
            Self::Primary(key) => key.decrypt(passphrase, values, kind),
            Self::Subkey(key) => key.decrypt(passphrase, values, kind),
        }
    }
}
