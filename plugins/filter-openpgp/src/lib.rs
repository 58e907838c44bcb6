//! Windlass filter: encryption in the OpenPGP format.
//!
//! Sits between a source and a storage: `encode` writes one standard OpenPGP message, which plain `gpg -d` reads; `decode`
//! reads whatever `gpg` wrote. To write it needs public keys only. It runs no other program, keeps no private key longer than
//! a stream takes, and knows nothing of where the host finds identities.

mod armor;
mod certs;
mod cfb;
mod chunks;
mod decode;
mod encode;
mod frame;
mod identities;
mod keyring;
mod kinds;
mod message;
mod packets;
mod recipients;
mod sign;
mod validity;
mod verify;

use std::path::PathBuf;

use pgp::composed::{SignedPublicKey, SignedSecretKey};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_plugin_api::{
    Context, Error, ErrorKind, Filter, Plugin, Reader, Result, Secret, Sink, export_plugin, silence,
};

use encode::To;
use keyring::Keyring;
use recipients::{Places, Recipient};
use sign::Signer;

export_plugin! {
    filter OpenPgp {
        "name": "openpgp",
        "aliases": ["gpg"],
        "summary": "encryption in the OpenPGP format, as GnuPG reads and writes it",
        "suffix": ".gpg",
        "encrypts": true,
    }
    options: "../options.schema.json"
}

/// Under this name an encoder records the fingerprints of its recipients.
const RECIPIENTS_PARAM: &str = "recipients";

/// Options of `openpgp`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The public keys to encrypt to: armored, or by the fingerprint or mail address of one in `keyring`. Each of them alone
    /// can read the backup, and nothing else can.
    pub recipients: Vec<String>,
    /// Files of public keys to encrypt to, armored or binary: to every key that is in them.
    #[schemars(schema_with = "paths")]
    pub recipient_files: Vec<PathBuf>,
    /// Files to find public keys in, as `gpg --export` writes them, armored or binary.
    #[schemars(schema_with = "paths")]
    pub keyring: Vec<PathBuf>,
    /// Encrypt with this passphrase in place of recipients. On reading: what it opens, and the first to try on private keys
    /// that a passphrase locks.
    pub passphrase: Option<Secret>,
    /// On reading: more passphrases to try, such as older ones.
    pub passphrases: Vec<Secret>,
    /// Sign with this private key, armored.
    pub sign_with: Option<Secret>,
    /// What unlocks the key of `sign_with`.
    pub sign_passphrase: Option<Secret>,
    /// Write text in place of binary data: a third more bytes, for storages that take nothing else.
    pub armor: bool,
    /// On reading: private keys, all of which are tried: armored, as `gpg --armor --export-secret-keys` writes them. Belongs
    /// in `[decode.openpgp]`, on machines that restore.
    pub identities: Vec<Secret>,
    /// On reading: files of private keys, armored or binary.
    #[schemars(schema_with = "paths")]
    pub identity_files: Vec<PathBuf>,
    /// On reading: the public keys of those who may have signed, armored or by name as in `recipients`. What none of them
    /// signed is refused.
    pub signers: Vec<String>,
    /// On reading: files of such keys.
    #[schemars(schema_with = "paths")]
    pub signer_files: Vec<PathBuf>,
}

fn paths(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "path" } })
}

/// The filter `openpgp`.
pub struct OpenPgp {
    options: Options,
    recipients: Vec<Recipient>,
}

impl Plugin for OpenPgp {
    type Options = Options;

    /// Keys that can't be encrypted to are told here, before a source has begun.
    fn new(options: Options, _: &Context) -> Result<Self> {
        // The library writes private keys to its log, and long traces of its calls for keys that it doesn't know.
        silence("pgp");
        let has_recipients = !options.recipients.is_empty() || !options.recipient_files.is_empty();
        let refuse = |what: &str| Err(Error::new(ErrorKind::Config, what));
        if has_recipients && options.passphrase.is_some() {
            return refuse("both recipients and a passphrase are set").map_err(|error| {
                error.hint("Take one or the other. Old passphrases belong in `[decode.openpgp]`.")
            });
        }
        if options.sign_passphrase.is_some() && options.sign_with.is_none() {
            return refuse("`sign_passphrase` is set, and `sign_with` isn't");
        }
        let recipients = recipients::resolve(&Places {
            word: "recipient",
            texts: &options.recipients,
            files: &options.recipient_files,
            keyring: &options.keyring,
            skips_unreadable: false,
        })?;
        Ok(Self { options, recipients })
    }
}

