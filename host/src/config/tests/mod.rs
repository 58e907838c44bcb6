//! The config as a whole, against plugins that exist only here. Tests of one file's own logic stand in that file.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use windlass_plugin_api::{Error, ErrorKind, Kind, PluginInfo};

use super::*;

mod forms;
mod limits;
mod priority;
mod references;
mod whole;

/// Plugins with the schemas that schemars derives from such options.
pub struct Fake(Vec<Arc<PluginInfo>>);

impl Known for Fake {
    fn info(&self, kind: Kind, name: &str) -> Result<Arc<PluginInfo>, Error> {
        let named = |info: &&Arc<PluginInfo>| {
            info.kind == kind
                && (info.name == name
                    || info.full_name() == name
                    || info.aliases.iter().any(|alias| alias == name))
        };
        if name == "broken" {
            return Err(Error::new(ErrorKind::Denied, "`/lib/x.so` is world-writable").hint("Run `chmod`."));
        }
        let found = self.0.iter().find(named).cloned();
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such plugin"))
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.0.iter().filter(|info| info.kind == kind).map(|info| info.short_name()).collect()
    }

    fn by_scheme(&self, kind: Kind, scheme: &str) -> Option<Arc<PluginInfo>> {
        let knows =
            |info: &&Arc<PluginInfo>| info.kind == kind && info.schemes.iter().any(|known| known == scheme);
        self.0.iter().find(knows).cloned()
    }
}

fn plugin(kind: &str, name: &str, more: Value, options: Value) -> Arc<PluginInfo> {
    let mut info = json!({ "kind": kind, "name": name, "version": "1.4.0", "api": "1.0.0", "panic": "unwind",
        "summary": format!("The {name} plugin"), "options": options });
    info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(serde_json::from_value(info).unwrap())
}

pub fn fake() -> Fake {
    let secret = json!({ "type": "string", "format": "secret" });
    Fake(vec![
        plugin(
            "source",
            "sqlite",
            json!({ "schemes": ["sqlite"], "url_option": "path", "aliases": ["sqlite3"],
                "renamed_options": { "file": "path" } }),
            json!({ "type": "object", "additionalProperties": false, "required": ["path"], "properties": {
                "path": { "type": "string", "format": "path" },
                "mode": { "$ref": "#/$defs/Mode", "default": "pages" },
                "busy": { "type": ["integer", "null"], "minimum": 0, "maximum": 60 },
                "safety_copy": { "type": "boolean", "default": true } },
                "$defs": { "Mode": { "oneOf": [
                    { "description": "Pages.", "type": "string", "const": "pages" },
                    { "description": "Text.", "type": "string", "const": "sql" }] } } }),
        ),
        plugin(
            "source",
            "files",
            json!({ "schemes": ["files"], "url_option": "roots" }),
            json!({ "type": "object", "additionalProperties": false, "required": ["roots"], "properties": {
                "roots": { "type": "array", "items": { "type": "string", "format": "path" }, "minItems": 1 },
                "exclude": { "type": "array", "items": { "type": "string" }, "default": [] } } }),
        ),
        plugin(
            "source",
            "postgres",
            json!({ "schemes": ["postgres", "postgresql"] }),
            json!({ "type": "object", "properties": {
                "url": { "type": "string" },
                "port": { "type": "integer", "minimum": 0, "maximum": 65535 },
                "password": { "anyOf": [secret, { "type": "null" }] },
                "tls": { "anyOf": [{ "$ref": "#/$defs/Tls" }, { "type": "null" }] },
                "env": { "type": "object", "additionalProperties": { "type": "string" } } },
                "$defs": { "Tls": { "type": "object", "additionalProperties": false, "required": ["ca"],
                    "properties": { "ca": { "type": "string", "format": "path" }, "key": secret } } } }),
        ),
        plugin(
            "storage",
            "fs",
            json!({ "schemes": ["fs", "file"], "url_option": "root" }),
            json!({ "type": "object", "additionalProperties": false, "required": ["root"], "properties": {
                "root": { "type": "string", "format": "path" } } }),
        ),
        plugin(
            "filter",
            "zstd",
            json!({ "suffix": ".zst", "starter": "zstd" }),
            json!({ "type": "object", "additionalProperties": false, "properties": {
                "level": { "type": "integer", "minimum": 1, "maximum": 19, "default": 3 } } }),
        ),
        plugin(
            "filter",
            "age",
            json!({ "encrypts": true }),
            json!({ "type": "object", "additionalProperties": false, "properties": {
                "recipients": { "type": "array", "items": { "type": "string" } },
                "identities": { "type": "array", "items": secret } } }),
        ),
    ])
}

/// A folder, an environment that can change, and the config in it.
pub struct Fixture {
    root: tempfile::TempDir,
    vars: Arc<Mutex<HashMap<String, OsString>>>,
}

impl Fixture {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap(), vars: Arc::default() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        self.mode(name, 0o600);
        path
    }

    pub fn mode(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    pub fn var(&self, name: &str, value: &str) {
        self.vars.lock().unwrap().insert(name.into(), value.into());
    }

    pub fn env(&self) -> Environment {
        let vars = self.vars.clone();
        let var = Box::new(move |name: &str| vars.lock().unwrap().get(name).cloned());
        Environment { var, folder: self.path(""), system: self.path("etc") }
    }

    pub fn secrets(&self) -> Secrets {
        Secrets::new(self.env())
    }

    /// `windlass.toml` with that text.
    pub fn parse(&self, text: &str) -> (Config, Problems) {
        self.file("windlass.toml", text);
        Config::parse(&Place::File("windlass.toml".into()), &self.env())
    }

    /// One that has no problems.
    pub fn config(&self, text: &str) -> Config {
        let (config, problems) = self.parse(text);
        assert!(problems.is_empty(), "{problems}");
        config
    }

    /// Everything that is found in that text, a line each, without hints.
    pub fn found(&self, text: &str) -> Vec<String> {
        let (config, problems) = self.parse(text);
        let checked = config.check(&fake(), Selection::All, &self.secrets(), problems);
        let all: Vec<Problem> = checked.unwrap_or_else(|problems| problems.into_iter().collect());
        all.into_iter().map(|problem| Problem { hint: None, ..problem }.to_string()).collect()
    }

    /// The options document of the only source in that text.
    pub fn source(&self, text: &str, secrets: &Secrets) -> Result<Value, Problems> {
        let config = self.config(text);
        let entry = config.sources.values().next().unwrap();
        config.resolve(entry, &fake(), secrets, &entry.key)
    }
}

pub fn on_command_line(text: &str) -> Located<String> {
    Located::from_command_line(text.to_owned())
}

/// The end of an absolute path, for comparing.
pub fn below<'a>(root: &Path, path: &'a str) -> &'a str {
    Path::new(path).strip_prefix(root).unwrap().to_str().unwrap()
}
