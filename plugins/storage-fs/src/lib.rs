//! Windlass storage: a folder.
//!
//! The object `a/b` is the file `a/b` below the root, so that any tool can read it; half uploads lie in a hidden folder beside
//! them and are renamed into place when they are published. It keeps no index, takes no lock and never follows a symbolic
//! link below the root. Encryption and retries are not its business.

mod failure;
mod folder;
mod half;
mod list;
mod object;
mod root;

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_folder::key;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Plugin, Reader,
    Result, Storage, StorageReport, Upload, export_plugin, probe,
};

use half::Half;
use root::Root;

export_plugin! {
    storage Fs {
        "name": "fs",
        "summary": "a folder on this machine or mounted on it",
        "schemes": ["fs"],
        "url_option": "root",
        "starter": "fs:./backups?create_root=true",
        "odd_keys": true,
    }
    options: "../options.schema.json"
}

/// Options of `fs`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The folder that objects are kept in. It may be a symbolic link; nothing below it may.
    #[schemars(extend("format" = "path"))]
    pub root: String,

    /// Makes the folder (not those above it) when the first backup finds it missing. Off by default, for a missing folder
    /// mostly means a disk that isn't mounted, and a backup must not go below its mount point instead.
    #[serde(default)]
    pub create_root: bool,
}

/// The storage `fs`.
pub struct Fs {
    root: Arc<Root>,
}

impl Plugin for Fs {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        if options.root.is_empty() {
            return Err(Error::new(ErrorKind::Config, "the option `root` is empty").hint("Name a folder."));
        }
        Ok(Self { root: Arc::new(Root::new(&options.root, options.create_root)?) })
    }
}

impl Storage for Fs {
    fn create(&self, _: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        key::judge(key)?;
        Ok(Box::new(Half::begin(self.root.clone(), key, how)?))
    }

    fn open(&self, _: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        key::judge(key)?;
        object::open(&self.root, key, range)
    }

    fn stat(&self, _: &Context, key: &str) -> Result<Option<Object>> {
        key::judge(key)?;
        object::stat(&self.root, key)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        list::page(&self.root, cx, what)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        let delete_one = |key: &String| {
            cx.go_on()?;
            key::judge(key)?;
            object::delete(&self.root, key)
        };
        Ok(keys.iter().map(delete_one).collect())
    }

    fn leftovers(&self, _: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        half::leftovers(&self.root, prefix)
    }

    fn discard(&self, _: &Context, leftovers: &[Leftover]) -> Result<()> {
        half::discard(&self.root, leftovers)
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        let mut report = StorageReport { free_bytes: self.root.free_bytes()?, ..StorageReport::default() };
        if self.root.open()?.is_none() {
            let path = self.root.path().display();
            report.notes.push(format!("The folder `{path}` isn't there yet: the first backup makes it."));
            return Ok(report);
        }
        if self.root.is_open_to_all()? {
            let path = self.root.path().display();
            report
                .warnings
                .push(format!("Anybody can remove and replace what is in `{path}`: run `chmod 700` on it."));
        }
        // Of a share the time is that of its server.
        let changed = |key: &str| Ok(object::stat(&self.root, key)?.and_then(|probe| probe.modified));
        probe::storage(self, cx, &mut report, changed)?;
        Ok(report)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        let path = self.root.path().join(key);
        Some(format!("cat '{}'", path.to_str()?.replace('\'', r"'\''")))
    }
}
