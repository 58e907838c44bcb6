//! Whether the storage can be used now: rights, how long an answer takes, the server's clock.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Result, StorageReport, Upload};

use crate::folder::Folder;
use crate::half::Half;
use crate::object;
use crate::options::Security;

const PROBE: &[u8] = b"windlass check\n";
/// Answers that are awaited for the latency; the quickest counts.
const ANSWERS: u32 = 5;
/// Clocks that differ by less are in step: file times have whole seconds.
const SKEW: u64 = 30;

/// Leaves nothing behind.
pub fn check(folder: &Arc<Folder>, cx: &Context) -> Result<StorageReport> {
    let mut report = StorageReport::default();
    let is_there = folder.link.run(cx, look(folder, cx, &mut report))?;
    if !is_there {
        report
            .notes
            .push(format!("The folder `{}` isn't there yet: the first backup makes it.", folder.shown("")));
        return Ok(report);
    }
    // Proves the right to write and to read, and that bytes get to the disk; dropped, it leaves nothing.
    let how = CreateOptions { run: "check".to_owned(), ..CreateOptions::default() };
    let mut probe = Half::begin(folder, cx, "check", &how)?;
    probe.write_all(PROBE)?;
    probe.finish()?;
    let name = probe.name().unwrap_or_default().to_owned();
    let mut back = Vec::new();
    std::io::Read::read_to_end(&mut object::open(folder, cx, &name, None)?, &mut back)?;
    if back != PROBE {
        return Err(Error::damaged("what was written comes back as something else"));
    }
    let modified = folder.link.run(cx, async {
        let mut ftp = folder.link.lease(cx).await?;
        Ok(ftp.modified(&folder.path(&name)).await.unwrap_or_default())
    })?;
    report.warnings.extend(modified.and_then(skew));
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

fn skew(modified: i64) -> Option<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let now = i64::try_from(now).ok()?;
    let seconds = modified.abs_diff(now);
    let way = if modified > now { "ahead of" } else { "behind" };
    (seconds >= SKEW).then(|| format!("The server's clock is {seconds} seconds {way} this machine's."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_wrong_is_told_with_its_direction() {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        assert_eq!(skew(now), None);
        assert!(skew(now + 3600).unwrap().contains("seconds ahead of"));
        assert!(skew(now - 3600).unwrap().contains("seconds behind"));
    }
}
