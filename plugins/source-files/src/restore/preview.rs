//! What mode `replace` would remove, counted before anybody is asked.
//!
//! It reads the whole stream for the names in it and writes nothing.

use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use windlass_plugin_api::{Context, Inputs, RestoreMode, RestoreOptions, Result};

use super::layout::Layout;
use super::only::Only;
use super::open;
use super::place::{clean, split};
use super::seen::{Seen, State};
use super::sweep::Extras;
use crate::archive::read::Archive;
use crate::options::Options;
use crate::walk::FOLDER;

/// One sentence in mode `replace`, none in the others.
pub fn preview(
    cx: &Context,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Vec<String>> {
    if how.mode != RestoreMode::Replace {
        return Ok(Vec::new());
    }
    let layout = Layout::new(options, how.contents.as_ref())?;
    let (seen, only) = (members(cx, input)?, Only::new(&how.only)?);
    let mut extras = Extras { cx, seen: &seen, only: only.as_ref(), spare: true, removed: 0 };
    for (path, folder) in layout.folders() {
        // A root may be a symlink; nothing below it is followed.
        if let Ok(folder) = rustix::fs::open(&folder, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty()) {
            extras.remove(folder.as_fd(), &path)?;
        }
    }
    let count = extras.removed;
    Ok(vec![format!(
        "removes {count} files and folders that aren't in the snapshot, also such as no backup takes (`exclude`)"
    )])
}

/// Every path of the archive, and the folders that it implies.
fn members(cx: &Context, input: &dyn Inputs) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut archive = Archive::new(cx, open(input)?);
    while let Some(member) = archive.next_member()? {
        cx.go_on()?;
        let path = clean(&member.path)?;
        seen.set(&path, State::Other);
        let mut above = split(&path).0;
        while !above.is_empty() {
            seen.imply_folder(above);
            above = split(above).0;
        }
    }
    Ok(seen)
}
