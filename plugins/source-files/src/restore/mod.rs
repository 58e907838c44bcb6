//! A restore: reads the archive and puts each member in its place.
//!
//! Every file is written under a passing name, gets its owner, mode, times and attributes, and is renamed: nobody sees
//! half a file. Folders get theirs at the end. The host has proved the whole stream before; an archive that tries to get
//! out of its target is refused all the same, at the member that tries.
//!
//! Memory: about 50 bytes for each member, and 200 bytes and its path for each folder.

mod layout;
mod meta;
mod only;
mod place;
mod preview;
mod put;
mod seen;
mod sweep;

use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, mkdirat, openat};
use rustix::io::Errno;
use windlass_plugin_api::{
    Context, During, Error, ErrorKind, Inputs, Progress, Reader, RestoreMode, RestoreOptions, Restored,
    Result,
};

pub use layout::target;
pub use preview::preview;

use crate::archive::read::Archive;
use crate::archive::{Kind, Member, broken};
use crate::backup::{FORMAT, STREAM};
use crate::options::Options;
use crate::report::quoted;
use crate::walk::FOLDER;
use layout::Layout;
use meta::Meta;
use only::{Only, Selected};
use place::{Rules, Tree, c_name, clean, split};
use seen::{Seen, State};
use sweep::Extras;

/// Restores from `input`.
pub fn restore(
    cx: &Context,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Restored> {
    let layout = Layout::new(options, how.contents.as_ref())?;
    layout::require_empty(cx, &layout, how.mode)?;
    let mut only = Only::new(&how.only)?;
    if let Some(only) = &mut only {
        only.look(Archive::new(cx, open(input)?))?;
    }
    let trees = layout.open()?;
    for tree in &trees {
        sweep::leftovers(cx, tree.root()).during("can't remove what a killed restore left behind")?;
    }
    let mut restore = Restore {
        cx,
        layout,
        trees,
        only,
        rules: Rules { cx, mode: how.mode, seen: Seen::default() },
        meta: Meta::new(options),
        folders: Vec::new(),
        run: cx.run(),
        made: 0,
        files: 0,
        left_out: Vec::new(),
        shown: Instant::now(),
    };
    let mut archive = Archive::new(cx, open(input)?);
    while let Some(member) = archive.next_member()? {
        cx.go_on()?;
        restore.member(&member, &mut archive)?;
        restore.show();
    }
    restore.finish()
}

/// Opens the stream that holds the archive.
fn open(input: &dyn Inputs) -> Result<Reader> {
    let streams = input.streams();
    let fits = |format: &str| format.is_empty() || format == FORMAT;
    let stream = streams.iter().find(|(name, _)| name == STREAM).or(streams.first());
    match stream {
        Some((name, info)) if fits(&info.stream_format) => input.open(name),
        Some((name, info)) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the stream `{name}` is `{}`, not `{FORMAT}`", info.stream_format),
        )),
        None => Err(Error::damaged("the snapshot has no stream")),
    }
}

/// A folder whose mode and times are set at the end.
struct Later {
    tree: usize,
    path: Vec<u8>,
    member: Member,
}

struct Restore<'a> {
    cx: &'a Context,
    layout: Layout,
    trees: Vec<Tree>,
    only: Option<Only>,
    rules: Rules<'a>,
    meta: Meta,
    folders: Vec<Later>,
    run: String,
    /// The run's id and how many temporaries were made: numbers their names.
    made: u64,
    files: u64,
    left_out: Vec<String>,
    shown: Instant,
}

