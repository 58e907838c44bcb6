//! Whether the storage can be used now: rights, how long an answer takes, the server's clock.

use std::sync::Arc;
use std::time::{Duration, Instant};

use windlass_plugin_api::{Context, Error, ErrorKind, Result, Storage, StorageReport, probe};

use crate::folder::Folder;
use crate::options::Security;

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
    // Listings tell no usable times.
    let changed = |key: &str| {
        folder.link.run(cx, async {
            let mut ftp = folder.link.lease(cx).await?;
            Ok(ftp.modified(&folder.path(key)).await.unwrap_or_default())
        })
    };
    probe::storage(storage, cx, &mut report, changed)?;
    Ok(report)
}

async fn look(folder: &Folder, cx: &Context, report: &mut StorageReport) -> Result<bool> {
    let settings = &folder.link.settings;
    if settings.tls == Security::Off {
        report.warnings.push(format!(
            "Nothing is encrypted on the way to `{}`: everybody there can read the password, and what no filter has encrypted.",
            settings.host
        ));
    }
    let mut ftp = folder.link.lease(cx).await?;
    let is_there = folder.is_there(&mut ftp).await?;
    let mut latency = Duration::MAX;
    for _ in 0..ANSWERS {
        let asked = Instant::now();
        if !ftp.is_alive().await {
            return Err(Error::new(ErrorKind::Unavailable, "the server closed the connection"));
        }
        latency = latency.min(asked.elapsed());
    }
    report.notes.push(format!("An answer of the server takes {:.1} ms.", latency.as_secs_f64() * 1000.0));
    let features = ftp.features();
    if !features.machine_listings {
        report.notes.push(
            "The server has no `MLSD`: it is asked for listings as people read them, which tell no times."
                .to_owned(),
        );
    }
    if !features.restart {
        report.notes.push(
            "The server doesn't say that it can go on in the middle of a file (`REST STREAM`): what breaks may have to begin anew."
                .to_owned(),
        );
    }
    report.notes.push(
        "FTP can't tell a server to write to the disk: a power cut there may take a backup that was reported as stored."
            .to_owned(),
    );
    Ok(is_there)
}
