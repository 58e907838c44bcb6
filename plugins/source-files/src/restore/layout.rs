//! Where a restore puts what: each root back to its place, or all of them into `target`.
//!
//! A snapshot's own list of roots is stored beside the data, where whoever can write to the storage can change it. So it
//! never decides alone: without `target`, files go only to folders that the options name.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use windlass_plugin_api::{Contents, Context, Error, ErrorKind, RestoreMode, RestoreOptions, Result, Target};

use super::place::Tree;
use super::sweep::{Measure, measure};
use crate::archive::broken;
use crate::options::Options;
use crate::report::quoted;
use crate::roots::{self, Root};

/// Where members go.
pub enum Layout {
    /// Each label has its own folder.
    Back(Vec<(Vec<u8>, PathBuf)>),
    /// All go into one folder; the labels that may be in the archive, if the snapshot says so.
    Into(PathBuf, Option<Vec<Vec<u8>>>),
}

impl Layout {
    /// The layout for a snapshot with `contents`; an error if nothing says where to.
    pub fn new(options: &Options, contents: Option<&Contents>) -> Result<Self> {
        let recorded = roots::recorded(contents)?;
        if let Some(target) = &options.target {
            let labels =
                recorded.map(|roots| roots.into_iter().map(|root| root.label.as_bytes().to_vec()).collect());
            return Ok(Self::Into(std::path::absolute(target)?, labels));
        }
        let Some(recorded) = recorded else {
            return Err(Error::new(ErrorKind::Config, "nothing says where to put this archive's files")
                .hint("Name a folder: `--set target=/path/to/put/it`."));
        };
        let own = roots::labelled(options.roots.paths())?;
        let single = recorded.len() == 1 && own.len() == 1;
        let place = |root: &Root| match own.iter().find(|own| single || own.path == root.path) {
            Some(own) => Ok((root.label.as_bytes().to_vec(), own.to_path())),
            None => Err(Error::new(
                ErrorKind::Config,
                format!("the snapshot has the root `{}`, which is none of `roots`", root.path),
            )
            .hint("Add it to `roots` of the source, or name a folder: `--set target=/path/to/put/it`.")),
        };
        Ok(Self::Back(recorded.iter().map(place).collect::<Result<_>>()?))
    }

    /// The folders that the restore fills, with the member path of each: each root's, or each label's in the target, or
    /// the whole target.
    pub fn folders(&self) -> Vec<(Vec<u8>, PathBuf)> {
        match self {
            Self::Back(roots) => roots.clone(),
            Self::Into(target, Some(labels)) => {
                labels.iter().map(|label| (label.clone(), target.join(OsStr::from_bytes(label)))).collect()
            }
            Self::Into(target, None) => vec![(Vec::new(), target.clone())],
        }
    }

    /// Where, for people.
    pub fn place(&self) -> String {
        let shown: Vec<String> = match self {
            Self::Back(roots) => roots.iter().map(|(_, path)| path.display().to_string()).collect(),
            Self::Into(target, _) => vec![target.display().to_string()],
        };
        shown.join(", ")
    }

    /// Opens the trees that are written to.
    pub fn open(&self) -> Result<Vec<Tree>> {
        match self {
            Self::Back(roots) => roots.iter().map(|(label, path)| Tree::open(path, label)).collect(),
            Self::Into(target, _) => Ok(vec![Tree::open(target, b"")?]),
        }
    }

    /// The number of the tree that the clean member path `path` belongs to, and its path there.
    pub fn find<'a>(&self, path: &'a [u8]) -> Result<(usize, &'a [u8])> {
        let (label, rest) = match path.iter().position(|&byte| byte == b'/') {
            Some(at) => (&path[..at], &path[at + 1..]),
            None => (path, &b""[..]),
        };
        let foreign = || broken(format_args!("{} is in none of the snapshot's roots", quoted(path)));
        match self {
            Self::Back(roots) => {
                let number = roots.iter().position(|(known, _)| known == label).ok_or_else(foreign)?;
                Ok((number, rest))
            }
            Self::Into(_, Some(labels)) if !labels.iter().any(|known| known == label) => Err(foreign()),
            Self::Into(..) => Ok((0, path)),
        }
    }

    /// Whether the clean path `path` is one that only a folder may have: a root.
    pub fn is_root(&self, path: &[u8]) -> bool {
        let labelled = !matches!(self, Self::Into(_, None));
        path.is_empty() || (labelled && !path.contains(&b'/'))
    }

    /// What is in the folders that the restore fills. `None`: none of them exists, or all are empty.
    pub fn measure(&self, cx: &Context) -> Result<Option<Measure>> {
        let mut sum = Measure::default();
        for (_, folder) in self.folders() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match rustix::fs::open(&folder, flags, Mode::empty()).map_err(io::Error::from) {
                Ok(opened) => measure(cx, opened, &mut sum)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(Error::from(error).during(format!("can't look into `{}`", folder.display())));
                }
            }
        }
        Ok((sum.files + sum.folders > 0).then_some(sum))
    }
}

/// What a restore as `how` says would write to.
pub fn target(cx: &Context, options: &Options, how: &RestoreOptions) -> Result<Target> {
    let layout = Layout::new(options, how.contents.as_ref())?;
    let measure = layout.measure(cx)?;
    let there = measure.unwrap_or_default();
    Ok(Target {
        place: layout.place(),
        empty: measure.is_none(),
        size_bytes: measure.map(|measure| measure.bytes),
        modified: there.newest,
        effects: effects(how.mode, measure),
        atomic: false,
        ..Target::default()
    })
}

fn effects(mode: RestoreMode, there: Option<Measure>) -> Vec<String> {
    let Some(Measure { files, folders, .. }) = there else { return Vec::new() };
    let there = format!("{files} files and {folders} folders that are there now");
    match mode {
        RestoreMode::Fail => Vec::new(),
        RestoreMode::Merge => vec![format!("overwrites those of the {there} that the snapshot has too")],
        // How many go only the stream tells: see `preview`.
        RestoreMode::Replace => vec![format!("overwrites those of the {there} that the snapshot has too")],
    }
}

/// Refuses a target that isn't empty where the mode wants it empty.
pub fn require_empty(cx: &Context, layout: &Layout, mode: RestoreMode) -> Result<()> {
    match (mode, layout.measure(cx)?) {
        (RestoreMode::Fail, Some(_)) => {
            Err(Error::new(ErrorKind::Refused, format!("the target isn't empty: `{}`", layout.place())).hint(
                "Use `--mode merge` to add to it, or `--mode replace` to make it equal to the snapshot.",
            ))
        }
        _ => Ok(()),
    }
}
