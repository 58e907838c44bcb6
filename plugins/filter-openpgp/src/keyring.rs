//! Everything that may open a stream, tried on the packets that precede it.
//!
//! Keys without a passphrase come first, and passphrases only where nothing else opens the stream: each takes a moment, and a
//! person may be asked for it. Whether no key fits or a packet is damaged is told apart as far as it can be.

use pgp::composed::{PlainSessionKey, SignedSecretKey, decrypt_session_key_with_password};
use pgp::packet::{PublicKeyEncryptedSessionKey, SymKeyEncryptedSessionKey};
use pgp::types::{Password, StringToKey};
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::identities::{Answer, Part, fingerprint, parts, unsupported};

/// More memory than this, in KiB as a power of two, isn't spent on a passphrase: 1 GiB.
const MOST_MEMORY: u8 = 20;

/// The packets that hold a session's key.
#[derive(Default)]
pub struct Head {
    pub to_keys: Vec<PublicKeyEncryptedSessionKey>,
    pub to_passphrases: Vec<SymKeyEncryptedSessionKey>,
    /// Some that can't be read, perhaps of a later version.
    pub unknown: usize,
}

/// Everything that there is to open one stream with.
pub struct Keyring<'a> {
    /// Where passphrases are asked for.
    cx: &'a Context,
    /// The keys, in the order in which they are tried.
    keys: Vec<SignedSecretKey>,
    /// What is wrong with others.
    unreadable: Vec<Error>,
    /// For streams and keys that a passphrase locks.
    passphrases: Vec<&'a Secret>,
    /// Fingerprints of whom the stream was encrypted to, as far as they were recorded.
    recorded: Vec<String>,
}

impl<'a> Keyring<'a> {
    pub fn new(
        cx: &'a Context,
        (keys, unreadable): (Vec<SignedSecretKey>, Vec<Error>),
        passphrases: Vec<&'a Secret>,
        recorded: Vec<String>,
    ) -> Self {
        Self { cx, keys, unreadable, passphrases, recorded }
    }

    /// The session's key. `fits` tells whether one can be it; a passphrase may give another by chance.
    pub fn open(&self, head: &Head, fits: impl Fn(&PlainSessionKey) -> bool) -> Result<PlainSessionKey> {
        let mut is_damaged = false;
        for (part, packet) in self.pairs(head).filter(|(part, _)| !part.is_locked()) {
            match part.open(packet, &Password::empty()) {
                Answer::Opened(key) if fits(&key) => return Ok(key),
                _ => is_damaged |= names_a_key(packet),
            }
        }
        // What is wrong with one keeps no other from being tried.
        let mut failed = None;
        for secret in &self.passphrases {
            if !head.to_passphrases.is_empty() || self.pairs(head).any(|(part, _)| part.is_locked()) {
                let passphrase = match self.cx.reveal(secret) {
                    Ok(passphrase) => Password::from(passphrase),
                    Err(error) if error.kind == ErrorKind::Cancelled => return Err(error),
                    Err(error) => {
                        failed.get_or_insert(error);
                        continue;
                    }
                };
                let wrong = (&mut is_damaged, &mut failed);
                if let Some(key) = self.open_with(&passphrase, head, &fits, wrong) {
                    return Ok(key);
                }
            }
        }
        Err(if is_damaged { damaged_head() } else { failed.unwrap_or_else(|| self.nobody(head)) })
    }

