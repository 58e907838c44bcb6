//! The walk over one root: which entries there are, in the order in which they go into the archive.
//!
//! Every step is relative to the descriptor of the folder above and follows no symlink, so that nobody who moves folders
//! meanwhile can lead it outside. It opens folders only; files are opened and judged by the backup. Names that begin with
//! `.windlass-` are temporary files of ours and left out.
//!
//! Memory: the names of all folders on the way from the root to the present entry, about 8 bytes and the name for each.

use std::ffi::{CStr, CString};
use std::io;
use std::rc::Rc;

use ignore::gitignore::Gitignore;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, RawDir, Stat, fstat, openat, statat};
use rustix::io::Errno;

use crate::report::Report;
use crate::select::{Select, gitignore, ignored};

/// What a folder is opened with below a root.
pub const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The beginning of all names of temporary files.
pub const TEMPORARY: &[u8] = b".windlass-";

/// The names in one folder with their types, in one piece of memory.
#[derive(Default)]
pub struct Listing {
    /// Each name with its closing NUL.
    names: Vec<u8>,
    /// Where each begins and what it is.
    index: Vec<(u32, FileType)>,
}

impl Listing {
    /// Lists `folder`, sorted by the bytes of the names. A type that the file system doesn't tell is looked up.
    pub fn read(folder: impl AsFd) -> io::Result<Self> {
        let folder = folder.as_fd();
        // A descriptor remembers how far it was read: one that was listed before would seem to be empty.
        rustix::fs::seek(folder, rustix::fs::SeekFrom::Start(0))?;
        let mut listing = Self::default();
        let mut room = Vec::with_capacity(32 * 1024);
        let mut entries = RawDir::new(folder, room.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut file_type = entry.file_type();
            if file_type == FileType::Unknown {
                match statat(folder, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => file_type = FileType::from_raw_mode(stat.st_mode),
                    // Gone already; whoever opens it will see.
                    Err(_) => file_type = FileType::RegularFile,
                }
            }
            let begin = u32::try_from(listing.names.len())
                .map_err(|_| io::Error::other("the folder has more than 4 GiB of names"))?;
            listing.index.push((begin, file_type));
            listing.names.extend_from_slice(name.to_bytes_with_nul());
        }
        let names = &listing.names;
        listing.index.sort_unstable_by_key(|&(begin, _)| name_at(names, begin).to_bytes());
        Ok(listing)
    }

    /// The `number`th name and its type.
    pub fn get(&self, number: usize) -> Option<(&CStr, FileType)> {
        let &(begin, file_type) = self.index.get(number)?;
        Some((name_at(&self.names, begin), file_type))
    }

    /// All names and their types.
    pub fn iter(&self) -> impl Iterator<Item = (&CStr, FileType)> {
        (0..self.index.len()).filter_map(|number| self.get(number))
    }
}

fn name_at(names: &[u8], begin: u32) -> &CStr {
    CStr::from_bytes_until_nul(&names[begin as usize..]).unwrap_or_default()
}

/// An entry that goes into the archive.
pub enum Found {
    /// A folder, opened.
    Folder {
        /// Its descriptor.
        folder: Rc<OwnedFd>,
        /// What it is.
        stat: Stat,
        /// Its path below the root; empty for the root.
        path: Vec<u8>,
    },
    /// Anything else, not looked at yet.
    Other {
        /// The folder it is in.
        folder: Rc<OwnedFd>,
        /// Its name there.
        name: CString,
        /// What the folder says it is.
        file_type: FileType,
        /// Its path below the root.
        path: Vec<u8>,
    },
}

/// How to walk.
pub struct How<'a> {
    /// What to take.
    pub select: &'a Select,
    /// Heed `.gitignore` files.
    pub gitignore: bool,
    /// Stay on the root's file system.
    pub one_file_system: bool,
}

struct Frame {
    folder: Rc<OwnedFd>,
    stat: Stat,
    listing: Listing,
    next: usize,
    /// The length of the folder's path below the root.
    path_length: usize,
    /// It, or a folder above it, is asked for by `include`.
    included: bool,
    rules: Option<Gitignore>,
}

/// A walk over one root.
pub struct Walk<'a> {
    how: How<'a>,
    stack: Vec<Frame>,
    /// The path below the root of the entry that was looked at last.
    path: Vec<u8>,
    /// How many folders at the bottom of the stack were given out. One that isn't wanted for itself is given out only
    /// once something in it is.
    told: usize,
    /// How many must be.
    due: usize,
    waiting: Option<Found>,
}

impl<'a> Walk<'a> {
    /// A walk over the folder `root`.
    pub fn new(root: OwnedFd, how: How<'a>, report: &mut Report) -> io::Result<Self> {
        let mut walk = Self { how, stack: Vec::new(), path: Vec::new(), told: 0, due: 1, waiting: None };
        let stat = fstat(&root)?;
        let included = walk.how.select.includes_all();
        let listing = Listing::read(&root)?;
        walk.push(root, stat, listing, included, report);
        Ok(walk)
    }

