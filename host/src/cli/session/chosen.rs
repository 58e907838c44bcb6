//! From a name in the config, or a URL, to a plugin with its options.

use serde_json::Value;
use windlass_plugin_api::Kind;

use super::Session;
use crate::config::{Config, Entry, Known, Located, Secrets, redact_url};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::plan::{Chosen, NamedStorages};
use crate::plugins::Registry;

/// A plugin with its resolved options.
pub fn choose(
    (config, registry, secrets): (&Config, &Registry, &Secrets),
    kind: Kind,
    entry: &Entry,
    name: &str,
) -> Outcome<Chosen> {
    let known: &dyn Known = registry;
    let options: Value = config.resolve(entry, known, secrets, &entry.key)?;
    let info = registry.info(kind, &entry.plugin.value).map_err(|error| Failure::new(Exit::Usage, error))?;
    let limit = config.limit(entry, known);
    Ok(Chosen { name: name.to_owned(), info, options, limit })
}

/// The source or storage of that name or URL.
pub fn named(
    (config, registry, secrets): (&Config, &Registry, &Secrets),
    kind: Kind,
    name: &Located<String>,
    key: &str,
) -> Outcome<Chosen> {
    secrets.hide_url(name);
    let entry = config.entry(kind, name, key, registry)?;
    choose((config, registry, secrets), kind, &entry, &redact_url(name))
}

impl Session {
    /// For plugins that use a storage: they name one of the config. No URL: it may hold a secret, and theirs are no secrets.
    pub(super) fn named_storages(&self) -> NamedStorages {
        let (config, registry, secrets) = (self.config.clone(), self.registry.clone(), self.secrets.clone());
        Box::new(move |name| {
            if name.contains(':') {
                return Err(Failure::usage(
                    "a plugin uses a storage by its name in the config, not by a URL",
                )
                .hint("Write it as `[storage.NAME]`, and name that."));
            }
            let name = Located::from_command_line(name.to_owned());
            named((&config, &registry, &secrets), Kind::Storage, &name, "storage")
        })
    }
}
