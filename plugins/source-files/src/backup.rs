//! A backup: walks the roots and writes each entry into the archive.
//!
//! What can't be read is told and left out; only the sink, a cancel, or a root that isn't there ends a backup. A file is
//! opened once, without following a symlink and without waiting for a fifo's other end, and judged by its descriptor.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::time::{Duration, Instant};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use serde_json::Value;
use windlass_plugin_api::{Contents, Context, During, Outputs, Progress, Result, StreamInfo};

use crate::archive::write::{Writer, too_long};
use crate::archive::{Kind, Member, Time, sparse};
use crate::content::{self, Outcome};
use crate::options::Options;
use crate::report::{Report, member_path};
use crate::roots::{self, Root};
use crate::select::Select;
use crate::walk::{Found, How, Walk, gone};
use crate::xattrs::Attributes;

/// The stream's name.
pub const STREAM: &str = "data";

/// The stream's format.
pub const FORMAT: &str = "tar/1";

const FILE: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Backs `roots` up.
pub fn backup(
    cx: &Context,
    options: &Options,
    select: &Select,
    roots: &[Root],
    out: &dyn Outputs,
) -> Result<Contents> {
    let opened: Vec<OwnedFd> = roots.iter().map(open_root).collect::<Result<_>>()?;
    let sink = out.create(STREAM, StreamInfo::new(FORMAT))?;
    let mut backup = Backup {
        cx,
        options,
        archive: Writer::new(cx, sink),
        report: Report::new(options.vanished),
        attributes: Attributes::default(),
        links: HashMap::new(),
        counts: Counts::default(),
        shown: Instant::now(),
    };
    for (root, folder) in roots.iter().zip(opened) {
        backup.root(root, folder, select)?;
    }
    for pattern in select.unmatched() {
        backup.report.warn(format!("The `include` pattern `{pattern}` matched nothing."));
    }
    backup.finish(roots)
}

/// Opens a root, which may itself be a symlink.
pub fn open_root(root: &Root) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(root.to_path(), flags, Mode::empty()).map_err(io::Error::from).map_err(|error| {
        let is_file = error.kind() == io::ErrorKind::NotADirectory;
        let error =
            windlass_plugin_api::Error::from(error).during(format!("can't read the root `{}`", root.path));
        if is_file {
            error.hint("A root is a folder: name the one it is in, and the file in `include`.")
        } else {
            error.hint("Is it mounted, and may this user read it?")
        }
    })
}

#[derive(Default)]
struct Counts {
    files: u64,
    folders: u64,
    symlinks: u64,
    hardlinks: u64,
    bytes: u64,
}

/// A file of which more names are to come.
struct Linked {
    member: Vec<u8>,
    /// Its size and time: an inode number that was freed and taken by another file meanwhile must not link the two.
    state: (i64, i64, u64),
    names_left: u64,
}

struct Backup<'a> {
    cx: &'a Context,
    options: &'a Options,
    archive: Writer<'a>,
    report: Report,
    attributes: Attributes,
    /// Files with several names by device and inode; forgotten once all names were met.
    links: HashMap<(u64, u64), Linked>,
    counts: Counts,
    shown: Instant,
}

