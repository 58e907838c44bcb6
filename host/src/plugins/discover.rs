//! Where plugin files lie, and whether one may be trusted: the first step from a name in a config to a loaded plugin.
//!
//! It looks at names, owners and modes only; what a file says of itself is read by [`inspect`](super::inspect), and
//! loading it is the step after that. A file name only locates: the plugin's real name stands inside the file.

mod trust;

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fmt, fs, io};

use windlass_plugin_api::{During, Error, Kind, Result};

pub use trust::trusted;

/// The vendor that isn't written in a file name or a config: ours.
pub const OUR_VENDOR: &str = "windlass";

/// How a folder came to be searched, in the order of the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// `--plugin-dir`.
    Argument,
    /// `WINDLASS_PLUGIN_PATH`.
    Environment,
    /// `plugin_dirs` of the config.
    Config,
    /// The user's data folder.
    User,
    /// `<exe>/../lib/windlass/plugins`.
    Installation,
    /// The executable's own folder (and, in a Cargo build folder, `deps`).
    Executable,
    /// `/usr/local/lib/windlass/plugins` or `/usr/lib/windlass/plugins`.
    System,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Argument => "--plugin-dir",
            Self::Environment => "WINDLASS_PLUGIN_PATH",
            Self::Config => "plugin_dirs of the config",
            Self::User => "the user's data folder",
            Self::Installation => "the installation",
            Self::Executable => "the executable's folder",
            Self::System => "the system",
        })
    }
}

/// A folder to search. It need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchDir {
    /// Absolute.
    pub path: PathBuf,
    /// Why it is searched.
    pub origin: Origin,
}

/// The folders to search, in order, each once.
///
/// `given` and `config_dirs` are taken as they are (relative ones from the working folder; the config's loader has made
/// its own absolute). Empty entries of `WINDLASS_PLUGIN_PATH` are skipped: they must not mean the working folder.
///
/// In a folder that Cargo builds into, `deps` is searched just before the executable's folder. `cargo build` writes a
/// plugin there and hard-links it beside the executable, while `cargo test` writes to `deps` only: what lies in `deps`
/// is never older, and a test never runs a plugin that the last `cargo build` left.
pub fn search_dirs(
    given: &[PathBuf],
    env: &dyn Fn(&str) -> Option<OsString>,
    config_dirs: &[PathBuf],
    exe: &Path,
) -> Vec<SearchDir> {
    let path_variable = env("WINDLASS_PLUGIN_PATH").unwrap_or_default();
    let exe = fs::canonicalize(exe).unwrap_or_else(|_| exe.to_owned());
    let beside = exe.parent().map(Path::to_owned);
    let installed = beside.as_deref().and_then(Path::parent).map(|root| root.join("lib/windlass/plugins"));

    let mut all: Vec<(Origin, PathBuf)> = Vec::new();
    all.extend(given.iter().map(|dir| (Origin::Argument, dir.clone())));
    all.extend(std::env::split_paths(&path_variable).map(|dir| (Origin::Environment, dir)));
    all.extend(config_dirs.iter().map(|dir| (Origin::Config, dir.clone())));
    all.extend(user_data_folder(env).map(|dir| (Origin::User, dir.join("windlass/plugins"))));
    all.extend(installed.map(|dir| (Origin::Installation, dir)));
    all.extend(beside.as_deref().and_then(cargo_deps).map(|dir| (Origin::Executable, dir)));
    all.extend(beside.map(|dir| (Origin::Executable, dir)));
    all.push((Origin::System, "/usr/local/lib/windlass/plugins".into()));
    all.push((Origin::System, "/usr/lib/windlass/plugins".into()));

    let mut seen = HashSet::new();
    all.into_iter()
        .filter(|(_, path)| !path.as_os_str().is_empty())
        .filter_map(|(origin, path)| Some(SearchDir { path: std::path::absolute(path).ok()?, origin }))
        .filter(|dir| seen.insert(fs::canonicalize(&dir.path).unwrap_or_else(|_| dir.path.clone())))
        .collect()
}

