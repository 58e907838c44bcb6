//! Windlass filter: encryption in the age format.
//!
//! Sits between a source and a storage: `encode` writes one standard age file, which plain `age -d` reads; `decode` reads
//! whatever `age` wrote. To write it needs public keys only. It keeps no key longer than a stream takes to be opened, and
//! knows nothing of where the host finds identities.

mod decode;
mod encode;
mod identities;
mod keyring;
mod recipients;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use age::secrecy::SecretString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_plugin_api::{
    Context, During, Error, ErrorKind, Filter, Plugin, Reader, Result, Secret, Sink, export_plugin,
};

use encode::To;
use identities::{Found, MAX_FILE_BYTES, MOST_WORK};
use keyring::Keyring;
use recipients::Recipient;

export_plugin! {
    filter Age {
        "name": "age",
        "summary": "encryption in the age format",
        "suffix": ".age",
        "encrypts": true,
    }
    options: "../options.schema.json"
}

/// Under this name an encoder records the fingerprints of its recipients.
const RECIPIENTS_PARAM: &str = "recipients";
/// What the program `age` takes.
const USUAL_WORK_FACTOR: u8 = 18;
/// What a decoder accepts without being told: 1 GiB of memory.
const MAX_WORK_FACTOR: u8 = 20;

/// Options of `age`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The public keys to encrypt to: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`. Each of them alone can read the backup, and
    /// nothing else can.
    pub recipients: Vec<String>,
    /// Files with more recipients, one a line, as `age -R` takes them; lines that begin with `#` are comments.
    #[schemars(schema_with = "paths")]
    pub recipient_files: Vec<PathBuf>,
    /// Encrypt with this passphrase in place of recipients. On reading: what it opens, and the first to try on private keys
    /// that a passphrase locks.
    pub passphrase: Option<Secret>,
    /// On reading: more passphrases to try, such as older ones.
    pub passphrases: Vec<Secret>,
    /// How much work and memory a passphrase takes, 18 being 256 MiB and about a second, and one more twice as much. Default:
    /// 18 on writing, up to 20 on reading.
    #[schemars(range(min = 10, max = 22))]
    pub work_factor: Option<u8>,
    /// Write text in place of binary data: a third more bytes, for storages that take nothing else.
    pub armor: bool,
    /// On reading: private keys, all of which are tried: the content of a file that `age-keygen` wrote, or of an ssh
    /// private key. Belongs in `[decode.age]`, on machines that restore.
    pub identities: Vec<Secret>,
    /// On reading: files of private keys. Unlike with `identities`, one that is encrypted with a passphrase (`age -p`) may be
    /// binary.
    #[schemars(schema_with = "paths")]
    pub identity_files: Vec<PathBuf>,
}

fn paths(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": { "type": "string", "format": "path" } })
}

/// The filter `age`.
pub struct Age {
    options: Options,
    recipients: Vec<Recipient>,
}

impl Plugin for Age {
    type Options = Options;

    /// Recipients that can't be encrypted to are told here, before a source has begun.
    fn new(options: Options, _: &Context) -> Result<Self> {
        let refuse = |what: String| Error::new(ErrorKind::Config, what);
        if let Some(factor) = options.work_factor.filter(|factor| !(10..=MOST_WORK).contains(factor)) {
            return Err(refuse(format!("work_factor `{factor}` isn't between 10 and 22")));
        }
        let has_recipients = !options.recipients.is_empty() || !options.recipient_files.is_empty();
        if has_recipients && options.passphrase.is_some() {
            return Err(refuse("both recipients and a passphrase are set".to_owned())
                .hint("The format allows one or the other. Old passphrases belong in `[decode.age]`."));
        }
        let numbered = (1..).zip(&options.recipients);
        let parse = |(number, text): (usize, &String)| Recipient::parse(text, &format!("recipient {number}"));
        let mut recipients: Vec<Recipient> = numbered.map(parse).collect::<Result<_>>()?;
        for path in &options.recipient_files {
            recipients.extend(recipients::read_file(path)?);
        }
        Ok(Self { options, recipients })
    }
}

impl Age {
    fn to(&self, cx: &Context) -> Result<To<'_>> {
        if let Some(secret) = &self.options.passphrase {
            let passphrase = cx.reveal(secret)?;
            if passphrase.is_empty() {
                return Err(Error::new(ErrorKind::Config, "the passphrase is empty"));
            }
            let factor = self.options.work_factor.unwrap_or(USUAL_WORK_FACTOR);
            return Ok(To::Passphrase(SecretString::from(passphrase), factor));
        }
        recipients::check_count(self.recipients.len())?;
        Ok(To::Recipients(&self.recipients))
    }

    /// All private keys, and what is wrong with those that can't be read: another machine may have only some of them, and
    /// one that opens the stream is enough.
    fn keys(&self, cx: &Context) -> Found {
        let mut found = Found::default();
        for (number, secret) in (1..).zip(&self.options.identities) {
            let place = format!("identity {number}");
            found.add(cx.reveal(secret).and_then(|text| identities::parse(text.as_bytes(), &place)));
        }
        for path in &self.options.identity_files {
            found.add(
                read(path).and_then(|bytes| identities::parse(&bytes, &format!("`{}`", path.display()))),
            );
        }
        found
    }
}

/// A file of keys that can't be read is no damage of a snapshot.
fn read(path: &Path) -> Result<Vec<u8>> {
    let what = || format!("can't read the identities in `{}`", path.display());
    let config = |error: Error| Error { kind: ErrorKind::Config, ..error };
    let mut bytes = Vec::new();
    let file = File::open(path).during_with(what).map_err(config)?;
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).during_with(what).map_err(config)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(Error::new(ErrorKind::Config, format!("`{}` is larger than 1 MiB", path.display())));
    }
    Ok(bytes)
}

impl Filter for Age {
    fn encode(&self, cx: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        encode::encoder(self.to(cx)?, self.options.armor, next)
    }

    fn decode(&self, cx: &Context, _: &str, params: &Map<String, Value>, input: Reader) -> Result<Reader> {
        let recorded = params.get(RECIPIENTS_PARAM).and_then(Value::as_array).into_iter().flatten();
        let recorded = recorded.filter_map(|text| text.as_str().map(str::to_owned)).collect();
        let passphrases = self.options.passphrase.iter().chain(&self.options.passphrases).collect();
        let limit = self.options.work_factor.unwrap_or_default().max(MAX_WORK_FACTOR);
        decode::decoder(&Keyring::new(cx, self.keys(cx), passphrases, limit, recorded), input)
    }

    fn by_hand(&self) -> Option<String> {
        Some(match self.options.passphrase {
            Some(_) => "age -d".to_owned(),
            None => "age -d -i \"${AGE_IDENTITY:-key.txt}\"".to_owned(),
        })
    }
}
