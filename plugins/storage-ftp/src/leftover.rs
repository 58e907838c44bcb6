//! Half uploads that nobody will end, found by their names and removed.

use windlass_folder::key::{AREA, is_below, read_half_name};
use windlass_plugin_api::{Context, Error, ErrorKind, Leftover, Result};

use crate::area::remove_area;
use crate::folder::Folder;
use crate::list::names;
use crate::protocol::{Kind, Session};

/// Half uploads whose key begins with `prefix`.
pub fn leftovers(folder: &Folder, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
    folder.link.run(cx, async {
        let mut ftp = folder.link.lease(cx).await?;
        if !is_there(folder, &mut ftp).await? {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (handle, facts) in names(folder, &mut ftp, AREA).await? {
            let Some((run, key)) = read_half_name(&handle).filter(|(_, key)| is_below(key, prefix, &handle))
            else {
                continue;
            };
            // FTP tells no beginning; the last change comes after it.
            let started = match facts.modified {
                None => ftp.modified(&folder.path(&format!("{AREA}/{handle}"))).await.unwrap_or_default(),
                known => known,
            };
            found.push(Leftover {
                key,
                handle,
                run,
                size_bytes: Some(facts.size_bytes),
                started,
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
        let mut ftp = folder.link.lease(cx).await?;
        if !is_there(folder, &mut ftp).await? {
            return Ok(());
        }
        for leftover in leftovers {
            let name = format!("{AREA}/{}", leftover.handle);
            match ftp.remove(&folder.path(&name)).await {
                Ok(()) => {}
                Err(fault) if fault.may_be_absent() && folder.file(&mut ftp, &name).await?.is_none() => {}
                Err(fault) => return Err(folder.failed("remove", &name, &fault)),
            }
        }
        remove_area(folder, &mut ftp).await;
        Ok(())
    })
}

/// Whether there is a folder for half uploads.
async fn is_there(folder: &Folder, ftp: &mut Session) -> Result<bool> {
    Ok(folder.look(ftp, AREA).await?.is_some_and(|area| area.kind == Kind::Folder))
}
