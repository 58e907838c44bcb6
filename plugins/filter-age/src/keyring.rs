//! Everything that may open a stream, tried on its header.
//!
//! Plain keys come first. What a passphrase locks is tried only where nothing else opens the stream, for that takes a second
//! each and may ask a person. Whether no key fits or the header is damaged is told apart as far as it can be.

use std::cell::RefCell;

use age::secrecy::SecretString;
use age::{DecryptError, Identity};
use age_core::format::{FileKey, Stanza};
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::identities::{Found, Key, too_much_work, with_limit};

/// Everything that there is to open one stream with.
pub struct Keyring<'a> {
    /// Where passphrases are asked for.
    cx: &'a Context,
    /// The keys, in the order in which they are tried.
    keys: Vec<Key>,
    /// For streams and keys that a passphrase locks.
    passphrases: Vec<&'a Secret>,
    /// The largest that is accepted.
    work_factor: u8,
    /// Fingerprints of whom the stream was encrypted to, as far as they were recorded.
    recorded: Vec<String>,
    /// What is wrong with keys and passphrases that can't be tried.
    problems: RefCell<Vec<Error>>,
    /// What is wrong with the header, if a key that should open it doesn't.
    damage: RefCell<Option<Error>>,
    /// Why the stream couldn't be opened.
    failure: RefCell<Option<Error>>,
}

impl<'a> Keyring<'a> {
    pub fn new(
        cx: &'a Context,
        found: Found,
        passphrases: Vec<&'a Secret>,
        work_factor: u8,
        recorded: Vec<String>,
    ) -> Self {
        let Found { keys, problems } = found;
        let (damage, failure) = (RefCell::default(), RefCell::default());
        let problems = RefCell::new(problems);
        Self { cx, keys, passphrases, work_factor, recorded, problems, damage, failure }
    }

    /// Why the stream couldn't be opened, once.
    pub fn failure(&self) -> Option<Error> {
        self.failure.take()
    }

    /// Whether it was recorded to whom the stream was encrypted: then this filter's encoder wrote it.
    pub fn knows_recipients(&self) -> bool {
        !self.recorded.is_empty()
    }

    fn open(&self, header: &[Stanza]) -> Result<FileKey> {
        let is_scrypt = header.iter().any(|stanza| stanza.tag == "scrypt");
        let opened = if is_scrypt {
            // No key can open it, so nobody wants to know of those that are broken.
            self.problems.take();
            self.open_by_passphrase(header)?
        } else {
            match self.keys.iter().find_map(|key| self.note(key.open(header))) {
                None => self.open_locked(header)?,
                opened => opened,
            }
        };
        opened.ok_or_else(|| self.damage.take().unwrap_or_else(|| self.nobody(is_scrypt)))
    }

    fn open_by_passphrase(&self, header: &[Stanza]) -> Result<Option<FileKey>> {
        for secret in &self.passphrases {
            let Some(passphrase) = self.reveal(secret)? else { continue };
            match with_limit(passphrase, self.work_factor).unwrap_stanzas(header) {
                Some(Ok(key)) => return Ok(Some(key)),
                Some(Err(DecryptError::ExcessiveWork { required, .. })) => {
                    return Err(too_much_work(required, self.work_factor));
                }
                Some(Err(DecryptError::InvalidHeader)) => return Err(damaged_header()),
                _ => {}
            }
        }
        Ok(None)
    }

    /// Each passphrase is tried on all keys that are still locked before the next one, which may have to be typed.
    fn open_locked(&self, header: &[Stanza]) -> Result<Option<FileKey>> {
        let mut locked: Vec<&Key> =
            self.keys.iter().filter(|key| key.is_locked() && key.may_open(header)).collect();
        for secret in &self.passphrases {
            if locked.is_empty() {
                break;
            }
            let Some(passphrase) = self.reveal(secret)? else { continue };
            for key in std::mem::take(&mut locked) {
                let Found { keys, problems } = key.unlock(passphrase.clone(), self.work_factor);
                if keys.is_empty() && problems.is_empty() {
                    locked.push(key);
                }
                self.problems.borrow_mut().extend(problems);
                if let Some(opened) = keys.iter().find_map(|key| self.note(key.open(header))) {
                    return Ok(Some(opened));
                }
            }
        }
        Ok(None)
    }

