//! With which keys a command decodes: `[decode]` of the config, `--identity`, and what is typed on a terminal.
//!
//! It knows no filter. One that encrypts and takes keys from here has an option `identity_files` (a list of paths) or
//! `passphrases` (a list of secrets); what it does with them is its own business. Nothing is read or asked for before a
//! filter needs it, but for what can be read only once.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use rustix::fs::{MemfdFlags, memfd_create};

use serde_json::{Map, Value, json};
use windlass_plugin_api::{Kind, PluginInfo, Secret};

use super::super::ask;
use super::Session;
use crate::config::{Known, Secrets};
use crate::exit::{Failure, Outcome};
use crate::pipeline::plan::DecodeOptions;
use crate::run::cancel::{Cancel, Reason};

/// The options of a filter that keys go to.
const IDENTITY_FILES: &str = "identity_files";
const PASSPHRASES: &str = "passphrases";
/// An identity from a pipe that is larger than this, in bytes, is something else.
const MAX_PIPED_BYTES: u64 = 1 << 20;
/// The name of the secret that is typed.
const TYPED: &str = "the passphrase that is typed";

/// Keys beside those of the config.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// `--identity`.
    identities: Vec<Identity>,
    /// Whether the user may be asked.
    asks: bool,
}

/// What can be read again and again.
#[derive(Clone, Debug)]
enum Identity {
    /// A file, by its path.
    File(String),
    /// What a pipe gave, in memory.
    Held(Arc<File>),
}

impl Identity {
    fn path(&self) -> String {
        match self {
            Self::File(path) => path.clone(),
            Self::Held(memory) => format!("/proc/self/fd/{}", memory.as_raw_fd()),
        }
    }
}

impl Keys {
    /// Those of a command that decodes: the files named by `--identity`, and what the user types.
    pub fn of_command(identities: &[PathBuf], cancel: &Cancel) -> Outcome<Self> {
        let take = |path: &PathBuf| -> Outcome<Identity> {
            let told = |error: io::Error| {
                Failure::usage(format!("can't read the identity `{}`: {error}", path.display()))
            };
            if std::fs::metadata(path).map_err(told)?.is_file() {
                Ok(Identity::File(absolute(path).map_err(told)?))
            } else {
                Ok(Identity::Held(Arc::new(awaited(path, cancel)?.map_err(told)?)))
            }
        };
        Ok(Self { identities: identities.iter().map(take).collect::<Outcome<_>>()?, asks: ask::can_ask() })
    }
}

/// Reads the pipe on a thread of its own: it may give nothing for ever, and the user may end that.
fn awaited(path: &Path, cancel: &Cancel) -> Outcome<io::Result<File>> {
    let (sender, receiver) = mpsc::channel();
    let (ended, path) = (sender.clone(), path.to_owned());
    let number = cancel.on_cancel(Arc::new(move || _ = ended.send(None)));
    std::thread::spawn(move || sender.send(Some(held(&path))));
    let got = receiver.recv().ok().flatten();
    cancel.forget(number);
    got.ok_or_else(|| cancel.reason().unwrap_or(Reason::Fault).failure())
}

fn absolute(path: &Path) -> io::Result<String> {
    let absolute = std::path::absolute(path)?.into_os_string();
    absolute.into_string().map_err(|_| io::Error::other("its name isn't UTF-8"))
}

/// What a pipe gives, such as `<(pass show key)`. A filter reads an identity for each stream, and a pipe gives it once; so it
/// is kept, in memory and on no disk. It may be binary, so it can't be a secret of the options, which is text.
fn held(path: &Path) -> io::Result<File> {
    let mut memory = File::from(memfd_create("windlass-identity", MemfdFlags::CLOEXEC)?);
    match io::copy(&mut File::open(path)?.take(MAX_PIPED_BYTES + 1), &mut memory)? {
        0 => Err(io::Error::other("it is empty")),
        count if count > MAX_PIPED_BYTES => Err(io::Error::other("it is larger than 1 MiB")),
        _ => Ok(memory),
    }
}

impl Session {
    /// What a filter gets to decode with. An error if `[decode]` is wrong in itself.
    pub(super) fn decode_options(&self, keys: Keys) -> Outcome<DecodeOptions> {
        self.config.validate_decode(self.registry.as_ref())?;
        let (config, registry, secrets, cancel) =
            (self.config.clone(), self.registry.clone(), self.secrets.clone(), self.cancel.clone());
        Ok(Box::new(move |info: &PluginInfo| -> Outcome<Value> {
            let known: &dyn Known = registry.as_ref();
            let is_it = |name: &str| {
                known.info(Kind::Filter, name).is_ok_and(|found| found.full_name() == info.full_name())
            };
            let mut options = match config.decode.values().find(|entry| is_it(&entry.plugin)) {
                Some(entry) => config.resolve(entry, known, &secrets, &entry.key)?,
                None => Value::Object(Map::new()),
            };
            add(&keys, info, &mut options, &secrets, &cancel);
            Ok(options)
        }))
    }
}

fn add(keys: &Keys, info: &PluginInfo, options: &mut Value, secrets: &Secrets, cancel: &Arc<Cancel>) {
    let takes = |option: &str| info.encrypts && info.options["properties"].get(option).is_some();
    if takes(IDENTITY_FILES) {
        keys.identities.iter().for_each(|identity| push(options, IDENTITY_FILES, json!(identity.path())));
    }
    if keys.asks && takes(PASSPHRASES) {
        let cancel = cancel.clone();
        secrets.keep_asked(TYPED, Arc::new(move || ask::secret("Passphrase to decrypt with: ", &cancel)));
        push(options, PASSPHRASES, json!({ Secret::KEY: TYPED }));
    }
}

fn push(options: &mut Value, option: &str, value: Value) {
    match &mut options[option] {
        Value::Array(values) => values.push(value),
        other => *other = json!([value]),
    }
}
