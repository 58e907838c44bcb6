//! Whom a stream is encrypted to: public keys, and the short fingerprints by which a manifest names them.
//!
//! It knows nothing of private keys. What it quotes in an error is never one: somebody may have mixed them up.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use windlass_plugin_api::{During, Error, ErrorKind, Result};

/// The fingerprint of a stream that a passphrase opens.
pub const PASSPHRASE: &str = "passphrase";

/// With as many the header stays well below what a decoder accepts, however large their keys.
const MOST: usize = 100;
/// A list of recipients larger than this, in bytes, is another file.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A public key.
pub enum Recipient {
    /// `age1…`
    X25519(age::x25519::Recipient),
    /// `ssh-ed25519 …`, `ssh-rsa …`
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    /// Reads one; `place` says which, for errors.
    pub fn parse(text: &str, place: &str) -> Result<Self> {
        let text = text.trim();
        let refuse = |why: &str| Error::new(ErrorKind::Config, format!("{place} {why}"));
        let begins =
            |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if begins("AGE-SECRET-KEY") || begins("AGE-PLUGIN") || begins("-----BEGIN") {
            return Err(refuse("is a private key").hint(
                "A recipient is the public key: `age-keygen -y KEYFILE` prints it. Treat the private key as known to others, and make a new one.",
            ));
        }
        if begins("ssh-") {
            let parsed = text.parse::<age::ssh::Recipient>();
            return parsed.map(Self::Ssh).map_err(|_| {
                refuse("isn't an ssh key that age can encrypt to")
                    .hint("It takes `ssh-ed25519`, and `ssh-rsa` with 2048 to 4096 bits, as they stand in a `.pub` file.")
            });
        }
        if ["age1tag", "age1pq"].iter().any(|kind| begins(kind)) {
            return Err(refuse("is of a kind that could be written and not read back")
                .hint("Take an `age1…` of `age-keygen`, or an ssh key."));
        }
        text.parse().map(Self::X25519).map_err(|why| {
            refuse(&format!("isn't a recipient: {why}"))
                .hint("Recipients begin with `age1`, `ssh-ed25519` or `ssh-rsa`.")
        })
    }

    /// As the library takes it.
    pub fn as_age(&self) -> &dyn age::Recipient {
        match self {
            Self::X25519(recipient) => recipient,
            Self::Ssh(recipient) => recipient,
        }
    }

    /// What a manifest names it by.
    pub fn fingerprint(&self) -> String {
        match self {
            Self::X25519(recipient) => x25519_fingerprint(recipient),
            Self::Ssh(recipient) => ssh_fingerprint(recipient),
        }
    }
}

/// The first 16 characters of `age1…`: 60 bits, and a person knows it again.
pub fn x25519_fingerprint(recipient: &age::x25519::Recipient) -> String {
    recipient.to_string().chars().take(16).collect()
}

/// The beginning of what `ssh-keygen -l` prints.
fn ssh_fingerprint(recipient: &age::ssh::Recipient) -> String {
    let hash = BASE64_STANDARD_NO_PAD.encode(ssh_hash(recipient));
    format!("SHA256:{}", &hash[..16])
}

/// By this a header says which ssh key it is for.
pub fn ssh_tag(recipient: &age::ssh::Recipient) -> String {
    BASE64_STANDARD_NO_PAD.encode(&ssh_hash(recipient)[..4])
}

fn ssh_hash(recipient: &age::ssh::Recipient) -> Vec<u8> {
    let line = recipient.to_string();
    let blob = BASE64_STANDARD.decode(line.split(' ').nth(1).unwrap_or_default()).unwrap_or_default();
    Sha256::digest(blob).to_vec()
}

/// Reads a file of recipients, one a line; empty lines and those that begin with `#` are passed over.
pub fn read_file(path: &Path) -> Result<Vec<Recipient>> {
    let what = || format!("can't read the recipients in `{}`", path.display());
    let config = |error: Error| Error { kind: ErrorKind::Config, ..error };
    let mut text = String::new();
    let file = File::open(path).during_with(what).map_err(config)?;
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).during_with(what).map_err(config)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::new(ErrorKind::Config, format!("`{}` is larger than 1 MiB", path.display())));
    }
    let mut recipients = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            recipients.push(Recipient::parse(line, &format!("line {number} of `{}`", path.display()))?);
        }
    }
    if recipients.is_empty() {
        return Err(Error::new(ErrorKind::Config, format!("`{}` names no recipient", path.display())));
    }
    Ok(recipients)
}

/// Somebody, and not more than a header has room for.
pub fn check_count(count: usize) -> Result<()> {
    if count == 0 {
        return Err(Error::new(ErrorKind::Config, "there is nobody to encrypt to").hint(
            "Set `recipients` (make a key with `age-keygen -o key.txt`, which prints its `age1…`), `recipient_files` or `passphrase`.",
        ));
    }
    if count > MOST {
        return Err(Error::new(ErrorKind::Config, format!("{count} recipients are more than {MOST}")));
    }
    Ok(())
}
