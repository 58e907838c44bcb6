//! Folders of servers: temporary ones, and data folders that are made once and then copied.
//!
//! Making a data folder takes seconds, copying one a fraction of that. Templates lie in Cargo's target folder and last
//! until `cargo clean`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::process::clean;
use crate::program::{repo, run};

/// Part of the templates' names: raise it when they are made in another way.
const TEMPLATE_VERSION: u32 = 1;

/// A fresh folder that isn't removed by itself. It lies below `/tmp`, not in the tests' scratch folder: other users must
/// reach it, and the path of a socket has at most 107 bytes.
pub(crate) fn temporary(name: &str) -> PathBuf {
    let folder = tempfile::Builder::new().prefix(&format!("windlass-{name}-")).tempdir_in("/tmp").unwrap();
    open(folder.path());
    folder.keep()
}

/// Lets every user into a folder.
pub(crate) fn open(folder: &Path) {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
}

/// Whether every user can reach a folder.
pub(crate) fn is_open(folder: &Path) -> bool {
    let folder = folder.canonicalize().unwrap();
    folder.ancestors().all(|folder| fs::metadata(folder).unwrap().permissions().mode() & 0o1 != 0)
}

/// The data folder `name`, filled by `fill` if there is none yet. Other processes wait meanwhile, and one that is killed
/// leaves none that is half done.
#[track_caller]
pub(crate) fn template(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let user = rustix::process::geteuid().as_raw();
    let folder = target().join("tmp/servers");
    let template = folder.join(format!("{name}-{TEMPLATE_VERSION}-{user}"));
    if template.exists() {
        return template;
    }
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !template.exists() {
        // Filled where the server's user can be, then taken to where only this one may be.
        let made = temporary(name);
        fill(&made);
        let copied = tempfile::tempdir_in(&folder).unwrap();
        copy(&made.join("data"), &copied.path().join("data"));
        fs::rename(copied.path().join("data"), &template).unwrap();
        fs::remove_dir_all(made).unwrap();
    }
    template
}

/// Copies a folder with owners and rights; `to` must not exist.
#[track_caller]
pub(crate) fn copy(from: &Path, to: &Path) {
    run(clean("cp", Path::new("/")).args(["-a", "--reflink=auto", "-T", "--"]).args([from, to]), "");
}

/// Cargo's target folder: the one with its tag that this test lies in.
fn target() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let tagged = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    tagged.map_or_else(|| repo().join("target"), Path::to_owned)
}
