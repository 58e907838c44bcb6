//! Half uploads that nobody will end, found by their names and removed.

use windlass_folder::key::{AREA, is_below, read_half_name};
use windlass_plugin_api::{Context, Error, ErrorKind, Leftover, Result};

use crate::failure::is_a_link;
use crate::folder::Folder;
use crate::half::remove_area;
use crate::list::names;
use crate::protocol::{Fault, Kind, Session, status};

/// Half uploads whose key begins with `prefix`.
pub fn leftovers(folder: &Folder, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
    folder.link.run(cx, async {
        let connection = folder.link.connection(cx).await?;
        if !is_there(folder, &connection.sftp).await? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in names(folder, &connection.sftp, AREA).await? {
            let Ok(handle) = std::str::from_utf8(&entry.name) else { continue };
            let Some((run, key)) = read_half_name(handle).filter(|(_, key)| is_below(key, prefix, handle))
            else {
                continue;
            };
            found.push(Leftover {
                key,
                handle: handle.to_owned(),
                run,
                size_bytes: Some(entry.attrs.size_bytes),
                // SFTP tells no beginning; the last change comes after it.
                started: entry.attrs.modified,
                ..Leftover::default()
            });
        }
        found.sort_by(|one, other| (&one.key, &one.handle).cmp(&(&other.key, &other.handle)));
        Ok(found)
    })
}

/// Removes half uploads. What isn't there is removed.
pub fn discard(folder: &Folder, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
    let strange = leftovers.iter().find(|leftover| read_half_name(&leftover.handle).is_none());
    if let Some(Leftover { handle, .. }) = strange {
        return Err(Error::new(ErrorKind::Config, format!("`{handle}` isn't a half upload")));
    }
    folder.link.run(cx, async {
        let connection = folder.link.connection(cx).await?;
        if !is_there(folder, &connection.sftp).await? {
            return Ok(());
        }
        for leftover in leftovers {
            let name = format!("{AREA}/{}", leftover.handle);
            match connection.sftp.remove(&folder.path(&name)).await {
                Ok(()) | Err(Fault::Status { code: status::NO_SUCH_FILE, .. }) => {}
                Err(fault) => return Err(folder.failed("remove", &name, &fault)),
            }
        }
        remove_area(folder, &connection.sftp).await;
        Ok(())
    })
}

/// Whether there is a folder for half uploads.
async fn is_there(folder: &Folder, sftp: &Session) -> Result<bool> {
    match folder.look(sftp, AREA).await?.map(|area| area.kind()) {
        Some(Kind::Folder) => Ok(true),
        Some(Kind::Link) => Err(is_a_link(folder.shown(AREA))),
        _ => Ok(false),
    }
}