impl OpenPgp {
    fn to(&self, cx: &Context) -> Result<To<'_>> {
        if let Some(secret) = &self.options.passphrase {
            let passphrase = cx.reveal(secret)?;
            if passphrase.is_empty() {
                return Err(Error::new(ErrorKind::Config, "the passphrase is empty"));
            }
            return Ok(To::Passphrase(passphrase));
        }
        if self.recipients.is_empty() {
            return Err(Error::new(ErrorKind::Config, "there is nobody to encrypt to").hint(
                "Set `recipients` (`gpg --armor --export NAME` writes a public key), `recipient_files` or `passphrase`.",
            ));
        }
        Ok(To::Recipients(&self.recipients))
    }

    fn signer(&self, cx: &Context) -> Result<Option<Signer>> {
        let Some(key) = &self.options.sign_with else { return Ok(None) };
        let passphrase = self.options.sign_passphrase.as_ref().map(|secret| cx.reveal(secret)).transpose()?;
        Signer::new(&cx.reveal(key)?, passphrase).map(Some)
    }

    /// All private keys, and what is wrong with those that can't be read: one that opens the stream is enough.
    fn keys(&self, cx: &Context) -> (Vec<SignedSecretKey>, Vec<Error>) {
        let texts = (1..).zip(&self.options.identities).map(|(number, secret)| {
            identities::parse(cx.reveal(secret)?.as_bytes(), &format!("identity {number}"))
        });
        let files = self.options.identity_files.iter();
        let files =
            files.map(|path| identities::parse(&certs::read(path)?, &format!("`{}`", path.display())));
        let (mut keys, mut unreadable) = (Vec::new(), Vec::new());
        for found in texts.chain(files) {
            match found {
                Ok(found) => keys.extend(found),
                Err(error) => unreadable.push(error),
            }
        }
        (keys, unreadable)
    }

    /// Those who may have signed; none if nobody has to.
    fn signers(&self) -> Result<Option<Vec<SignedPublicKey>>> {
        let places = Places {
            word: "signer",
            texts: &self.options.signers,
            files: &self.options.signer_files,
            keyring: &self.options.keyring,
            skips_unreadable: true,
        };
        if places.texts.is_empty() && places.files.is_empty() {
            return Ok(None);
        }
        Ok(Some(places.keys()?.into_iter().map(|(key, _)| key).collect()))
    }
}

impl Filter for OpenPgp {
    fn encode(&self, cx: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        encode::encoder(&self.to(cx)?, self.signer(cx)?, self.options.armor, next)
    }

    fn decode(&self, cx: &Context, _: &str, params: &Map<String, Value>, input: Reader) -> Result<Reader> {
        let recorded = params.get(RECIPIENTS_PARAM).and_then(Value::as_array).into_iter().flatten();
        let recorded = recorded.filter_map(|text| text.as_str().map(str::to_owned)).collect();
        let passphrases = self.options.passphrase.iter().chain(&self.options.passphrases).collect();
        let keys = Keyring::new(cx, self.keys(cx), passphrases, recorded);
        decode::decoder(&keys, self.signers()?, !params.is_empty(), input)
    }

    fn by_hand(&self) -> Option<String> {
        Some(match (&self.options.passphrase, self.recipients.iter().all(|one| one.reads_chunks)) {
            (Some(_), _) => "gpg -d".to_owned(),
            // GnuPG doesn't read version 2 of the protected packet; what does has this interface in common.
            (None, true) if !self.recipients.is_empty() => {
                "sop decrypt \"${OPENPGP_KEY:-key.asc}\"".to_owned()
            }
            (None, _) => {
                "{ test -z \"$OPENPGP_KEY\" || gpg --batch --import \"$OPENPGP_KEY\"; gpg -d; }".to_owned()
            }
        })
    }
}
