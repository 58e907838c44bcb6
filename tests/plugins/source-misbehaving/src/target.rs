//! The files that a restore writes: siblings first, which take their places at the end.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use windlass_plugin_api::{During, Error, ErrorKind, Result};

/// The files of an earlier restore.
pub(crate) fn in_target(path: &Path) -> Result<Vec<PathBuf>> {
    let start = with_name(path, "");
    let entries = fs::read_dir(path.parent().unwrap_or(Path::new("."))).during("can't look at the target")?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    let is_ours = |path: &PathBuf| {
        path.as_os_str().as_encoded_bytes().starts_with(start.as_os_str().as_encoded_bytes())
    };
    Ok(paths.into_iter().filter(is_ours).collect())
}

/// `path`, a dot and `name`.
pub(crate) fn with_name(path: &Path, name: &str) -> PathBuf {
    let mut whole = path.as_os_str().to_owned();
    whole.push(".");
    whole.push(name);
    whole.into()
}

/// Files beside the target that become the target at the end, or nothing.
pub(crate) struct Siblings(PathBuf);

impl Siblings {
    pub(crate) fn new(target: &Path, run: &str) -> Result<Self> {
        let name = target.file_name().ok_or_else(|| Error::new(ErrorKind::Config, "`target` is no file"))?;
        let sibling = format!(".windlass-{run}-{}", name.to_string_lossy());
        Ok(Self(target.with_file_name(sibling)))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        with_name(&self.0, name)
    }

    pub(crate) fn create(&self, name: &str) -> Result<File> {
        let path = self.path(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        file.during_with(|| format!("can't create `{}`", path.display()))
    }
}

impl Drop for Siblings {
    fn drop(&mut self) {
        let Some(Ok(entries)) = self.0.parent().map(fs::read_dir) else { return };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.as_os_str().as_encoded_bytes().starts_with(self.0.as_os_str().as_encoded_bytes()) {
                let _ = fs::remove_file(path);
            }
        }
    }
}
