//! Safe steps below a folder: the only code that opens or creates anything in a restore's target.
//!
//! Every path is walked part by part from a descriptor of the target's root and no symlink is ever followed, so neither an
//! archive nor anyone who moves things in the target meanwhile can lead a restore outside. What stands in the way is
//! removed in mode `replace` only, and never if the archive itself has put it there.

use std::ffi::CString;
use std::io;
use std::path::Path;
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;
use windlass_plugin_api::{Context, During, Error, ErrorKind, RestoreMode, Result};

use super::seen::{Seen, State};
use super::sweep;
use crate::archive::broken;
use crate::report::quoted;
use crate::walk::FOLDER;

/// How many folders of the present path are kept open.
const KEPT_OPEN: usize = 100;

/// The end of the names of a restore's temporary files; they begin with `.windlass-`.
pub const TEMPORARY_END: &[u8] = b".restoring";

/// `path` without empty parts and `.`; refuses what could lead outside.
pub fn clean(path: &[u8]) -> Result<Vec<u8>> {
    if path.first() == Some(&b'/') {
        return Err(broken(format_args!("the path {} is absolute", quoted(path))));
    }
    let mut clean = Vec::with_capacity(path.len());
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(broken(format_args!("the path {} goes up", quoted(path)))),
            _ if part.contains(&0) => {
                return Err(broken(format_args!("the path {} has a NUL", quoted(path))));
            }
            _ => {}
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(part);
    }
    Ok(clean)
}

/// The folder part and the last part of a clean path.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

/// `name` for a system call. Clean paths have no NUL.
pub fn c_name(name: &[u8]) -> Result<CString> {
    CString::new(name).map_err(|_| broken("a name has a NUL"))
}

/// What the archive has where something else is in the way.
#[derive(Clone, Copy)]
enum Wanted {
    Folder,
    File,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Folder => "folder",
            Self::File => "file",
        })
    }
}

/// What may be done to what is in the way.
pub struct Rules<'a> {
    /// Asked for cancelling.
    pub cx: &'a Context,
    /// How to restore.
    pub mode: RestoreMode,
    /// What the archive has had so far.
    pub seen: Seen,
}

impl Rules<'_> {
    /// Removes what stands at `name` in `folder` where the archive has `wanted`, or says why not. `path` is the member's.
    fn make_way(&self, folder: &OwnedFd, name: &[u8], path: &[u8], wanted: Wanted) -> Result<()> {
        let path_text = quoted(path);
        match (wanted, self.seen.get(path)) {
            (Wanted::Folder, Some(State::Other)) => {
                return Err(broken(format_args!("a member goes through {path_text}, which is no folder")));
            }
            (Wanted::File, Some(State::Folder | State::ImpliedFolder)) => {
                return Err(broken(format_args!("{path_text} is a folder and something else")));
            }
            _ => {}
        }
        if self.mode == RestoreMode::Replace {
            sweep::remove(self.cx, folder, &c_name(name)?)
                .during_with(|| format!("can't remove {path_text}, which is in the way"))?;
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Refused,
            format!("{path_text} is in the way: the snapshot has a {wanted} there"),
        )
        .hint("Move it away, or restore with `--mode replace`, which removes it."))
    }
}

/// The root of a tree that is restored to.
pub struct Tree {
    root: Rc<OwnedFd>,
    /// What stands before a path in this tree to make it a member's path; empty or a label.
    label: Vec<u8>,
    /// The folders of the path that was walked last, from the root on.
    chain: Vec<(Vec<u8>, Rc<OwnedFd>)>,
}