/// By the XDG rules: relative values count as unset. A user without a home has none.
fn user_data_folder(env: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| env(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
}

/// `deps` of the Cargo build folder that `dir` is (a binary) or lies in (a test or an example).
fn cargo_deps(dir: &Path) -> Option<PathBuf> {
    let profile =
        [Some(dir), dir.parent()].into_iter().flatten().find(|dir| dir.join(".fingerprint").is_dir())?;
    Some(profile.join("deps"))
}

/// A file whose name is a plugin's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// From the file name.
    pub kind: Kind,
    /// From the file name, where `-` is written `_`.
    pub vendor: String,
    /// From the file name, where `-` is written `_`.
    pub name: String,
    /// As found in the searched folder. It may be a link; its name is the one that must fit.
    pub found: PathBuf,
    /// Canonical and absolute: the file to load. As `found` where it can't be resolved; [`trusted`] says why.
    pub path: PathBuf,
    /// Why its folder was searched.
    pub origin: Origin,
    /// The file of the same name in a folder before this one: that one is used.
    pub shadowed_by: Option<PathBuf>,
}

impl Candidate {
    /// Whether a plugin that is really called so would lie in a file of this name.
    pub fn is_called(&self, kind: Kind, vendor: &str, name: &str) -> bool {
        self.kind == kind && self.vendor == in_file_names(vendor) && self.name == in_file_names(name)
    }

    /// [`trusted`], for the file as it was found and as it resolves.
    pub fn trusted(&self) -> Result<()> {
        trusted(&self.found)
    }
}

/// What a search brought.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order of the search, by file name within a folder; shadowed ones too.
    pub candidates: Vec<Candidate>,
    /// Folders that exist and can't be read, each with its error. A plugin that was found nowhere else, or only in a
    /// later folder, may lie there: whoever asks for one by name must hear of them.
    pub unreadable: Vec<(SearchDir, Error)>,
}

/// Looks through the folders for files with a plugin's name. Missing folders are fine.
///
/// The first file of a name wins; later ones are kept as shadowed, unless they are the same file again.
pub fn find(dirs: &[SearchDir]) -> Found {
    let mut found = Found::default();
    let mut winners: HashMap<Named, Winner> = HashMap::new();
    for dir in dirs {
        let files = match plugin_files(&dir.path) {
            Ok(files) => files,
            Err(error) => {
                found.unreadable.push((dir.clone(), error));
                continue;
            }
        };
        for (file, named) in files {
            let path = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            let inode = fs::metadata(&path).ok().map(|meta| (meta.dev(), meta.ino()));
            let shadowed_by = match winners.get(&named) {
                Some(winner) if inode.is_some() && winner.inode == inode => continue,
                Some(winner) => Some(winner.path.clone()),
                None => {
                    winners.insert(named.clone(), Winner { path: path.clone(), inode });
                    None
                }
            };
            let (kind, vendor, name) = named;
            let origin = dir.origin;
            found.candidates.push(Candidate { kind, vendor, name, found: file, path, origin, shadowed_by });
        }
    }
    found
}

type Named = (Kind, String, String);

/// The first file of a name.
struct Winner {
    path: PathBuf,
    /// Device and inode; `None`: a link that leads nowhere.
    inode: Option<(u64, u64)>,
}

fn plugin_files(dir: &Path) -> Result<Vec<(PathBuf, Named)>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            return Err(error).during_with(|| format!("can't read the plugin folder `{}`", dir.display()));
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.during_with(|| format!("can't read the plugin folder `{}`", dir.display()))?;
        if let Some(named) = parse_file_name(&entry.file_name()) {
            files.push((entry.path(), named));
        }
    }
    files.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(files)
}

/// The name of the file that a plugin lies in: `libwindlass_filter_zstd.so`, `libwindlass_storage_acme__tape.so`.
pub fn file_name(kind: Kind, vendor: &str, name: &str) -> String {
    let (vendor, name) = (in_file_names(vendor), in_file_names(name));
    if vendor == OUR_VENDOR {
        format!("libwindlass_{kind}_{name}.so")
    } else {
        format!("libwindlass_{kind}_{vendor}__{name}.so")
    }
}

/// Cargo makes library names out of `_`, so names with `-` lie in files with `_`.
pub fn in_file_names(name: &str) -> String {
    name.replace('-', "_")
}

/// Kind, vendor and name, the latter two as in file names; `None`: not the name of a plugin file.
pub fn parse_file_name(file: &OsStr) -> Option<(Kind, String, String)> {
    let stem = file.to_str()?.strip_prefix("libwindlass_")?.strip_suffix(".so")?;
    let (kind, rest) = stem.split_once('_')?;
    let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind)?;
    let (vendor, name) = rest.split_once("__").unwrap_or((OUR_VENDOR, rest));
    let proper = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    (proper(vendor) && proper(name)).then(|| (kind, vendor.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests;
