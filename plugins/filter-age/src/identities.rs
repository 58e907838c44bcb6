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

/// What some editors write before a text.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A private key.
pub enum Key {
    /// `AGE-SECRET-KEY-1…`
    X25519(x25519::Identity),
    /// An ssh key.
    Ssh(ssh::Identity),
    /// An ssh key that a passphrase locks.
    LockedSsh(ssh::Identity),
    /// A file of keys, encrypted with a passphrase, and where it stands, for errors.
    LockedFile { bytes: Vec<u8>, place: String },
}

/// Keys, and what is wrong with others: one that opens the stream is enough.
#[derive(Default)]
pub struct Found {
    pub keys: Vec<Key>,
    pub problems: Vec<Error>,
}

impl Found {
    /// What stands in several places.
    pub fn add(&mut self, found: Result<Self>) {
        match found {
            Ok(found) => {
                self.keys.extend(found.keys);
                self.problems.extend(found.problems);
            }
            Err(error) => self.problems.push(error),
        }
    }
}

/// All keys in `bytes`; `place` says where they stand, for errors. Of lines that are none the first is told.
pub fn parse(bytes: &[u8], place: &str) -> Result<Found> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let only = |key| Ok(Found { keys: vec![key], problems: Vec::new() });
    if bytes.starts_with(AGE) || bytes.starts_with(ARMOR) {
        return only(Key::LockedFile { bytes: bytes.to_vec(), place: place.to_owned() });
    }
    let refuse = |why: &str| Error::new(ErrorKind::Config, format!("{place} {why}"));
    let text = std::str::from_utf8(bytes).map_err(|_| refuse("holds no identity: it isn't text"))?.trim();
    if text.starts_with("-----BEGIN") {
        return only(parse_ssh(text, place)?);
    }
    let mut found = Found::default();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.parse() {
            Ok(key) => found.keys.push(Key::X25519(key)),
            Err(_) if found.problems.is_empty() => found.problems.push(no_identity(line, number, place)),
            Err(_) => {}
        }
    }
    let is_empty = found.keys.is_empty() && found.problems.is_empty();
    if is_empty { Err(refuse("holds no identity")) } else { Ok(found) }
}

fn no_identity(line: &str, number: usize, place: &str) -> Error {
    let what = format!("{place} holds something else than an identity in line {number}");
    Error::new(ErrorKind::Config, what).hint(match line {
        _ if line.starts_with("AGE-PLUGIN-") => {
            "Keys that live in a device need the program `age`: see RESTORE.txt in the snapshot."
        }
        _ if line.starts_with("age1") || line.starts_with("ssh-") => {
            "That is a public key; the private one begins with `AGE-SECRET-KEY-1` or `-----BEGIN`."
        }
        _ => "An identity begins with `AGE-SECRET-KEY-1`, or is an ssh private key.",
    })
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
        matches!(self, Self::LockedSsh(_) | Self::LockedFile { .. })
    }

    /// The stream's key, if this one opens the header.
    pub fn open(&self, header: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        match self {
            Self::X25519(key) => key.unwrap_stanzas(header),
            Self::Ssh(key) => key.unwrap_stanzas(header),
            Self::LockedSsh(_) | Self::LockedFile { .. } => None,
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
            Self::LockedFile { .. } => None,
        }
    }

    /// What the passphrase makes of a locked key; nothing at all if it is a wrong one.
    pub fn unlock(&self, passphrase: SecretString, work_factor: u8) -> Found {
        let mut found = Found::default();
        match self {
            Self::LockedSsh(ssh::Identity::Encrypted(key)) => {
                found.keys.extend(key.decrypt(passphrase).into_iter().map(|key| Self::Ssh(key.into())));
            }
            Self::LockedFile { bytes, place } => {
                found.add(unlock_file(bytes, place, passphrase, work_factor));
            }
            _ => {}
        }
        found
    }

    /// Whether it may open the stream: of an ssh key the header says so, of a file of keys nobody knows.
    pub fn may_open(&self, header: &[Stanza]) -> bool {
        let Self::LockedSsh(key) = self else { return true };
        let tag = ssh::Recipient::try_from(key.clone()).map(|recipient| ssh_tag(&recipient));
        tag.is_ok_and(|tag| header.iter().any(|stanza| stanza.args.first() == Some(&tag)))
    }
}

fn unlock_file(bytes: &[u8], place: &str, passphrase: SecretString, work_factor: u8) -> Result<Found> {
    use std::io::Read;
    let damaged = || {
        let what =
            format!("{place} is a file of identities that is damaged, or not encrypted with a passphrase");
        Error::new(ErrorKind::Config, what)
    };
    let decryptor = Decryptor::new(ArmoredReader::new(bytes)).map_err(|_| damaged())?;
    if !decryptor.is_scrypt() {
        return Err(damaged());
    }
    let identity = with_limit(passphrase, work_factor);
    let reader = match decryptor.decrypt(std::iter::once(&identity as &dyn Identity)) {
        Ok(reader) => reader,
        Err(DecryptError::DecryptionFailed) => return Ok(Found::default()),
        Err(DecryptError::ExcessiveWork { required, .. }) => {
            return Err(too_much_work(required, work_factor).during(format!("{place} can't be unlocked")));
        }
        Err(_) => return Err(damaged()),
    };
    let mut text = Vec::new();
    reader.take(MAX_FILE_BYTES).read_to_end(&mut text).map_err(|_| damaged())?;
    let found = parse(&text, place)?;
    if found.keys.iter().any(Key::is_locked) { Err(damaged()) } else { Ok(found) }
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