impl Tree {
    /// Opens the folder `path`, which is made if it isn't there, and locks it against another restore.
    pub fn open(path: &Path, label: &[u8]) -> Result<Self> {
        let open = || -> io::Result<OwnedFd> {
            std::fs::create_dir_all(path)?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            Ok(rustix::fs::open(path, flags, Mode::empty())?)
        };
        let root = open().during_with(|| format!("can't open the target `{}`", path.display()))?;
        // File systems that can't lock a folder go without.
        if flock(&root, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("another restore is writing to `{}`", path.display()),
            )
            .hint("Wait for its end."));
        }
        Ok(Self { root: Rc::new(root), label: label.to_vec(), chain: Vec::new() })
    }

    /// The root's descriptor.
    pub fn root(&self) -> &Rc<OwnedFd> {
        &self.root
    }

    /// The member path of `path` in this tree.
    pub fn member(&self, path: &[u8]) -> Vec<u8> {
        match (self.label.is_empty(), path.is_empty()) {
            (true, _) => path.to_vec(),
            (false, true) => self.label.clone(),
            (false, false) => [&self.label[..], b"/", path].concat(),
        }
    }

    /// Opens the folder `path`, making what isn't there.
    pub fn folder(&mut self, path: &[u8], rules: &mut Rules<'_>) -> Result<Rc<OwnedFd>> {
        let mut parts = path.split(|&byte| byte == b'/').filter(|part| !part.is_empty()).peekable();
        let mut kept = 0;
        let mut length = 0;
        while let Some(part) = parts.peek() {
            if self.chain.get(kept).is_none_or(|(name, _)| name != part) {
                break;
            }
            kept += 1;
            length += part.len() + 1;
            parts.next();
        }
        self.chain.truncate(kept);
        let mut folder = self.chain.last().map_or(&self.root, |(_, folder)| folder).clone();
        for part in parts {
            let so_far = &path[..length + part.len()];
            length += part.len() + 1;
            folder = Rc::new(self.enter(&folder, part, so_far, rules)?);
            if self.chain.len() == kept && kept < KEPT_OPEN {
                self.chain.push((part.to_vec(), folder.clone()));
                kept += 1;
            }
        }
        Ok(folder)
    }

    fn enter(&self, above: &OwnedFd, part: &[u8], path: &[u8], rules: &mut Rules<'_>) -> Result<OwnedFd> {
        let name = c_name(part)?;
        let member = self.member(path);
        // Each round removes a reason; somebody who puts it back each time isn't waited for.
        for _ in 0..8 {
            match openat(above, &name, FOLDER, Mode::empty()) {
                Ok(folder) => {
                    rules.seen.imply_folder(&member);
                    return Ok(folder);
                }
                Err(Errno::NOENT) => match mkdirat(above, &name, Mode::from_raw_mode(0o777)) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(error) => {
                        return Err(io::Error::from(error))
                            .during_with(|| format!("can't make {}", quoted(&member)));
                    }
                },
                Err(Errno::NOTDIR | Errno::LOOP) => rules.make_way(above, part, &member, Wanted::Folder)?,
                Err(error) => {
                    return Err(io::Error::from(error))
                        .during_with(|| format!("can't open {}", quoted(&member)));
                }
            }
        }
        Err(Error::failed(format!("{} changes all the time", quoted(&member))))
    }

    /// Gives a finished temporary its name.
    pub fn put(&self, temporary: Temporary, path: &[u8], rules: &mut Rules<'_>) -> Result<()> {
        let (folder, name) = (temporary.folder.clone(), split(path).1);
        let c_name = c_name(name)?;
        for _ in 0..8 {
            match renameat(&folder, &temporary.name, &folder, &c_name) {
                Ok(()) => {
                    temporary.keep();
                    return Ok(());
                }
                Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                    rules.make_way(&folder, name, &self.member(path), Wanted::File)?;
                }
                Err(error) => {
                    let member = self.member(path);
                    return Err(io::Error::from(error))
                        .during_with(|| format!("can't put {} there", quoted(&member)));
                }
            }
        }
        Err(Error::failed(format!("{} changes all the time", quoted(&self.member(path)))))
    }
}

/// A file of a passing name; removed when it is dropped.
pub struct Temporary {
    folder: Rc<OwnedFd>,
    /// Its name in the folder.
    pub name: CString,
    kept: bool,
}

impl Temporary {
    /// Takes `name` in `folder`, which [`make`](Self::make) fills.
    pub fn make<T>(
        folder: &Rc<OwnedFd>,
        name: CString,
        make: impl FnOnce(&OwnedFd, &CString) -> rustix::io::Result<T>,
    ) -> io::Result<(Self, T)> {
        let made = make(folder, &name)?;
        Ok((Self { folder: folder.clone(), name, kept: false }, made))
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.kept {
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_outside_are_refused_and_others_made_plain() {
        for path in [&b"/etc/passwd"[..], b"../x", b"a/../../x", b"a/..", b"a\0b"] {
            assert_eq!(clean(path).unwrap_err().kind, ErrorKind::Damaged, "{}", path.escape_ascii());
        }
        assert_eq!(clean(b"./a//b/./c/").unwrap(), b"a/b/c");
        assert_eq!(clean(b"./").unwrap(), b"");
        assert_eq!(clean(b"a/..b/...").unwrap(), b"a/..b/...");
    }
}
