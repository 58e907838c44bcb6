//! Whom a stream is encrypted to: public keys, out of the options, files and a keyring, and the short fingerprints by which
//! a manifest names them.
//!
//! A key that can't be encrypted to is an error here, before anything is written. It knows nothing of private keys, and
//! never quotes one: somebody may have mixed them up.

use std::path::PathBuf;

use pgp::composed::SignedPublicKey;
use pgp::types::{Fingerprint, KeyDetails, Timestamp};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::certs::{self, Found};
use crate::kinds;
use crate::validity::{Chosen, Standing, Survey, Use};

/// The fingerprint of a stream that a passphrase opens.
pub const PASSPHRASE: &str = "passphrase";
/// With as many what precedes the message stays well below what a decoder accepts, however large their keys.
const MOST: usize = 100;
/// A short fingerprint: 64 bits.
const SHORT: usize = 16;

/// A public key, and the part of it to encrypt to.
pub struct Recipient {
    key: SignedPublicKey,
    part: Chosen,
    /// What a manifest names it by.
    pub fingerprint: String,
    /// It reads version 2 of the protected packet.
    pub reads_chunks: bool,
}

/// What a recipient's session key is encrypted with.
pub enum Part<'a> {
    Primary(&'a pgp::packet::PublicKey),
    Subkey(&'a pgp::packet::PublicSubkey),
}

impl Recipient {
    fn new(key: SignedPublicKey, place: &str) -> Result<Self> {
        let survey = Survey::new(&key, Timestamp::now());
        let fingerprint = short(&key.fingerprint());
        let refuse = |why: &str| Err(refuse(&format!("{place} (`{fingerprint}`)"), why));
        // Of such a key not even the signatures can be proved.
        if let Some(kind) = kinds::unsupported(&key.primary_key) {
            return Err(unsupported(place, &fingerprint, &kind));
        }
        let kind_of = |part| match part {
            Chosen::Primary => kinds::unsupported(&key.primary_key),
            Chosen::Subkey(number) => kinds::unsupported(&key.public_subkeys[number].key),
        };
        let part = match survey.standing {
            Standing::Good => survey.choose(Use::Encrypt, |part| kind_of(part).is_none()),
            standing => return refuse(&told("", standing)),
        };
        let reads_chunks = survey.reads_chunks();
        match part {
            Ok(part) => Ok(Self { part, reads_chunks, fingerprint, key }),
            Err(failed) => {
                // Perhaps there is one that holds.
                if let Some(kind) = survey.choose(Use::Encrypt, |_| true).ok().and_then(kind_of) {
                    return Err(unsupported(place, &fingerprint, &kind));
                }
                match failed {
                    Some(standing) => refuse(&told("its key for encryption ", standing)),
                    None => refuse("can't be encrypted to: none of its keys is for encryption"),
                }
            }
        }
    }

    pub fn part(&self) -> Part<'_> {
        match self.part {
            Chosen::Primary => Part::Primary(&self.key.primary_key),
            Chosen::Subkey(number) => Part::Subkey(&self.key.public_subkeys[number].key),
        }
    }
}

fn unsupported(place: &str, fingerprint: &str, kind: &str) -> Error {
    let message = format!("{place} (`{fingerprint}`) is a key of a kind that isn't supported: {kind}");
    Error::new(ErrorKind::Config, message).hint(certs::KINDS)
}

fn refuse(place: &str, why: &str) -> Error {
    let error = Error::new(ErrorKind::Config, format!("{place} {why}"));
    error.hint(
        "Ask its owner for a key that holds, or leave it out; `gpg --show-keys FILE` shows what a file says.",
    )
}

fn told(what: &str, standing: Standing) -> String {
    match standing {
        Standing::Revoked => format!("{what}was revoked"),
        Standing::Expired(end) => {
            let days = Timestamp::now().as_secs().saturating_sub(end.as_secs()) / 86_400;
            format!("{what}expired {days} days ago")
        }
        Standing::Early => format!("{what}was made in the future: is this machine's clock right?"),
        Standing::Unsigned | Standing::Good => format!("{what}isn't signed by its owner"),
    }
}

/// The first 16 digits of a fingerprint.
pub fn short(fingerprint: &Fingerprint) -> String {
    fingerprint.to_string().to_uppercase().chars().take(SHORT).collect()
}

/// Where public keys stand: texts or names, files of keys, and the keyring that names are looked up in.
pub struct Places<'a> {
    /// What one of them is called in an error.
    pub word: &'a str,
    pub texts: &'a [String],
    pub files: &'a [PathBuf],
    pub keyring: &'a [PathBuf],
    /// One that can't be read is no error where others can be. In a keyring it never is.
    pub skips_unreadable: bool,
}

