//! What a config may say of a pair of commands, and what of it can be judged without running anything.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};
use windlass_tool::Inherit;

/// Options of `command`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The program that writes the dump to its stdout, and its arguments; needed for a backup. It goes through no shell:
    /// no `$NAME`, no `*`, no `|`. For these write `["sh", "-c", "pg_dump shop | sed …"]`, and mind that a shell tells
    /// only the last command's failure (`set -o pipefail` in bash). Arguments can be read by everybody on the system:
    /// no secrets.
    pub dump_command: Vec<String>,
    /// The program that reads the dump from its stdin, and its arguments; needed for a restore. It must read to
    /// end-of-file. It finds `fail`, `replace` or `merge` in `WINDLASS_RESTORE_MODE` and the snapshot's id in
    /// `WINDLASS_SNAPSHOT`; what it prints goes to the log.
    pub restore_command: Vec<String>,
    /// A program that looks whether there is something that a restore could overwrite, and its arguments. It exits with
    /// 0 for an empty target and 1 for one that isn't. Without it a target counts as not empty, and a restore needs
    /// `--mode replace` or `--mode merge`.
    pub target_check: Vec<String>,
    /// Variables that all commands get, over those that are inherited. For secrets there is `secret_env`.
    pub env: BTreeMap<String, String>,
    /// Variables with secrets: shown nowhere. Other processes of the same user can read them while a command runs.
    pub secret_env: BTreeMap<String, Secret>,
    /// What the commands get of our own environment: `true` for all, `false` for nothing (not even `PATH`), or a list
    /// of names.
    pub inherit_env: InheritEnv,
    /// The folder that the commands start in.
    #[schemars(extend("format" = "path"))]
    pub working_dir: Option<PathBuf>,
    /// Folders to look for the programs in before `PATH`.
    #[schemars(schema_with = "paths")]
    pub bin_dirs: Vec<PathBuf>,
    /// What the dump is, as `name/version`. Any source that reads the format can restore it.
    pub stream_format: String,
    /// The restore command commits nothing before it has seen end-of-file, and a failure leaves its target as it was
    /// (`psql --single-transaction`). Otherwise the whole snapshot is proved before the command is started.
    pub atomic: bool,
    /// Take a dump of no bytes for a good one.
    pub allow_empty: bool,
    /// Take a restore for a good one whose command left input unread.
    pub allow_unread: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dump_command: Vec::new(),
            restore_command: Vec::new(),
            target_check: Vec::new(),
            env: BTreeMap::new(),
            secret_env: BTreeMap::new(),
            inherit_env: InheritEnv::All(true),
            working_dir: None,
            bin_dirs: Vec::new(),
            stream_format: crate::FORMAT.to_owned(),
            atomic: false,
            allow_empty: false,
            allow_unread: false,
        }
    }
}

fn paths(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "type": "string", "format": "path" } })
}

/// All, nothing, or some of the environment.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum InheritEnv {
    /// All of it, or nothing.
    All(bool),
    /// Only these variables.
    Only(Vec<String>),
}

impl From<InheritEnv> for Inherit {
    fn from(inherit: InheritEnv) -> Self {
        match inherit {
            InheritEnv::All(true) => Self::All,
            InheritEnv::All(false) => Self::Nothing,
            InheritEnv::Only(names) => Self::Only(names),
        }
    }
}

impl Options {
    /// What the types can't say.
    pub(crate) fn judge(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        for name in self.env.keys().chain(self.secret_env.keys()) {
            if name.is_empty() || name.contains(['=', '\0']) {
                return wrong(format!("`{name}` can't be the name of a variable"));
            }
        }
        if let Some(name) = self.env.keys().find(|name| self.secret_env.contains_key(*name)) {
            return wrong(format!("`{name}` stands in `env` and in `secret_env`"));
        }
        let format = self.stream_format.split_once('/');
        if !format.is_some_and(|(name, version)| !name.is_empty() && version.parse::<u32>().is_ok()) {
            return wrong(format!("the stream format `{}` isn't of the form `name/1`", self.stream_format));
        }
        Ok(())
    }
}
