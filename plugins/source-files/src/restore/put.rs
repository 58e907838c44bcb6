//! How one file, symlink or hard link gets to its place: made under a passing name, given all it has, then renamed.
//!
//! Which members come here, and with which paths, the flow in [`super`] decides.

use std::ffi::CString;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::rc::Rc;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, ftruncate, linkat, openat, symlinkat};
use rustix::io::Errno;
use windlass_plugin_api::{During, Result};

use super::Restore;
use super::place::{TEMPORARY_END, Temporary, c_name, clean, split};
use super::seen::State;
use crate::archive::read::Archive;
use crate::archive::{Extent, Member, broken};
use crate::report::quoted;

impl Restore<'_> {
    pub(super) fn file(&mut self, path: &[u8], member: &Member, archive: &mut Archive<'_>) -> Result<()> {
        let (tree, below, folder) = self.above(path)?;
        let write = || format!("can't write {}", quoted(path));
        let (temporary, mut file) = self.create(&folder).during_with(write)?;
        fill(&mut file, member, archive, &write)?;
        self.meta.apply(&file, member);
        drop(file);
        self.files += 1;
        self.trees[tree].put(temporary, below, &mut self.rules)
    }

    fn create(&mut self, folder: &Rc<OwnedFd>) -> io::Result<(Temporary, std::fs::File)> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.temporary(folder, |folder, name| openat(folder, name, flags, Mode::from_raw_mode(0o600)))
            .map(|(temporary, file)| (temporary, file.into()))
    }

    /// Makes something under a passing name that isn't taken.
    fn temporary<T>(
        &mut self,
        folder: &Rc<OwnedFd>,
        make: impl Fn(&OwnedFd, &CString) -> rustix::io::Result<T>,
    ) -> io::Result<(Temporary, T)> {
        loop {
            let end = String::from_utf8_lossy(TEMPORARY_END);
            let name = CString::new(format!(".windlass-{}-{}{end}", self.run, self.made))?;
            self.made += 1;
            match Temporary::make(folder, name, &make) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other,
            }
        }
    }

    pub(super) fn symlink(&mut self, path: &[u8], member: &Member) -> Result<()> {
        let (tree, below, folder) = self.above(path)?;
        let link = c_name(&member.link)?;
        let write = || format!("can't make the symlink {}", quoted(path));
        let (temporary, ()) =
            self.temporary(&folder, |folder, name| symlinkat(&link, folder, name)).during_with(write)?;
        self.meta.apply_to_link(&folder, &temporary.name, member);
        self.trees[tree].put(temporary, below, &mut self.rules)
    }

    pub(super) fn hardlink(&mut self, path: &[u8], member: &Member) -> Result<()> {
        let mut source = clean(&member.link)?;
        self.layout.find(&source)?;
        if let Some(carrier) = self.only.as_ref().and_then(|only| only.carrier(&source)) {
            if carrier == path {
                // It has the data already.
                return Ok(());
            }
            source = carrier.to_vec();
        }
        if source == path || self.rules.seen.get(&source) != Some(State::Other) {
            let (path, link) = (quoted(path), quoted(&member.link));
            return Err(broken(format_args!(
                "{path} is a hard link to {link}, which isn't a file before it"
            )));
        }
        let (_, source_below, source_folder) = self.above(&source)?;
        let source_name = c_name(split(source_below).1)?;
        let (tree, below, folder) = self.above(path)?;
        let write = || format!("can't link {}", quoted(path));
        let linked = self.temporary(&folder, |folder, name| {
            linkat(&source_folder, &source_name, folder, name, AtFlags::empty())
        });
        let temporary = match linked {
            Ok((temporary, ())) => temporary,
            Err(error) if cannot_link(&error) => {
                self.copy(&source_folder, &source_name, &folder, member).during_with(write)?
            }
            Err(error) => return Err(error).during_with(write),
        };
        self.files += 1;
        self.trees[tree].put(temporary, below, &mut self.rules)
    }

    /// Copies a file where it can't be linked: roots on two file systems, or one that has no links.
    fn copy(
        &mut self,
        source_folder: &OwnedFd,
        source_name: &CString,
        folder: &Rc<OwnedFd>,
        member: &Member,
    ) -> io::Result<Temporary> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut source = std::fs::File::from(openat(source_folder, source_name, flags, Mode::empty())?);
        let (temporary, mut file) = self.create(folder)?;
        io::copy(&mut source, &mut file)?;
        let xattrs = crate::xattrs::Attributes::default().read(&source)?;
        self.meta.apply(&file, &Member { xattrs, ..member.clone() });
        Ok(temporary)
    }
}

/// Writes the data of `member` into `file`, holes as holes. `write` is what an error of the file, not of the archive,
/// is said to have come from.
fn fill(
    file: &mut std::fs::File,
    member: &Member,
    archive: &mut Archive<'_>,
    write: &impl Fn() -> String,
) -> Result<()> {
    let Some(extents) = &member.extents else {
        loop {
            let part = archive.data(u64::MAX)?;
            if part.is_empty() {
                return Ok(());
            }
            file.write_all(part).during_with(write)?;
        }
    };
    ftruncate(&*file, member.size).map_err(io::Error::from).during_with(write)?;
    for &Extent { mut offset, mut length } in extents {
        while length > 0 {
            let part = archive.data(length)?;
            file.write_all_at(part, offset).during_with(write)?;
            offset += part.len() as u64;
            length -= part.len() as u64;
        }
    }
    Ok(())
}

fn cannot_link(error: &io::Error) -> bool {
    let errors = [Errno::XDEV, Errno::MLINK, Errno::PERM, Errno::OPNOTSUPP];
    error.raw_os_error().is_some_and(|number| errors.iter().any(|errno| errno.raw_os_error() == number))
}
