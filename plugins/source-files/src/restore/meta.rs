//! Owner, mode, times and attributes of what was restored.
//!
//! Owners are numbers, and only root gives files away. Setuid and setgid bits are kept only on what has its owner again.

use std::ffi::CStr;

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, chownat, fchmod, fchown, futimens, utimensat,
};
use rustix::process::{getegid, geteuid};
use windlass_plugin_api::{Restored, Result};

use crate::archive::{Member, Time, broken};
use crate::options::Options;
use crate::report::{Tally, quoted};
use crate::xattrs;

/// How many files are named of each sort of failure.
const NAMED: usize = 20;

/// Gives files what the archive says of them.
pub struct Meta {
    root: bool,
    chown: bool,
    attributes: bool,
    own: (u64, u64),
    foreign: u64,
    privileged: u64,
    failed: Tally,
}

impl Meta {
    /// As the options and the rights of this process have it.
    pub fn new(options: &Options) -> Self {
        let root = geteuid().is_root();
        Self {
            root,
            chown: root && options.owner,
            attributes: options.xattrs,
            own: (u64::from(geteuid().as_raw()), u64::from(getegid().as_raw())),
            foreign: 0,
            privileged: 0,
            failed: Tally::default(),
        }
    }

    /// For an open file or folder. What can't be set (a file system without modes, a folder of somebody else's) is told.
    pub fn apply(&mut self, file: impl AsFd, member: &Member) {
        let file = file.as_fd();
        let owned = match self.owner(member) {
            Some((uid, gid)) => {
                let given = fchown(file, Some(uid), Some(gid));
                self.told(given, member, "its owner")
            }
            None => self.is_own(member),
        };
        // Before the mode: it may take the right to write away. After the owner: a new one loses its capabilities.
        if self.attributes {
            for xattr in &member.xattrs {
                self.attribute(file, member, xattr, owned);
            }
        }
        let mode = if owned { member.mode } else { member.mode & 0o1777 };
        self.told(fchmod(file, Mode::from_raw_mode(mode)), member, "its mode");
        self.told(futimens(file, &times(member.mtime)), member, "its time");
    }

    /// For a symlink, not followed.
    pub fn apply_to_link(&mut self, folder: &OwnedFd, name: &CStr, member: &Member) {
        if let Some((uid, gid)) = self.owner(member) {
            let given = chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
            self.told(given, member, "its owner");
        }
        let set = utimensat(folder, name, &times(member.mtime), AtFlags::SYMLINK_NOFOLLOW);
        self.told(set, member, "its time");
    }

    /// Refuses owners that no system has.
    pub fn check(member: &Member) -> Result<()> {
        let most = u64::from(u32::MAX - 1);
        if member.uid > most || member.gid > most {
            return Err(broken(format_args!("the owner of {} is out of range", quoted(&member.path))));
        }
        Ok(())
    }

    fn owner(&mut self, member: &Member) -> Option<(Uid, Gid)> {
        if !self.chown {
            self.foreign += u64::from(!self.is_own(member));
            return None;
        }
        Some((Uid::from_raw(u32::try_from(member.uid).ok()?), Gid::from_raw(u32::try_from(member.gid).ok()?)))
    }

    fn is_own(&self, member: &Member) -> bool {
        (member.uid, member.gid) == self.own
    }

    fn attribute(&mut self, file: impl AsFd, member: &Member, xattr: &(Vec<u8>, Vec<u8>), owned: bool) {
        if xattrs::needs_root(&xattr.0) && !(self.root && owned) {
            self.privileged += 1;
            return;
        }
        if let Err(error) = xattrs::set(file, xattr) {
            let name = || {
                format!("{}: its attribute {} can't be set: {error}", quoted(&member.path), quoted(&xattr.0))
            };
            self.failed.add(NAMED, name);
        }
    }

    fn told(&mut self, result: rustix::io::Result<()>, member: &Member, what: &str) -> bool {
        if let Err(error) = result {
            self.failed.add(NAMED, || format!("{}: {what} can't be set: {error}", quoted(&member.path)));
        }
        result.is_ok()
    }

    /// Tells what couldn't be done.
    pub fn report(self, restored: &mut Restored) {
        if self.foreign > 0 {
            let why = if self.root { "`owner` is off" } else { "only root may give files away" };
            restored.notes.push(format!(
                "{} files and folders belonged to others and belong to this user now: {why}.",
                self.foreign
            ));
        }
        if self.privileged > 0 {
            restored.notes.push(format!(
                "{} attributes were not restored: only root may set them, on files that have their owner again.",
                self.privileged
            ));
        }
        let count = self.failed.count();
        let mut lines = self.failed.into_first();
        if count > lines.len() as u64 {
            lines.push(format!("and {} more like these", count - lines.len() as u64));
        }
        restored.left_out.extend(lines);
    }
}

fn times(time: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() },
    }
}
