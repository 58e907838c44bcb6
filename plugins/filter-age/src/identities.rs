//! Private keys: read from what the user gave, and unlocked where a passphrase locks them.
//!
//! Which of them is tried when is the [`keyring`](crate::keyring)'s business. No error quotes what stands in a key.

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use age::{DecryptError, Decryptor, Identity, scrypt, ssh, x25519};
use age_core::format::{FileKey, Stanza};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::decode::{AGE, ARMOR};
use crate::recipients::{Recipient, ssh_tag, x25519_fingerprint};

/// The largest work factor that can be set: 4 GiB of memory.
pub const MOST_WORK: u8 = 22;
/// A file of keys larger than this, in bytes, is another file.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// A private key.
pub enum Key {
    /// `AGE-SECRET-KEY-1…`
    X25519(x25519::Identity),
    /// An ssh key.
    Ssh(ssh::Identity),
    /// An ssh key that a passphrase locks.
    LockedSsh(ssh::Identity),
    /// A file of keys, encrypted with a passphrase.
    LockedFile(Vec<u8>),
}

/// All keys in `bytes`; `place` says where they stand, for errors.
pub fn parse(bytes: &[u8], place: &str) -> Result<Vec<Key>> {
    if bytes.starts_with(AGE) || bytes.starts_with(ARMOR) {
        return Ok(vec![Key::LockedFile(bytes.to_vec())]);
    }
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("{place} {why}"));
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("holds no identity: it isn't text"))?.trim();
    if text.starts_with("-----BEGIN") {
        return Ok(vec![parse_ssh(text, place)?]);
    }
    let mut keys = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = line.parse().map_err(|_| {
            let error = refuse(&format!("holds something else than an identity in line {number}"));
            match line {
                _ if line.starts_with("AGE-PLUGIN-") => error.hint(
                    "Keys that live in a device need the program `age`: see RESTORE.txt in the snapshot.",
                ),
                _ if line.starts_with("age1") || line.starts_with("ssh-") => error.hint(
                    "That is a public key; the private one begins with `AGE-SECRET-KEY-1` or `-----BEGIN`.",
                ),
                _ => error.hint("An identity begins with `AGE-SECRET-KEY-1`, or is an ssh private key."),
            }
        })?;
        keys.push(Key::X25519(key));
    }
    if keys.is_empty() { Err(refuse("holds no identity")) } else { Ok(keys) }
}

fn parse_ssh(text: &str, place: &str) -> Result<Key> {
    let refuse = || {
        Error::new(ErrorKind::Config, format!("{place} isn't an ssh key that age can decrypt with")).hint(
            "It takes `ssh-ed25519` and `ssh-rsa` keys; `ssh-keygen -p -f KEYFILE` rewrites one of an old format.",
        )
    };
    match ssh::Identity::from_buffer(text.as_bytes(), None) {
        Ok(key @ ssh::Identity::Unencrypted(_)) => Ok(Key::Ssh(key)),
        Ok(key @ ssh::Identity::Encrypted(_)) => Ok(Key::LockedSsh(key)),
        Ok(ssh::Identity::Unsupported(_)) | Err(_) => Err(refuse()),
    }
}

impl Key {
    /// Whether it opens nothing without a passphrase.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::LockedSsh(_) | Self::LockedFile(_))
    }

    /// The stream's key, if this one opens the header.
    pub fn open(&self, header: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        match self {
            Self::X25519(key) => key.unwrap_stanzas(header),
            Self::Ssh(key) => key.unwrap_stanzas(header),
            Self::LockedSsh(_) | Self::LockedFile(_) => None,
        }
    }

    /// The fingerprint of its public key, where that is known.
    pub fn recipient(&self) -> Option<String> {
        match self {
            Self::X25519(key) => Some(x25519_fingerprint(&key.to_public())),
            Self::Ssh(key) | Self::LockedSsh(key) => {
                let recipient = ssh::Recipient::try_from(key.clone()).ok()?;
                Some(Recipient::Ssh(recipient).fingerprint())
            }
            Self::LockedFile(_) => None,
        }
    }

    /// What the passphrase makes of a locked key; nothing if it is a wrong one.
    pub fn unlock(&self, passphrase: SecretString, work_factor: u8) -> Result<Vec<Self>> {
        match self {
            Self::LockedSsh(ssh::Identity::Encrypted(key)) => {
                Ok(key.decrypt(passphrase).into_iter().map(|key| Self::Ssh(key.into())).collect())
            }
            Self::LockedFile(bytes) => unlock_file(bytes, passphrase, work_factor),
            _ => Ok(Vec::new()),
        }
    }

    /// Whether it may open the stream: of an ssh key the header says so, of a file of keys nobody knows.
    pub fn may_open(&self, header: &[Stanza]) -> bool {
        let Self::LockedSsh(key) = self else { return true };
        let tag = ssh::Recipient::try_from(key.clone()).map(|recipient| ssh_tag(&recipient));
        tag.is_ok_and(|tag| header.iter().any(|stanza| stanza.args.first() == Some(&tag)))
    }
}

fn unlock_file(bytes: &[u8], passphrase: SecretString, work_factor: u8) -> Result<Vec<Key>> {
    use std::io::Read;
    let damaged = || {
        Error::new(ErrorKind::Config, "the file of identities is damaged, or not encrypted with a passphrase")
    };
    let decryptor = Decryptor::new(ArmoredReader::new(bytes)).map_err(|_| damaged())?;
    if !decryptor.is_scrypt() {
        return Err(damaged());
    }
    let identity = with_limit(passphrase, work_factor);
    let reader = match decryptor.decrypt(std::iter::once(&identity as &dyn Identity)) {
        Ok(reader) => reader,
        Err(DecryptError::DecryptionFailed) => return Ok(Vec::new()),
        Err(DecryptError::ExcessiveWork { required, .. }) => {
            return Err(too_much_work(required, work_factor));
        }
        Err(_) => return Err(damaged()),
    };
    let mut text = Vec::new();
    reader.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(|_| damaged())?;
    let keys = parse(&text, "the encrypted file of identities")?;
    if keys.iter().any(Key::is_locked) { Err(damaged()) } else { Ok(keys) }
}

/// A passphrase, and the largest work factor that is accepted for it.
pub fn with_limit(passphrase: SecretString, work_factor: u8) -> scrypt::Identity {
    let mut identity = scrypt::Identity::new(passphrase);
    identity.set_max_work_factor(work_factor);
    identity
}

/// A header that asks for more.
pub fn too_much_work(required: u8, limit: u8) -> Error {
    let message = format!("opening it takes scrypt's work factor {required}, and the limit is {limit}");
    let error = Error::new(ErrorKind::Config, message);
    if required > MOST_WORK {
        return error.hint("Nobody sets as much: the stream is damaged or forged.");
    }
    error.hint(format!(
        "Unless it is damaged or forged, set `work_factor = {required}` in `[decode.age]`; it takes {} GiB of memory.",
        1 << (required - 20)
    ))
}
