//! Restore to an RDB file, for a server that is stopped: a hidden sibling is written, proved, made durable and renamed.
//!
//! Nothing here speaks to a server, so a running one isn't noticed: it would write over the file when it ends.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use windlass_plugin_api::{
    Context, During, Error, ErrorKind, Inputs, RestoreMode, RestoreOptions, Restored, Result, Target,
};

use crate::rdb::checksum::Passing;
use crate::{restore, target};

const PREFIX: &str = ".windlass-";

const BUFFER_BYTES: usize = 256 << 10;

/// The host's question before a restore.
pub fn target(path: &Path, how: &RestoreOptions) -> Result<Target> {
    accept(how)?;
    folder(path)?;
    let found = look(path)?;
    let effect = if found.is_some() { "replaces" } else { "makes" };
    Ok(Target {
        place: path.display().to_string(),
        empty: found.is_none(),
        size_bytes: found.as_ref().map(fs::Metadata::len),
        modified: found.as_ref().map(MetadataExt::mtime),
        effects: vec![format!(
            "{effect} the RDB file `{}`; its server must be stopped, or it writes over it when it ends",
            path.display()
        )],
        atomic: true,
        ..Target::default()
    })
}

/// Writes the file.
pub fn restore(cx: &Context, path: &Path, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
    accept(how)?;
    let (folder, found) = (folder(path)?, look(path)?);
    if how.mode == RestoreMode::Fail && found.is_some() {
        return Err(Error::new(ErrorKind::Refused, format!("`{}` is already there", path.display())));
    }
    sweep(path, &folder);
    let sibling = Sibling::create(cx, path, &folder)?;
    let mut file = &sibling.file;
    let mut reader = restore::open(input)?;
    let mut passing = Passing::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        cx.go_on()?;
        let count = match reader.read(&mut buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            count => count?,
        };
        if count == 0 {
            break;
        }
        passing.pass(&buffer[..count]);
        file.write_all(&buffer[..count])
            .during_with(|| format!("can't write beside `{}`", path.display()))?;
    }
    passing.end()?;
    own(&sibling.file, found.as_ref(), &folder);
    sibling.file.sync_all().during("can't make the file durable")?;
    sibling.put(path, how.mode)?;
    File::open(&folder).and_then(|folder| folder.sync_all()).during("can't make the folder durable")?;
    let notes = vec![
        "A server with `appendonly yes` loads its append-only files and not the RDB: start it once without."
            .into(),
    ];
    Ok(Restored { place: path.display().to_string(), notes, ..Restored::default() })
}

fn accept(how: &RestoreOptions) -> Result<()> {
    target::accept(how)?;
    if how.mode == RestoreMode::Merge {
        return Err(Error::new(ErrorKind::Unsupported, "an RDB file can't be merged into another")
            .hint("Use `--mode replace`, or restore to the running server."));
    }
    Ok(())
}

fn folder(path: &Path) -> Result<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(folder).during_with(|| format!("no folder `{}`", folder.display()))
}

fn look(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() => Ok(Some(found)),
        Ok(_) => Err(Error::new(ErrorKind::Config, format!("`{}` isn't a regular file", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::from(error).during(format!("can't reach `{}`", path.display()))),
    }
}

/// The server must be able to read it: it gets the owner of what it replaces, else that of the folder. Only root may
/// do that, and for others it is rarely needed.
fn own(file: &File, found: Option<&fs::Metadata>, folder: &Path) {
    let owner = found.cloned().or_else(|| fs::metadata(folder).ok());
    if let Some(owner) = owner
        && let Err(error) = std::os::unix::fs::fchown(file, Some(owner.uid()), Some(owner.gid()))
    {
        tracing::info!("the RDB file keeps our owner: {error}");
    }
    if let Some(found) = found {
        // Never more open than it was, and never more than it must be.
        let mode = found.permissions().mode() & 0o660;
        if let Err(error) = file.set_permissions(fs::Permissions::from_mode(mode | 0o600)) {
            tracing::info!("the RDB file keeps our mode: {error}");
        }
    }
}

/// A hidden file of ours. Its maker holds a lock on it; it goes when it is dropped, unless it was put in place.
struct Sibling {
    path: PathBuf,
    file: File,
}

impl Sibling {
    fn create(cx: &Context, path: &Path, folder: &Path) -> Result<Self> {
        let mut name = OsString::from(format!("{PREFIX}{}-", cx.run()));
        name.push(path.file_name().unwrap_or_default());
        let hidden = folder.join(name);
        let doing = || format!("can't make a file beside `{}`", path.display());
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&hidden).during_with(doing)?;
        let sibling = Self { path: hidden, file };
        sibling.file.lock().during_with(doing)?;
        Ok(sibling)
    }

    /// Renames it; in mode fail only where nothing is.
    fn put(&self, path: &Path, mode: RestoreMode) -> Result<()> {
        let doing = || format!("can't put `{}` in place", path.display());
        match mode {
            // A link fails where something is; a rename wouldn't. The hidden name goes with the drop.
            RestoreMode::Fail => fs::hard_link(&self.path, path).during_with(doing),
            _ => fs::rename(&self.path, path).during_with(doing),
        }
    }
}

impl Drop for Sibling {
    fn drop(&mut self) {
        // After a rename there is nothing under that name.
        let _ = fs::remove_file(&self.path);
    }
}

/// Removes what dead runs left beside the file. Best effort.
fn sweep(path: &Path, folder: &Path) {
    let mut end = OsString::from("-");
    end.push(path.file_name().unwrap_or_default());
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let bytes = name.as_encoded_bytes();
        let ours = bytes.starts_with(PREFIX.as_bytes()) && bytes.ends_with(end.as_encoded_bytes());
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if ours && is_file && File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            tracing::info!("removing `{}`, which a dead run left behind", entry.path().display());
            let _ = fs::remove_file(entry.path());
        }
    }
}