    /// The passphrase; none if it can't be had, for another may do. Only the end of the run is an error.
    fn reveal(&self, secret: &Secret) -> Result<Option<SecretString>> {
        match self.cx.reveal(secret) {
            Ok(passphrase) => Ok(Some(SecretString::from(passphrase))),
            Err(error) if error.kind == ErrorKind::Cancelled || self.cx.cancelled() => Err(error),
            Err(error) => {
                self.problems.borrow_mut().push(error);
                Ok(None)
            }
        }
    }

    /// The key, if it was found; what is wrong with the header is kept, for another key may yet fit.
    fn note(&self, opened: Option<Result<FileKey, DecryptError>>) -> Option<FileKey> {
        opened?.map_err(|_| self.damage.replace(Some(damaged_header()))).ok()
    }

    /// No key fits. If one should, the header is damaged.
    fn nobody(&self, is_scrypt: bool) -> Error {
        let plain = self.keys.iter().filter(|key| !key.is_locked());
        if plain.filter_map(Key::recipient).any(|recipient| self.recorded.contains(&recipient)) {
            return damaged_header();
        }
        if let Some(error) = self.told() {
            return error;
        }
        let (given, locked) = (self.keys.len(), self.keys.iter().filter(|key| key.is_locked()).count());
        let known = self.passphrases.len();
        let (message, hint) = if is_scrypt && known == 0 {
            ("the stream is encrypted with a passphrase, and none is given".to_owned(), NO_PASSPHRASE)
        } else if is_scrypt {
            (
                format!(
                    "the stream is encrypted with a passphrase, which isn't one of the {known} that are given"
                ),
                NO_PASSPHRASE,
            )
        } else if given == 0 {
            (
                format!("the stream is encrypted{}, and there is no identity to decrypt it with", self.to()),
                NO_IDENTITY,
            )
        } else if locked > 0 && known == 0 {
            (
                format!(
                    "the stream is encrypted{}; an identity that may open it needs a passphrase",
                    self.to()
                ),
                NO_PASSPHRASE,
            )
        } else {
            (
                format!("the stream is encrypted{}, and none of the {given} identities opens it", self.to()),
                NO_IDENTITY,
            )
        };
        Error::new(ErrorKind::Denied, message).hint(hint)
    }

    /// What is wrong with keys and passphrases, all of it.
    fn told(&self) -> Option<Error> {
        let problems = self.problems.take();
        let all: Vec<String> = problems.iter().map(Error::one_line).collect();
        let hint = problems.iter().find_map(|error| error.hint.clone());
        let first = problems.into_iter().next()?;
        if all.len() == 1 {
            return Some(first);
        }
        let message = format!("the stream is encrypted{}, and nothing that can be tried opens it", self.to());
        Some(Error { message, causes: vec![all.join("; ")], hint, ..first })
    }

    /// To whom; what a manifest says is shortened to what a fingerprint can be.
    fn to(&self) -> String {
        let shown = self.recorded.iter().take(5).map(|recipient| {
            let text: String = recipient.chars().filter(char::is_ascii_graphic).take(24).collect();
            format!("`{text}`")
        });
        let shown: Vec<String> = shown.collect();
        if shown.is_empty() { String::new() } else { format!(" to {}", shown.join(", ")) }
    }
}

const NO_IDENTITY: &str = "Name the file of the private key with `--identity FILE`, or under `identity_files` in `[decode.age]` of the config.";
const NO_PASSPHRASE: &str =
    "Set `passphrase` in `[decode.age]` of the config, or run it on a terminal, where it is asked for.";

fn damaged_header() -> Error {
    Error::damaged("the age stream's header is damaged: a key that should open it doesn't")
}

impl Identity for Keyring<'_> {
    /// The library asks for all stanzas at once.
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, header: &[Stanza]) -> Option<Result<FileKey, DecryptError>> {
        Some(self.open(header).map_err(|error| {
            self.failure.replace(Some(error));
            DecryptError::NoMatchingKeys
        }))
    }
}