impl Places<'_> {
    /// All keys, each with its place, for errors.
    pub fn keys(&self) -> Result<Vec<(SignedPublicKey, String)>> {
        let mut keys = Vec::new();
        let mut keyring = None;
        for (number, text) in (1..).zip(self.texts) {
            let place = format!("{} {number}", self.word);
            if certs::is_armored(text) {
                let found = certs::parse_public(text.as_bytes(), &place, self.skips_unreadable)?;
                keys.extend(found.into_iter().map(|key| (key, place.clone())));
                continue;
            }
            let ring = match &keyring {
                Some(ring) => ring,
                None => keyring.insert(self.read_keyring()?),
            };
            keys.push((self.find(ring, text.trim(), &place)?, place));
        }
        for path in self.files {
            let place = format!("`{}`", path.display());
            let found = certs::parse_public(&certs::read(path)?, &place, self.skips_unreadable)?;
            keys.extend(found.into_iter().map(|key| (key, place.clone())));
        }
        Ok(keys)
    }

    fn read_keyring(&self) -> Result<Vec<SignedPublicKey>> {
        let mut keys = Vec::new();
        for path in self.keyring {
            let place = format!("`{}`", path.display());
            keys.extend(certs::parse_public(&certs::read(path)?, &place, true)?);
        }
        Ok(keys)
    }

    /// The kind of a key in the keyring that can't be read.
    fn passed_over(&self) -> Option<String> {
        self.keyring.iter().find_map(|path| {
            let found = certs::read(path).and_then(|bytes| certs::parse(&bytes, "the keyring")).ok()?;
            found.into_iter().find_map(|key| match key {
                Found::Unknown(kind) => kind,
                _ => None,
            })
        })
    }

    /// The one key that `name` means. Of several with the same address, those that hold count.
    fn find(&self, ring: &[SignedPublicKey], name: &str, place: &str) -> Result<SignedPublicKey> {
        let config = |why: String| Error::new(ErrorKind::Config, format!("{place} {why}"));
        let Some(name) = Name::parse(name) else {
            return Err(config("is neither a key nor the name of one".to_owned()).hint(
                "Give an armored public key (`gpg --armor --export NAME`), or a fingerprint or mail address, to be found in the files of `keyring`.",
            ));
        };
        if self.keyring.is_empty() {
            return Err(config("names a key, and there is no `keyring` to find it in".to_owned())
                .hint("Write one with `gpg --export > FILE`, and name the file in `keyring`."));
        }
        let mut found: Vec<&SignedPublicKey> = Vec::new();
        for key in ring.iter().filter(|key| name.means(key)) {
            if !found.iter().any(|known| known.fingerprint() == key.fingerprint()) {
                found.push(key);
            }
        }
        if found.len() > 1 {
            let holds = |key: &&SignedPublicKey| Recipient::new((*key).clone(), place).is_ok();
            let good: Vec<_> = found.iter().copied().filter(holds).collect();
            found = if good.is_empty() { found[..1].to_vec() } else { good };
        }
        match found[..] {
            [] => {
                let error = config("is in no file of `keyring`".to_owned());
                Err(match self.passed_over() {
                    Some(kind) => error.hint(format!(
                        "A key there was passed over, for its kind isn't supported: {kind}. {}",
                        certs::KINDS
                    )),
                    None => error,
                })
            }
            [key] => Ok(key.clone()),
            _ => Err(config(format!("means {} keys of `keyring`", found.len()))
                .hint("Take the fingerprint in place of the address.")),
        }
    }
}

/// How a key of the keyring is named.
enum Name<'a> {
    /// Large hexadecimal digits: a whole fingerprint, or the last 16 of one.
    Digits(String),
    Address(&'a str),
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.contains('@') {
            return Some(Self::Address(text.trim_start_matches('<').trim_end_matches('>')));
        }
        let text = text.strip_prefix("0x").unwrap_or(text);
        let digits: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        (is_hex && matches!(digits.len(), 16 | 40 | 64)).then(|| Self::Digits(digits.to_uppercase()))
    }

    fn means(&self, key: &SignedPublicKey) -> bool {
        match self {
            Self::Address(address) => {
                let address = address.to_lowercase();
                let says = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase().contains(&address);
                // Proving a key takes a moment, and a keyring has many.
                key.details.users.iter().any(|user| says(user.id.id()))
                    && Survey::new(key, Timestamp::now()).has_address(&address)
            }
            Self::Digits(digits) => {
                let subkeys = key.public_subkeys.iter().map(|subkey| subkey.key.fingerprint());
                let mut all = subkeys.chain([key.fingerprint()]);
                all.any(|fingerprint| {
                    let whole = fingerprint.to_string().to_uppercase();
                    whole == *digits || (digits.len() == SHORT && whole.ends_with(digits))
                })
            }
        }
    }
}

/// Everybody to encrypt to, each once.
pub fn resolve(places: &Places<'_>) -> Result<Vec<Recipient>> {
    let mut recipients: Vec<Recipient> = Vec::new();
    for (key, place) in places.keys()? {
        if !recipients.iter().any(|known| known.key.fingerprint() == key.fingerprint()) {
            recipients.push(Recipient::new(key, &place)?);
        }
    }
    if recipients.len() > MOST {
        let message = format!("{} recipients are more than {MOST}", recipients.len());
        return Err(Error::new(ErrorKind::Config, message));
    }
    Ok(recipients)
}
