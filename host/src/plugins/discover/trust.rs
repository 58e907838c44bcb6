//! Whether only people who may already act as this user could have put a file where it lies.
//!
//! A plugin runs with all the rights of its user, so the rules are those of `sshd` for its keys: owner and mode of the
//! file and of every folder above it. What the file contains is no matter here; access-control lists beyond the mode
//! aren't looked at.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use windlass_plugin_api::{During, Error, ErrorKind, Result};

const STICKY: u32 = 0o1000;
const GROUP_WRITES: u32 = 0o020;
const WORLD_WRITES: u32 = 0o002;

/// Refuses a file that someone else could have put or changed: an owner that is neither root nor the running user nor
/// the executable's owner; world-writable; group-writable for a group other than the owner's own. The folders above it
/// likewise, where sticky ones are fine. If `path` is a link, both its place and what it leads to must pass.
///
/// # Errors
///
/// [`Refused`](ErrorKind::Refused) with the path and the command that mends it; the system's error if it can't be read.
pub fn trusted(path: &Path) -> Result<()> {
    Judge::of_this_process().judge(path)
}

/// Who is trusted, and how groups are told apart.
struct Judge {
    /// Owners that may.
    owners: Vec<u32>,
    /// The text of `/etc/passwd`, as far as it can be read.
    passwd: String,
    /// The running user and group.
    user: (u32, u32),
}

impl Judge {
    fn of_this_process() -> Self {
        let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let executable = std::env::current_exe().and_then(fs::metadata).map(|exe| exe.uid());
        Self {
            owners: [0, user.0].into_iter().chain(executable).collect(),
            passwd: fs::read("/etc/passwd")
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .unwrap_or_default(),
            user,
        }
    }

    fn judge(&self, path: &Path) -> Result<()> {
        let unreadable = || format!("can't read the plugin file `{}`", path.display());
        let real = fs::canonicalize(path).during_with(unreadable)?;
        let file = fs::metadata(&real).during_with(unreadable)?;
        if !file.is_file() {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("the plugin file `{}` is not a regular file", path.display()),
            ));
        }
        self.passes("plugin file", &real, &file)?;
        let place = path.parent().map(fs::canonicalize).transpose().during_with(unreadable)?;
        for folder in real.ancestors().skip(1).chain(place.iter().flat_map(|place| place.ancestors())) {
            let meta = fs::metadata(folder)
                .during_with(|| format!("can't read `{}` above a plugin file", folder.display()))?;
            self.passes("plugin folder", folder, &meta)?;
        }
        Ok(())
    }

    fn passes(&self, what: &str, path: &Path, meta: &Metadata) -> Result<()> {
        let refused = |why: String, command: String| {
            let message = format!("the {what} `{}` {why}", path.display());
            Error::new(ErrorKind::Refused, message)
                .hint(format!("If you trust what it holds, run `{command} {}`.", quoted(path)))
        };
        if !self.owners.contains(&meta.uid()) {
            let why = format!(
                "belongs to user {}, who is neither root nor you nor the owner of the windlass executable",
                meta.uid()
            );
            return Err(refused(why, format!("chown {}", self.user.0)));
        }
        let sticky = meta.is_dir() && meta.mode() & STICKY != 0;
        if sticky {
            return Ok(());
        }
        if meta.mode() & WORLD_WRITES != 0 {
            return Err(refused("can be written by everyone".to_owned(), "chmod o-w".to_owned()));
        }
        if meta.mode() & GROUP_WRITES != 0 && !self.is_own_group(meta.uid(), meta.gid()) {
            let why = format!("can be written by group {}, which is not its owner's own", meta.gid());
            return Err(refused(why, "chmod g-w".to_owned()));
        }
        Ok(())
    }

    /// Whether `group` is that of `owner` alone, as user-private groups under umask 002 are: its primary group; for a
    /// user without an entry in `/etc/passwd` (a directory service, a container) the group of the same number, and for
    /// the running user also the running group. Root's group holds no one who isn't trusted anyway.
    fn is_own_group(&self, owner: u32, group: u32) -> bool {
        let is_runners = (owner, group) == self.user;
        group == 0
            || match self.primary_group(owner) {
                Some(primary) => group == primary,
                None => group == owner || is_runners,
            }
    }

    fn primary_group(&self, user: u32) -> Option<u32> {
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':').skip(2);
            let uid: u32 = fields.next()?.parse().ok()?;
            let gid: u32 = fields.next()?.parse().ok()?;
            (uid == user).then_some(gid)
        })
    }
}

/// For a shell; plain paths stay plain.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests;
