//! Finds the file of a program: `bin_dirs` first, then `PATH`.
//!
//! It looks and doesn't run anything. Folders of `PATH` that aren't absolute are passed over: what is run must not
//! depend on the current folder.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use windlass_plugin_api::{Error, ErrorKind, Result};

/// The file of `program`. One with a `/` is taken as it is, relative to `working_dir` if there is one.
pub(crate) fn find(
    program: &OsStr,
    bin_dirs: &[PathBuf],
    path: Option<OsString>,
    working_dir: Option<&Path>,
) -> Result<PathBuf> {
    if program.is_empty() {
        return Err(Error::new(ErrorKind::Config, "the program's name is empty"));
    }
    if program.as_encoded_bytes().contains(&b'/') {
        let file = working_dir.unwrap_or(Path::new("")).join(program);
        return if is_file(&file) { executable(file) } else { Err(missing(program, &[])) };
    }
    let path = path.unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let dirs: Vec<PathBuf> =
        bin_dirs.iter().cloned().chain(env::split_paths(&path).filter(|dir| dir.is_absolute())).collect();
    let mut unusable = None;
    for file in dirs.iter().map(|dir| dir.join(program)).filter(|file| is_file(file)) {
        match executable(file) {
            Ok(file) => return Ok(file),
            Err(error) => unusable = unusable.or(Some(error)),
        }
    }
    Err(unusable.unwrap_or_else(|| missing(program, &dirs)))
}

fn is_file(file: &Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn executable(file: PathBuf) -> Result<PathBuf> {
    match access(&file, Access::EXEC_OK) {
        Ok(()) => Ok(file),
        Err(_) => Err(Error::new(ErrorKind::Denied, format!("`{}` isn't executable", file.display()))
            .hint("Make it executable with `chmod +x`, or name another program.")),
    }
}

fn missing(program: &OsStr, dirs: &[PathBuf]) -> Error {
    let error = Error::new(ErrorKind::NotFound, format!("no program `{}`", program.display()));
    if dirs.is_empty() {
        return error.hint("Check the path: it is taken as it is written.");
    }
    let list: Vec<String> = dirs.iter().map(|dir| format!("`{}`", dir.display())).collect();
    error.hint(format!("Searched {}: install it, or name its folder in `bin_dirs`.", list.join(", ")))
}
