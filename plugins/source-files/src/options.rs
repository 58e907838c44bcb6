//! What a config may say of a file source, and what of it can be judged without looking at the disk.
//!
//! It doesn't open anything: whether a root is there is the business of `probe`, `backup` and `target`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Options of `files`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The folders to back up: one path or a list. A symlink here is followed; symlinks inside are kept as links.
    /// A restore without `target` puts files back only into these.
    pub roots: Roots,
    /// Keep only what one of these patterns matches, and all that is in a folder that matches. Empty: everything.
    ///
    /// Patterns are matched with the path below the root, as bytes. `*` and `?` stop at `/`, `**` doesn't; `[ab]` and
    /// `{a,b}` choose. A pattern without `/` matches a name at any depth; one with `/` begins at the root (a leading
    /// `/` does only that). A `/` at the end: folders only.
    pub include: Vec<String>,
    /// Leave out what one of these patterns matches, folders with all that is in them. Wins over `include`; same form.
    pub exclude: Vec<String>,
    /// Leave out what the `.gitignore` files inside the roots say, in git's meaning. The `.gitignore` files themselves
    /// and `.git` are kept. `exclude` comes first.
    pub gitignore: bool,
    /// Don't descend into other file systems that are mounted below a root; their mount points are kept as empty folders.
    pub one_file_system: bool,
    /// The folder that a restore writes to: each root becomes a folder in it, named by its label. Without it, files go
    /// back to the root that they came from, and that root must be one of `roots`.
    #[schemars(extend("format" = "path"))]
    pub target: Option<PathBuf>,
    /// What to do about a file that was listed and is gone when it is opened.
    pub vanished: Vanished,
    /// Keep extended attributes (`user.*`, capabilities, POSIX ACLs, …), in a backup and in a restore.
    pub xattrs: bool,
    /// Let a restore that runs as root give files back to the user and group numbers they had. False: they belong to root.
    pub owner: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            roots: Roots::default(),
            include: Vec::new(),
            exclude: Vec::new(),
            gitignore: false,
            one_file_system: false,
            target: None,
            vanished: Vanished::default(),
            xattrs: true,
            owner: true,
        }
    }
}

/// One folder, or several.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Roots {
    /// One folder: also what a URL such as `files:/srv/media` gives.
    One(#[schemars(extend("format" = "path"))] PathBuf),
    /// Several.
    Many(#[schemars(schema_with = "paths")] Vec<PathBuf>),
}

fn paths(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "array", "items": { "type": "string", "format": "path" } })
}

impl Default for Roots {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Roots {
    /// All of them, in the order of the config.
    pub fn paths(&self) -> &[PathBuf] {
        match self {
            Self::One(path) => std::slice::from_ref(path),
            Self::Many(paths) => paths,
        }
    }
}

/// What to do about a file that was listed and is gone when it is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Vanished {
    /// Nothing: it was deleted, and the snapshot says so by not having it.
    Ok,
    /// Say it as a warning. The exit code stays 0.
    #[default]
    Warn,
}