impl Restore<'_> {
    fn member(&mut self, member: &Member, archive: &mut Archive<'_>) -> Result<()> {
        let path = clean(&member.path)?;
        Meta::check(member)?;
        self.layout.find(&path)?;
        if self.layout.is_root(&path) && member.kind != Kind::Folder {
            return Err(broken(format_args!("the root {} is no folder", quoted(&member.path))));
        }
        let selected = self.only.as_ref().map_or(Selected::Yes, |only| only.selects(&path));
        self.note(&path, member.kind, selected)?;
        match (selected, member.kind) {
            (_, Kind::Device) => Err(broken(format_args!("{} is a device", quoted(&path)))),
            (Selected::No, Kind::File) => self.carried(&path, member, archive),
            (Selected::No, _) => Ok(()),
            (_, Kind::Folder) => self.folder(&path, member, selected),
            (Selected::Above, _) => Err(broken(format_args!("{} is no folder", quoted(&path)))),
            (_, Kind::File) => self.file(&path, member, archive),
            (_, Kind::Symlink) => self.symlink(&path, member),
            (_, Kind::Hardlink) => self.hardlink(&path, member),
            (_, Kind::Fifo) => {
                self.left_out.push(format!("{}: fifos aren't restored", quoted(&path)));
                Ok(())
            }
        }
    }

    /// Notes that the archive has `path`; an error if it had it before.
    fn note(&mut self, path: &[u8], kind: Kind, selected: Selected) -> Result<()> {
        let state = match (selected, kind) {
            (Selected::No, _) | (_, Kind::Fifo) => State::PassedOver,
            (_, Kind::Folder) => State::Folder,
            _ => State::Other,
        };
        match self.rules.seen.set(path, state) {
            None => Ok(()),
            Some(State::ImpliedFolder) if kind == Kind::Folder => Ok(()),
            Some(State::ImpliedFolder) => {
                Err(broken(format_args!("{} is a folder and something else", quoted(path))))
            }
            Some(_) => Err(broken(format_args!("{} is in it twice", quoted(path)))),
        }
    }

    /// The folder that `path` is in and its path in that tree.
    fn above<'p>(&mut self, path: &'p [u8]) -> Result<(usize, &'p [u8], Rc<OwnedFd>)> {
        let (tree, below) = self.layout.find(path)?;
        let folder = self.trees[tree].folder(split(below).0, &mut self.rules)?;
        Ok((tree, below, folder))
    }

    fn folder(&mut self, path: &[u8], member: &Member, selected: Selected) -> Result<()> {
        let (tree, below) = self.layout.find(path)?;
        if below.is_empty() {
            self.later(tree, below, member);
            return Ok(());
        }
        let (_, _, above) = self.above(path)?;
        let name = c_name(split(below).1)?;
        // Nobody else looks in before the mode is set.
        let is_new = match mkdirat(&above, &name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => {
                return Err(io::Error::from(error)).during_with(|| format!("can't make {}", quoted(path)));
            }
        };
        // What stands there instead of a folder is the archive's own only if it was a member before this one.
        self.rules.seen.set(path, State::PassedOver);
        let folder = self.trees[tree].folder(below, &mut self.rules)?;
        self.rules.seen.set(path, State::Folder);
        if selected == Selected::Yes || is_new {
            self.make_usable(&folder)?;
            self.later(tree, below, member);
        }
        Ok(())
    }

    /// A folder of the owner's that can't be written to gets its files all the same; its mode is set again at the end.
    fn make_usable(&self, folder: &OwnedFd) -> Result<()> {
        let stat = rustix::fs::fstat(folder).map_err(io::Error::from)?;
        if stat.st_mode & 0o700 != 0o700 && self.rules.mode != RestoreMode::Fail {
            let mode = Mode::from_raw_mode((stat.st_mode & 0o7777) | 0o700);
            rustix::fs::fchmod(folder, mode).map_err(io::Error::from)?;
        }
        Ok(())
    }

    fn later(&mut self, tree: usize, path: &[u8], member: &Member) {
        self.folders.push(Later { tree, path: path.to_vec(), member: member.clone() });
    }

    /// A file that isn't asked for, but a hard link to it is: that gets the data.
    fn carried(&mut self, path: &[u8], member: &Member, archive: &mut Archive<'_>) -> Result<()> {
        match self.only.as_ref().and_then(|only| only.carrier(path)).map(<[u8]>::to_vec) {
            Some(link) => self.file(&link, member, archive),
            None => Ok(()),
        }
    }

    fn show(&mut self) {
        if self.shown.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.shown = Instant::now();
        let unit = "files".to_owned();
        self.cx.progress(&Progress { done: self.files, unit, ..Progress::default() });
    }

    fn finish(mut self) -> Result<Restored> {
        let mut restored = Restored { place: self.layout.place(), ..Restored::default() };
        if self.rules.mode == RestoreMode::Replace {
            let removed = self.remove_extras()?;
            restored.notes.push(format!("Removed {removed} files and folders that aren't in the snapshot."));
        }
        self.finish_folders()?;
        for tree in &self.trees {
            rustix::fs::syncfs(tree.root())
                .map_err(io::Error::from)
                .during("can't bring the files to the disk")?;
        }
        restored.left_out = self.left_out;
        self.meta.report(&mut restored);
        Ok(restored)
    }

    fn remove_extras(&mut self) -> Result<u64> {
        let mut extras = Extras {
            cx: self.cx,
            seen: &self.rules.seen,
            only: self.only.as_ref(),
            spare: false,
            removed: 0,
        };
        match &self.layout {
            Layout::Into(_, Some(labels)) => {
                for label in labels {
                    if let Ok(folder) = openat(self.trees[0].root(), &c_name(label)?, FOLDER, Mode::empty()) {
                        extras.remove(folder.as_fd(), label)?;
                    }
                }
            }
            _ => {
                for tree in &self.trees {
                    extras.remove(tree.root().as_fd(), &tree.member(b""))?;
                }
            }
        }
        Ok(extras.removed)
    }

    /// Sets modes and times of folders, those further in first: a folder that may not be entered comes after what is in it.
    fn finish_folders(&mut self) -> Result<()> {
        self.folders.sort_unstable_by(|a, b| (b.tree, &b.path).cmp(&(a.tree, &a.path)));
        for later in std::mem::take(&mut self.folders) {
            self.cx.go_on()?;
            let folder = self.trees[later.tree].folder(&later.path, &mut self.rules)?;
            self.meta.apply(&folder, &later.member);
        }
        Ok(())
    }
}