    /// The next entry, or `None` at the end. Folders come before what is in them. What can't be listed goes to `report`.
    pub fn next(&mut self, report: &mut Report) -> Option<Found> {
        loop {
            if self.told < self.due {
                let frame = &self.stack[self.told];
                self.told += 1;
                let path = self.path[..frame.path_length].to_vec();
                return Some(Found::Folder { folder: frame.folder.clone(), stat: frame.stat, path });
            }
            if let Some(found) = self.waiting.take() {
                return Some(found);
            }
            if !self.step(report) {
                return None;
            }
        }
    }

    /// Looks at one more name. False at the end.
    fn step(&mut self, report: &mut Report) -> bool {
        let Some(frame) = self.stack.last_mut() else { return false };
        let Some((name, file_type)) = frame.listing.get(frame.next) else {
            self.stack.pop();
            self.told = self.told.min(self.stack.len());
            self.due = self.told;
            return true;
        };
        frame.next += 1;
        self.path.truncate(frame.path_length);
        if !self.path.is_empty() {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(name.to_bytes());
        let (name, folder, above) = (name.to_owned(), frame.folder.clone(), frame.included);
        let is_folder = file_type == FileType::Directory;
        if name.to_bytes().starts_with(TEMPORARY) || self.leaves_out(is_folder) {
            return true;
        }
        let included = self.how.select.includes(&self.path, is_folder) || above;
        if is_folder {
            self.descend(&folder, &name, included, report);
        } else if included {
            self.due = self.stack.len();
            self.waiting = Some(Found::Other { folder, name, file_type, path: self.path.clone() });
        }
        true
    }

    fn leaves_out(&self, is_folder: bool) -> bool {
        if self.how.select.excludes(&self.path, is_folder) {
            return true;
        }
        let below = |frame: &Frame| match frame.path_length {
            0 => 0,
            length => length + 1,
        };
        // The nearest folder that says anything decides.
        let verdict = self.stack.iter().rev().find_map(|frame| {
            frame.rules.as_ref().and_then(|rules| ignored(rules, &self.path[below(frame)..], is_folder))
        });
        verdict.unwrap_or(false)
    }

    fn descend(&mut self, above: &OwnedFd, name: &CStr, included: bool, report: &mut Report) {
        match self.open(above, name) {
            Ok((folder, stat, listing)) => self.push(folder, stat, listing, included, report),
            // Deleted, or made something else, since it was listed.
            Err(error) if gone(&error) => report.vanished(&self.path),
            Err(error) => report.left_out(&self.path, &error),
        }
    }

    fn open(&self, above: &OwnedFd, name: &CStr) -> io::Result<(OwnedFd, Stat, Listing)> {
        let folder = openat(above, name, FOLDER, Mode::empty())?;
        let stat = fstat(&folder)?;
        let foreign = self.stack.first().is_some_and(|root| root.stat.st_dev != stat.st_dev);
        let listing =
            if foreign && self.how.one_file_system { Listing::default() } else { Listing::read(&folder)? };
        Ok((folder, stat, listing))
    }

    fn push(&mut self, folder: OwnedFd, stat: Stat, listing: Listing, included: bool, report: &mut Report) {
        let rules = if self.how.gitignore { self.rules(&folder, &listing, report) } else { None };
        let path_length = self.path.len();
        self.stack.push(Frame {
            folder: Rc::new(folder),
            stat,
            listing,
            next: 0,
            path_length,
            included,
            rules,
        });
        if included {
            self.due = self.stack.len();
        }
    }

    fn rules(&self, folder: &OwnedFd, listing: &Listing, report: &mut Report) -> Option<Gitignore> {
        listing.iter().find(|(name, file_type)| {
            name.to_bytes() == b".gitignore" && *file_type == FileType::RegularFile
        })?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let text = openat(folder, c".gitignore", flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|file| read_some(std::fs::File::from(file)));
        let place = String::from_utf8_lossy(&self.path).into_owned();
        match text {
            Ok(text) => {
                let (rules, wrong) = gitignore(&text);
                for line in wrong {
                    report.warn(format!("`{place}/.gitignore` has a line that can't be read: `{line}`"));
                }
                Some(rules)
            }
            Err(error) => {
                report.warn(format!("`{place}/.gitignore` can't be read and isn't heeded: {error}"));
                None
            }
        }
    }
}

/// The first MiB: more is no `.gitignore`.
fn read_some(file: std::fs::File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, 1 << 20), &mut text)?;
    Ok(text)
}

/// Whether an open failed since the entry isn't there any more, or is something else now.
pub fn gone(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP];
    error.raw_os_error().is_some_and(|number| gone.iter().any(|errno| errno.raw_os_error() == number))
}
