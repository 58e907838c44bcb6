//! Windlass source `objects`: what lies in a storage, as one stream in tar.
//!
//! ```toml
//! [source.media]
//! plugin  = "objects"
//! storage = "bucket"       # a `[storage.bucket]` of the config, of any plugin
//! prefix  = "uploads/"
//! ```
//!
//! A backup lists the storage below the prefix and writes each object as a file whose name is the rest of its key, in byte order
//! of the keys. What it holds, GNU tar extracts. A restore puts each file back as an object, there or below another prefix
//! or in another storage; it takes the archives of the source `files` too, which is a way to move a folder into a bucket.
//!
//! Kept: keys, bytes, time of change. Not kept, for the contract of storages doesn't know them: content types, tags, access
//! lists, older versions. It is no snapshot of a moment: objects are read one after the other, and what changes or vanishes
//! meanwhile is told.
//!
//! Requests are the storage's own: retries, limits and credentials are those of `[storage.bucket]`.

mod ahead;
mod archive;
mod backup;
mod options;
mod place;
mod restore;
mod seen;

use windlass_plugin_api::{
    Contents, Context, Inputs, ListOptions, Outputs, Plugin, Probe, RestoreOptions, Restored, Result, Source,
    Target, export_plugin,
};

pub use options::Options;
use place::Place;

export_plugin! {
    source Objects {
        "name": "objects",
        "summary": "the objects of a storage, as tar",
        "schemes": ["objects"],
        "url_option": "storage",
        "needs": ["storage"],
        "reads": ["tar/1"],
        "writes": ["tar/1"],
    }
    options: "../options.schema.json"
}

/// The source.
pub struct Objects {
    options: Options,
}

impl Plugin for Objects {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.judge()?;
        Ok(Self { options })
    }
}

impl Source for Objects {
    fn probe(&mut self, cx: &Context) -> Result<Probe> {
        let place = Place::open(cx, &self.options)?;
        let mut probe = Probe::default();
        let first = ListOptions { limit: Some(1), ..place.listing() };
        if place.storage.list(cx, &first)?.entries.is_empty() {
            probe.warnings.push(format!("There is no object in {}: is it the right place?", place.shown()));
        }
        Ok(probe)
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        backup::backup(cx, &Place::open(cx, &self.options)?, out)
    }

    fn target(&mut self, cx: &Context, _: &RestoreOptions) -> Result<Target> {
        restore::target(cx, &Place::open(cx, &self.options)?)
    }

    fn preview(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Vec<String>> {
        restore::preview(cx, &Place::open(cx, &self.options)?, input, how)
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        restore::restore(cx, &Place::open(cx, &self.options)?, input, how)
    }

    fn by_hand(&self, _: &str, _: &Contents) -> Option<String> {
        Some("tar -xpf - -C /path/to/put/it".to_owned())
    }
}
