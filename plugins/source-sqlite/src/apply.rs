//! The prepared image becomes the target.
//!
//! - Nothing there: renamed into place.
//! - A database of the same shape (page size, encoding, reserved bytes): the pages that differ are written through SQLite in
//!   one transaction. Never renamed over: a program that has the old file open would go on with it, and even a newcomer
//!   would read old rows out of the old `-wal`. The journal mode of the target stays, for its users count on it.
//! - A database of another shape: connections that are open can't follow that, so only when nobody else has one, and then
//!   through SQLite's backup API under a lock that is held from the proof to the end.
//! - No database at all: only when nobody has the file open, and then renamed over.
//!
//! Each way is one step for whoever looks, and for a kill at any moment: a rename, or SQLite's own commit.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use windlass_plugin_api::{Context, During, Error, ErrorKind, RestoreOptions, Result};

use crate::exclusive;
use crate::holders;
use crate::image::Image;
use crate::in_place;
use crate::options::Options;
use crate::place::Place;
use crate::sibling::{Sibling, sync_folder};
use crate::target::{Found, before};

/// One restore's last step.
pub struct Work<'a> {
    /// The run.
    pub cx: &'a Context,
    /// The options of the source that is restored to.
    pub options: &'a Options,
    /// How to restore.
    pub how: &'a RestoreOptions,
    /// The target.
    pub place: &'a Place,
}

impl Work<'_> {
    /// Puts `image` in place. Returns what the user should know.
    pub fn apply(&self, image: Image) -> Result<Vec<String>> {
        // Looked at again: the stream may have taken hours.
        match Found::at(self.cx, self.place, self.options)? {
            Found::Missing { strays } => self.make(image, &strays),
            Found::Database { .. } => match in_place::write(self, &image)? {
                in_place::Outcome::Done(notes) => Ok(notes),
                in_place::Outcome::OtherShape(why) => exclusive::write(self, &image, &why),
            },
            Found::Foreign { .. } => self.replace_foreign(image),
        }
    }

    fn make(&self, image: Image, strays: &[&str]) -> Result<Vec<String>> {
        let mut notes = self.set_aside(strays)?;
        image.sibling.file.sync_all().during("can't make the restored file durable")?;
        rename_to_free(&image.sibling.path, &self.place.path)
            .map_err(|error| error.during(format!("can't put `{}` in place", self.place.path.display())))?;
        let found = image.sibling.file.metadata()?;
        image.sibling.keep();
        sync_folder(&self.place.folder)?;
        if fs::metadata(&self.place.folder).is_ok_and(|folder| folder.uid() != found.uid()) {
            notes.push(format!(
                "`{}` belongs to the user who ran the restore, with mode 0600; give it to whom it should belong.",
                self.place.path.display()
            ));
        }
        Ok(notes)
    }

    fn replace_foreign(&self, image: Image) -> Result<Vec<String>> {
        self.nobody_holds("isn't a sound database and can be replaced only while nobody has it open")?;
        let old = self.place.stat()?.ok_or_else(|| Error::failed("the target vanished"))?;
        let mut notes = self.set_aside(&self.place.companions())?;
        if self.options.safety_copy {
            let copy = free_name(&before(self.place, self.how));
            fs::hard_link(&self.place.path, &copy).during("can't keep what is there")?;
            notes.push(kept(&copy));
        }
        let file = &image.sibling.file;
        file.set_permissions(Permissions::from_mode(old.mode() & 0o777))?;
        if fchown(file, Some(old.uid()), Some(old.gid())).is_err() {
            notes.push("The file's owner changed to the user who ran the restore.".to_owned());
        }
        file.sync_all().during("can't make the restored file durable")?;
        fs::rename(&image.sibling.path, &self.place.path).during("can't put the restored file in place")?;
        image.sibling.keep();
        sync_folder(&self.place.folder)?;
        Ok(notes)
    }

    /// Companions of a database that isn't there any more would be taken for the new one's: a `-wal` replayed into it, a
    /// `-journal` rolled back. They go to a name of their own; a `-shm` holds nothing and goes away.
    fn set_aside(&self, strays: &[&str]) -> Result<Vec<String>> {
        if strays.is_empty() {
            return Ok(Vec::new());
        }
        self.nobody_holds("is gone, but some program still works with what belonged to it")?;
        let mut notes = Vec::new();
        for suffix in strays {
            let from = self.place.beside(suffix);
            if *suffix == "-shm" {
                fs::remove_file(&from).during("can't remove an old `-shm`")?;
                continue;
            }
            let mut to = before(self.place, self.how).into_os_string();
            to.push(suffix);
            let to = free_name(Path::new(&to));
            rename_to_free(&from, &to).map_err(|error| error.during("can't set an old file aside"))?;
            notes.push(format!(
                "`{}` of the old database was set aside as `{}`.",
                from.display(),
                to.display()
            ));
        }
        sync_folder(&self.place.folder)?;
        Ok(notes)
    }

    /// Proves that no other process has the target open, or says who must stop.
    pub fn nobody_holds(&self, why: &str) -> Result<()> {
        let found = holders::of(self.place);
        let refused = || Error::new(ErrorKind::Refused, format!("`{}` {why}", self.place.path.display()));
        if !found.seen.is_empty() {
            return Err(found.blame(refused().hint("Stop whoever uses it.")));
        }
        // Processes of other users can't be looked at without root's rights. They don't matter if they can't write.
        let others_can_write = self.place.stat()?.is_some_and(|stat| stat.mode() & 0o022 != 0);
        if found.unseen && others_can_write {
            return Err(refused().hint(
                "Other users may write to it, and whether they have it open can't be seen: run as root, or move the file away.",
            ));
        }
        Ok(())
    }

    /// An empty file for the safety copy, under a hidden name.
    pub fn safety_sibling(&self) -> Result<Sibling> {
        Sibling::create(self.cx, self.place, "-before")
    }

    /// Gives the finished safety copy its name. Returns what to tell of it.
    pub fn keep_safety(&self, sibling: Sibling) -> Result<String> {
        sibling.file.sync_all().during("can't make the safety copy durable")?;
        let copy = free_name(&before(self.place, self.how));
        rename_to_free(&sibling.path, &copy).map_err(|error| error.during("can't keep the safety copy"))?;
        sibling.keep();
        sync_folder(&self.place.folder)?;
        Ok(kept(&copy))
    }
}

fn kept(copy: &Path) -> String {
    format!("What was there is kept as `{}`.", copy.display())
}

/// Renames without ever replacing anything.
fn rename_to_free(from: &Path, to: &Path) -> Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {
            // A file system that doesn't know the flag: a link fails likewise where something is.
            fs::hard_link(from, to)?;
            Ok(fs::remove_file(from)?)
        }
        Err(error) => Err(std::io::Error::from(error).into()),
    }
}

/// `path`, or the first of `path-2`, `path-3`, … that isn't there.
fn free_name(path: &Path) -> PathBuf {
    let numbered = |number: u32| {
        let mut name = path.to_owned().into_os_string();
        name.push(format!("-{number}"));
        PathBuf::from(name)
    };
    let is_free = |path: &PathBuf| fs::symlink_metadata(path).is_err();
    debug_assert!(!path.as_os_str().as_bytes().is_empty());
    std::iter::once(path.to_owned())
        .chain((2..).map(numbered))
        .find(is_free)
        .unwrap_or_else(|| path.to_owned())
}