    /// Each part of a key with each packet that may be for it, as far as its kind can decrypt.
    fn pairs<'b>(
        &'b self,
        head: &'b Head,
    ) -> impl Iterator<Item = (Part<'b>, &'b PublicKeyEncryptedSessionKey)> {
        self.all_pairs(head).filter(|(part, _)| part.unsupported().is_none())
    }

    fn all_pairs<'b>(
        &'b self,
        head: &'b Head,
    ) -> impl Iterator<Item = (Part<'b>, &'b PublicKeyEncryptedSessionKey)> {
        let parts = head
            .to_keys
            .iter()
            .flat_map(|packet| self.keys.iter().flat_map(parts).map(move |part| (part, packet)));
        parts.filter(|(part, packet)| part.may_open(packet))
    }

    fn open_with(
        &self,
        passphrase: &Password,
        head: &Head,
        fits: &impl Fn(&PlainSessionKey) -> bool,
        (is_damaged, failed): (&mut bool, &mut Option<Error>),
    ) -> Option<PlainSessionKey> {
        for packet in &head.to_passphrases {
            if let Err(error) = check_work(packet) {
                failed.get_or_insert(error);
                continue;
            }
            match decrypt_session_key_with_password(packet, passphrase) {
                Ok(key) if fits(&key) => return Some(key),
                _ => {}
            }
        }
        for (part, packet) in self.pairs(head).filter(|(part, _)| part.is_locked()) {
            match part.open(packet, passphrase) {
                Answer::Opened(key) if fits(&key) => return Some(key),
                Answer::Opened(_) | Answer::Failed => *is_damaged |= names_a_key(packet),
                Answer::Locked => {}
            }
        }
        None
    }

    /// No key fits. If one should, its kind can't decrypt here, or what precedes the message is damaged.
    fn nobody(&self, head: &Head) -> Error {
        let mut named = self.all_pairs(head).filter(|(_, packet)| names_a_key(packet));
        if let Some(kind) = named.find_map(|(part, _)| part.unsupported()) {
            let what = format!("an identity opens the stream, and is of a kind that isn't supported: {kind}");
            return unsupported(Error::new(ErrorKind::Unsupported, what));
        }
        let unlocked = self.keys.iter().filter(|key| parts(key).any(|part| !part.is_locked()));
        if unlocked.map(fingerprint).any(|fingerprint| self.recorded.contains(&fingerprint)) {
            return damaged_head();
        }
        let (given, known) = (self.keys.len(), self.passphrases.len());
        let is_locked = self.pairs(head).any(|(part, _)| part.is_locked());
        let by_passphrase = head.to_keys.is_empty() && !head.to_passphrases.is_empty();
        if let (false, Some(error)) = (by_passphrase, self.unreadable.first()) {
            return error.clone();
        }
        let (message, hint) = match () {
            () if by_passphrase && known == 0 => {
                ("the stream is encrypted with a passphrase, and none is given".to_owned(), NO_PASSPHRASE)
            }
            () if by_passphrase => {
                let which = format!("which isn't one of the {known} that are given");
                (format!("the stream is encrypted with a passphrase, {which}"), NO_PASSPHRASE)
            }
            () if given == 0 => {
                let what = "and there is no identity to decrypt it with";
                (format!("the stream is encrypted{}, {what}", self.to(head)), NO_IDENTITY)
            }
            () if is_locked && known == 0 => {
                let what = "an identity that may open it needs a passphrase";
                (format!("the stream is encrypted{}; {what}", self.to(head)), NO_PASSPHRASE)
            }
            () => {
                let what = format!("and none of the {given} identities opens it");
                (format!("the stream is encrypted{}, {what}", self.to(head)), NO_IDENTITY)
            }
        };
        Error::new(ErrorKind::Denied, message).hint(hint)
    }

    /// To whom; what a manifest says is shortened to what a fingerprint can be.
    fn to(&self, head: &Head) -> String {
        let mut shown: Vec<String> = self.recorded.clone();
        if shown.is_empty() {
            let ids = head
                .to_keys
                .iter()
                .filter(|packet| names_a_key(packet))
                .filter_map(|packet| packet.id().ok());
            shown = ids.map(|id| id.to_string().to_uppercase()).collect();
        }
        let shown: Vec<String> = shown
            .iter()
            .take(5)
            .map(|one| one.chars().filter(char::is_ascii_graphic).take(24).collect::<String>())
            .map(|one| format!("`{one}`"))
            .collect();
        if shown.is_empty() { String::new() } else { format!(" to {}", shown.join(", ")) }
    }
}

const NO_IDENTITY: &str = "Name the file of the private key with `--identity FILE`, or under `identity_files` in `[decode.openpgp]` of the config.";
const NO_PASSPHRASE: &str =
    "Set `passphrase` in `[decode.openpgp]` of the config, or run it on a terminal, where it is asked for.";

fn damaged_head() -> Error {
    Error::damaged("what precedes the OpenPGP message is damaged: a key that should open it doesn't")
}

/// Whether the packet says for which key it is.
fn names_a_key(packet: &PublicKeyEncryptedSessionKey) -> bool {
    match packet {
        PublicKeyEncryptedSessionKey::V3 { id, .. } => !id.is_wildcard(),
        PublicKeyEncryptedSessionKey::V6 { fingerprint, .. } => fingerprint.is_some(),
        PublicKeyEncryptedSessionKey::Other { .. } => false,
    }
}

/// Refuses a packet that would fill the memory before a passphrase is tried.
fn check_work(packet: &SymKeyEncryptedSessionKey) -> Result<()> {
    match packet.s2k() {
        Some(StringToKey::Argon2 { m_enc, .. }) if *m_enc > MOST_MEMORY => {
            let message = "trying a passphrase takes more than 1 GiB of memory";
            Err(Error::new(ErrorKind::Config, message)
                .hint("Nobody sets as much: the stream is damaged or forged."))
        }
        _ => Ok(()),
    }
}
