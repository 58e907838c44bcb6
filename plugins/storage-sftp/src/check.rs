//! Whether the storage can be used now: rights, room, how long an answer takes, the server's clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_plugin_api::{Context, Result, Storage, StorageReport, probe};

use crate::folder::Folder;
use crate::object;

/// Answers that are awaited for the latency; the quickest counts.
const ANSWERS: u32 = 5;

/// Leaves nothing behind, where that may be removed.
pub fn check(storage: &dyn Storage, folder: &Arc<Folder>, cx: &Context) -> Result<StorageReport> {
    let mut report = StorageReport::default();
    let is_there = folder.link.run(cx, look(folder, cx, &mut report))?;
    if !is_there {
        report
            .notes
            .push(format!("The folder `{}` isn't there yet: the first backup makes it.", folder.shown("")));
        return Ok(report);
    }
    let changed = |key: &str| Ok(object::stat(folder, cx, key)?.and_then(|probe| probe.modified));
    probe::storage(storage, cx, &mut report, changed)?;
    Ok(report)
}

async fn look(folder: &Folder, cx: &Context, report: &mut StorageReport) -> Result<bool> {
    let connection = folder.link.connection(cx).await?;
    let sftp = &connection.sftp;
    let is_there = folder.is_there(sftp).await?;
    let mut latency = Duration::MAX;
    for _ in 0..ANSWERS {
        let asked = Instant::now();
        let root = sftp.stat(&folder.link.settings.path).await;
        root.map_err(|fault| folder.failed("look at", "", &fault))?;
        latency = latency.min(asked.elapsed());
    }
    report.notes.push(format!("An answer of the server takes {:.1} ms.", latency.as_secs_f64() * 1000.0));
    if sftp.features.statvfs && is_there {
        let space = sftp.statvfs(&folder.link.settings.path).await;
        report.free_bytes = Some(space.map_err(|fault| folder.failed("look at", "", &fault))?.free_bytes);
    } else if !sftp.features.statvfs {
        report.notes.push("The server can't tell how much room there is (`statvfs@openssh.com`).".to_owned());
    }
    if !sftp.features.fsync {
        report.notes.push(
            "The server can't be told to write to the disk (`fsync@openssh.com`): a power cut there may take a backup \
             that was reported as stored."
                .to_owned(),
        );
    }
    if !sftp.features.posix_rename {
        report.notes.push(
            "The server can't replace an object at once (`posix-rename@openssh.com`): the old one is removed first."
                .to_owned(),
        );
    }
    Ok(is_there)
}
