//! The config: found, read, checked against the plugins' schemas, and resolved into what a plugin gets.
//!
//! In the order in which a command uses it:
//!
//! 1. [`Config::locate`] says where the text is; [`Config::parse`] reads it and everything it includes.
//! 2. [`Config::check`] (or [`Config::validate`], which asks for no secret) judges it against what the plugins say of
//!    themselves ([`Known`]). Both add to the problems of the first step, so that a user is told all of them at once.
//! 3. [`Config::entry`] turns a name or a URL into an [`Entry`], [`Config::resolve`] that into the options document
//!    of one plugin; secrets stay behind in [`Secrets`].
//!
//! Nothing here loads a plugin, prints, or acts on a schedule or a retention policy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_plugin_api::{Error, Kind, PluginInfo};

mod command;
mod convert;
mod each;
mod examine;
mod explain;
mod fan;
mod fields;
mod files;
mod limit;
pub mod locate;
mod pipeline;
mod priority;
mod problem;
mod read;
mod reference;
pub mod retention;
mod schedule;
mod schema;
mod secrets;
mod set;
mod shape;
mod show;
mod starter;
pub mod suggest;
mod text;
pub mod url;
mod validate;
pub mod value;

pub use each::Each;
pub use fan::StorageUse;
pub use fields::{LABEL, NAME, is_label, is_name, parse_duration};
pub use limit::{Limit, parse_rate};
pub use locate::{Environment, Place};
pub use pipeline::{Entry, Pipeline};
pub use priority::{IoClass, Priority};
pub use problem::{Problem, Problems};
pub use retention::Retention;
pub use schedule::Schedule;
pub use schema::schema;
pub use secrets::{Ask, Secrets};
pub use set::{set, set_text};
pub use show::ShownValue;
pub use starter::starter;
pub use url::{entry_from_url, is_url, name_from_url, redact_url};
pub use validate::Selection;
pub use value::{Located, Origin};

/// What plugins there are and what they say of themselves. Implemented by the registry; asking loads nothing.
pub trait Known {
    /// The plugin that `name` means: `zstd`, `vendor/name`, an alias. Kind [`NotFound`](windlass_plugin_api::ErrorKind)
    /// if there is none; anything else if there is one that can't be used.
    fn info(&self, kind: Kind, name: &str) -> Result<Arc<PluginInfo>, Error>;
    /// All of a kind, as a config would name them.
    fn names(&self, kind: Kind) -> Vec<String>;
    /// The plugin that declares the URL scheme.
    fn by_scheme(&self, kind: Kind, scheme: &str) -> Option<Arc<PluginInfo>>;
}

/// All that the config files say. Without any file ([`Config::default`]) it is empty, and everything is told by URL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The main file, absolute where the current folder is known; none for stdin and `WINDLASS_CONFIG_TOML`.
    pub path: Option<PathBuf>,
    /// All files read: the main one, then what it includes.
    pub files: Vec<PathBuf>,
    /// The label under which this host's snapshots stand.
    pub host: Option<Located<String>>,
    /// Where to look for plugins, absolute.
    pub plugin_dirs: Vec<Located<PathBuf>>,
    /// `[source.X]`
    pub sources: BTreeMap<String, Entry>,
    /// `[storage.X]`
    pub storages: BTreeMap<String, Entry>,
    /// `[pipeline.X]`
    pub pipelines: BTreeMap<String, Pipeline>,
    /// `[decode.X]`: keys for old snapshots, by filter plugin.
    pub decode: BTreeMap<String, Entry>,
}

impl Config {
    /// See [`locate::locate`].
    pub fn locate(explicit: Option<&Path>, env: &Environment) -> Result<Option<Place>, Problem> {
        locate::locate(explicit, env)
    }

    /// Reads the config at `place` and all that it includes, and what could be understood of it. The problems (warnings
    /// too) belong to the second step: hand them to [`check`](Self::check), or end here by
    /// [`Problems::into_result`].
    pub fn parse(place: &Place, env: &Environment) -> (Self, Problems) {
        let mut problems = Problems::new();
        let documents = files::read(place, &env.folder, &mut problems);
        let config = read::config(documents, &mut problems);
        (config, problems)
    }

    /// The pipeline `name`; the problem has the nearest name as its hint.
    pub fn pipeline(&self, name: &str) -> Result<&Pipeline, Problem> {
        self.pipelines.get(name).ok_or_else(|| {
            Problem::new(format!("there is no pipeline `{name}`"))
                .suggest(name, self.pipelines.keys().map(String::as_str))
        })
    }

    /// The source or storage that `named` means: by name, else by URL. `key` is what the entry's own key becomes if it
    /// is a URL: it names the entry in problems and its secrets.
    pub fn entry(
        &self,
        kind: Kind,
        named: &Located<String>,
        key: &str,
        known: &dyn Known,
    ) -> Result<Entry, Problem> {
        let entries = if kind == Kind::Storage { &self.storages } else { &self.sources };
        if let Some(entry) = entries.get(&named.value) {
            return Ok(entry.clone());
        }
        if named.contains(':') {
            return entry_from_url(kind, named, known).map(|entry| Entry { key: key.to_owned(), ..entry });
        }
        let problem = Problem::new(format!("there is no {kind} `{}`", named.value)).at(&named.origin);
        let problem = problem.suggest(named, entries.keys().map(String::as_str));
        Err(problem.hint(format!("Define `[{kind}.{}]` in the config, or give a URL.", named.value)))
    }
}

#[cfg(test)]
mod tests;
