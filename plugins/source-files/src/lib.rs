//! Windlass source `files`: file trees, as one stream in pax tar.
//!
//! ```toml
//! [source.media]
//! plugin  = "files"
//! roots   = ["/srv/media", "/etc/app"]
//! exclude = ["*.tmp", "/cache"]
//! ```
//!
//! A backup walks the roots in sorted order and writes every entry as `<label>/<path>`, where the label is the root's base
//! name, made unique. What it holds, GNU tar extracts. A restore puts each root back where it was, or into `target`; it
//! takes archives of other tar programs too.
//!
//! Kept: folders, files, symlinks as links, hard links, holes, mode, owner (as numbers), time of change with nanoseconds,
//! extended attributes. Not kept: sockets, fifos and devices (told), other times, attributes of symlinks. It is no snapshot
//! of a moment: files are read one after the other, and one that changes meanwhile is told.
//!
//! Memory: a quarter of a MiB of buffer either way; in a backup 8 bytes and the name for each entry of the folders on the
//! way to the present file, and 100 bytes and the path for each file of which more hard links are to come; in a restore
//! about 50 bytes for each member, and 200 bytes and its path for each folder.

pub mod archive;
mod backup;
mod content;
mod options;
mod report;
mod restore;
mod roots;
mod select;
mod walk;
mod xattrs;

use windlass_plugin_api::{
    Contents, Context, Error, ErrorKind, Inputs, Outputs, Plugin, Probe, RestoreOptions, Restored, Result,
    Source, Target, export_plugin,
};

pub use options::{Options, Roots, Vanished};
use roots::Root;
use select::Select;

export_plugin! {
    source Files {
        "name": "files",
        "summary": "file trees, as pax tar",
        "schemes": ["files", "file"],
        "url_option": "roots",
        "starter": "files:.",
        "reads": ["tar/1"],
        "writes": ["tar/1"],
    }
    options: "../options.schema.json"
}

/// The source.
pub struct Files {
    options: Options,
    select: Select,
}

impl Plugin for Files {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { select: Select::new(&options)?, options })
    }
}

impl Source for Files {
    fn probe(&mut self, _: &Context) -> Result<Probe> {
        let mut probe = Probe::default();
        let roots = self.roots()?;
        for root in &roots {
            let folder = backup::open_root(root)?;
            probe.notes.push(format!("the root `{}` goes in as `{}`", root.path, root.label));
            if walk::Listing::read(&folder)?.iter().next().is_none() {
                probe.warnings.push(format!("The root `{}` is empty: is it mounted?", root.path));
            }
            if let Some(inner) =
                roots.iter().find(|other| *other != root && other.to_path().starts_with(root.to_path()))
            {
                probe.warnings.push(format!(
                    "The root `{}` is inside of `{}`: its files go in twice.",
                    inner.path, root.path
                ));
            }
        }
        Ok(probe)
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        backup::backup(cx, &self.options, &self.select, &self.roots()?, out)
    }

    fn target(&mut self, cx: &Context, how: &RestoreOptions) -> Result<Target> {
        restore::target(cx, &self.options, how)
    }

    fn preview(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Vec<String>> {
        restore::preview(cx, &self.options, input, how)
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        restore::restore(cx, &self.options, input, how)
    }

    fn by_hand(&self, _: &str, _: &Contents) -> Option<String> {
        Some("tar --xattrs -xpf - -C /path/to/put/it".to_owned())
    }
}

impl Files {
    fn roots(&self) -> Result<Vec<Root>> {
        let paths = self.options.roots.paths();
        if paths.is_empty() {
            return Err(Error::new(ErrorKind::Config, "`roots` names no folder")
                .hint("Name at least one: `roots = [\"/srv/media\"]`."));
        }
        roots::labelled(paths)
    }
}