impl Backup<'_> {
    fn root(&mut self, root: &Root, folder: OwnedFd, select: &Select) -> Result<()> {
        let label = root.label.as_bytes();
        self.report.root(label);
        let how =
            How { select, gitignore: self.options.gitignore, one_file_system: self.options.one_file_system };
        let mut walk = Walk::new(folder, how, &mut self.report)
            .during_with(|| format!("can't list the root `{}`", root.path))?;
        while let Some(found) = walk.next(&mut self.report) {
            self.cx.go_on()?;
            match found {
                Found::Folder { folder, stat, path } => self.folder(&folder, &stat, label, &path)?,
                Found::Other { folder, name, file_type, path } => match file_type {
                    FileType::RegularFile => self.file(&folder, &name, label, &path)?,
                    FileType::Symlink => self.symlink(&folder, &name, label, &path)?,
                    _ => self.report.special(&path),
                },
            }
            self.show();
        }
        Ok(())
    }

    fn folder(&mut self, folder: &OwnedFd, stat: &Stat, label: &[u8], path: &[u8]) -> Result<()> {
        let mut member = described(stat, Kind::Folder, member_path(label, path));
        member.path.push(b'/');
        self.add_attributes(&mut member, folder, path);
        self.counts.folders += 1;
        self.archive.member(&member)
    }

    fn symlink(&mut self, folder: &OwnedFd, name: &CStr, label: &[u8], path: &[u8]) -> Result<()> {
        let looked = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|stat| readlinkat(folder, name, Vec::new()).map(|link| (stat, link)));
        match looked {
            Ok((stat, link)) => {
                let mut member = described(&stat, Kind::Symlink, member_path(label, path));
                member.link = link.into_bytes();
                if self.is_further_name(&stat, &mut member) {
                    self.counts.hardlinks += 1;
                } else {
                    self.counts.symlinks += 1;
                }
                self.archive.member(&member)
            }
            Err(error) => {
                self.unread(path, &error.into());
                Ok(())
            }
        }
    }

    fn file(&mut self, folder: &OwnedFd, name: &CStr, label: &[u8], path: &[u8]) -> Result<()> {
        let opened =
            openat(folder, name, FILE, Mode::empty()).and_then(|file| fstat(&file).map(|stat| (file, stat)));
        let (file, stat) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.unread(path, &error.into());
                return Ok(());
            }
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            self.report.special(path);
            return Ok(());
        }
        let mut member = described(&stat, Kind::File, member_path(label, path));
        if self.is_further_name(&stat, &mut member) {
            self.counts.hardlinks += 1;
            return self.archive.member(&member);
        }
        self.add_attributes(&mut member, &file, path);
        member.size = stat.st_size as u64;
        // Fewer blocks than bytes: there may be holes.
        if (stat.st_blocks as u64) * 512 < member.size {
            // Where the file system can't tell, the file is stored whole.
            member.extents = sparse::extents(&file, member.size).unwrap_or(None);
        }
        self.counts.files += 1;
        self.counts.bytes += member.size;
        self.archive.member(&member)?;
        if member.size == 0 {
            return Ok(());
        }
        let outcome = content::copy(&file, &stat, member.extents.as_deref(), &mut self.archive)?;
        self.tell(path, member.size, &outcome);
        Ok(())
    }

    fn tell(&mut self, path: &[u8], size: u64, outcome: &Outcome) {
        let zeros = "zeros stand for the rest";
        match outcome {
            Outcome::Whole => {}
            Outcome::Changed => self.report.changed(path),
            Outcome::Short(at) => {
                let why = format!("shrank from {size} to {at} bytes while it was read, {zeros}");
                self.report.left_out(path, &why);
            }
            Outcome::Failed(at, error) => {
                self.report.left_out(path, &format!("can't be read beyond byte {at}, {zeros}: {error}"));
            }
        }
    }

    /// Makes `member` a hard link if the file was met before under another name.
    fn is_further_name(&mut self, stat: &Stat, member: &mut Member) -> bool {
        if stat.st_nlink < 2 {
            return false;
        }
        let inode = (stat.st_dev, stat.st_ino);
        let state = (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        let Some(linked) = self.links.get_mut(&inode).filter(|linked| linked.state == state) else {
            let names_left = stat.st_nlink - 1;
            self.links.insert(inode, Linked { member: member.path.clone(), state, names_left });
            return false;
        };
        member.kind = Kind::Hardlink;
        linked.names_left -= 1;
        if linked.names_left == 0 {
            member.link = std::mem::take(&mut linked.member);
            self.links.remove(&inode);
        } else {
            member.link.clone_from(&linked.member);
        }
        true
    }

    fn add_attributes(&mut self, member: &mut Member, file: impl AsFd, path: &[u8]) {
        if !self.options.xattrs {
            return;
        }
        match self.attributes.read(file) {
            Ok(xattrs) => member.xattrs = xattrs,
            Err(error) => self.report.left_out(path, &format_args!("its attributes can't be read: {error}")),
        }
        if too_long(member) {
            member.xattrs.clear();
            self.report.left_out(path, &"its attributes are too long to be kept");
        }
    }

    fn unread(&mut self, path: &[u8], error: &io::Error) {
        if gone(error) {
            self.report.vanished(path);
        } else {
            self.report.left_out(path, error);
        }
    }

    fn show(&mut self) {
        if self.shown.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.shown = Instant::now();
        let done = self.counts.files + self.counts.hardlinks;
        self.cx.progress(&Progress { done, unit: "files".to_owned(), ..Progress::default() });
    }

    fn finish(self, roots: &[Root]) -> Result<Contents> {
        self.archive.finish()?;
        let mut contents = Contents::default();
        self.report.into_contents(&mut contents);
        let details = &mut contents.details;
        details.insert("roots".to_owned(), roots::to_value(roots));
        let counts = &self.counts;
        for (name, count) in [
            ("files", counts.files),
            ("folders", counts.folders),
            ("symlinks", counts.symlinks),
            ("hardlinks", counts.hardlinks),
            ("file_bytes", counts.bytes),
        ] {
            details.insert(name.to_owned(), Value::from(count));
        }
        Ok(contents)
    }
}

fn described(stat: &Stat, kind: Kind, path: Vec<u8>) -> Member {
    Member {
        path,
        kind,
        mode: stat.st_mode & 0o7777,
        uid: u64::from(stat.st_uid),
        gid: u64::from(stat.st_gid),
        mtime: Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec as u32 },
        ..Member::default()
    }
}
