//! The check of a storage: a probe object is written, read, listed and deleted, and what that took is told.
//!
//! A credential that can only create is a good one to back up with: that it can't read, list or delete is told and is no
//! failure. Only that nothing can be stored is.

use std::time::{Duration, Instant};

use bytes::Bytes;
use windlass_plugin_api::{Error, ErrorKind, ListOptions, Result, StorageReport};

use crate::chance::{random, random_word};
use crate::core::Core;
use crate::service::{How, Service};

const PROBE_BYTES: usize = 1024 * 1024;

/// A clock that is further off than this may have its requests refused by a service, mostly at 15 minutes.
const SKEW_SECONDS: i64 = 60;

/// What the probe is called where it can be deleted, and with a random word behind it; just so where it will stay, so that
/// there is never more than one.
const PROBE: &str = ".windlass-check";

pub(crate) async fn check<S: Service>(core: &Core<S>) -> Result<StorageReport> {
    let mut report = StorageReport::default();
    let unique = format!("{PROBE}-{}", random_word());
    let started = Instant::now();
    let may_delete = allowed(core.delete(std::slice::from_ref(&unique)).await?.remove(0))?;
    report.notes.push(format!("latency {}", told(started.elapsed())));
    let key = if may_delete { unique } else { PROBE.to_owned() };
    let result = probe(core, &key, &mut report).await;
    if may_delete {
        core.delete(std::slice::from_ref(&key)).await?.remove(0)?;
    } else {
        report.notes.push(format!(
            "this credential can't delete: the object `{key}` stays, and `prune` needs another one"
        ));
    }
    result?;
    if !allowed(core.ask("list half uploads", core.service.unfinished(&key)).await.map(drop))? {
        report.notes.push("this credential can't list half uploads: those of a killed run stay".to_owned());
    }
    skew(core.service.skew_seconds(), &mut report);
    Ok(report)
}

/// Writes, reads and lists the probe.
async fn probe<S: Service>(core: &Core<S>, key: &str, report: &mut StorageReport) -> Result<()> {
    let bytes = Bytes::from((0..PROBE_BYTES / 8).flat_map(|_| random().to_le_bytes()).collect::<Vec<u8>>());
    let how = How { mark: random_word(), ..How::default() };
    let started = Instant::now();
    core.put(key, &how, bytes.clone()).await?;
    let up = started.elapsed();
    match core.put(key, &How { if_absent: true, mark: random_word(), ..How::default() }, bytes.clone()).await {
        Err(error) if error.kind == ErrorKind::AlreadyExists => {}
        Err(error) if error.kind != ErrorKind::Unsupported => return Err(error),
        _ => report.warnings.push(
            "The service replaces an object that was to be created only if it is absent: two runs may overwrite each other."
                .to_owned(),
        ),
    }
    let started = Instant::now();
    match crate::download::whole(core, key, PROBE_BYTES as u64).await {
        Ok(read) if read == bytes => {
            let down = started.elapsed();
            report.notes.push(format!("1 MiB up in {}, down in {}", told(up), told(down)));
        }
        Ok(_) => return Err(Error::damaged("the probe object came back as other bytes")),
        Err(error) if error.kind == ErrorKind::Denied => {
            report.notes.push(format!("1 MiB up in {}", told(up)));
            report
                .notes
                .push("this credential can't read: `restore` and `verify` need another one".to_owned());
        }
        Err(error) => return Err(error),
    }
    let what = ListOptions { prefix: key.to_owned(), ..ListOptions::default() };
    match core.page(&what).await {
        Ok(page) if page.entries.iter().any(|entry| entry.key == key) => {}
        Ok(_) => report
            .warnings
            .push("An object that was just stored isn't listed: wait before you rely on `list`.".to_owned()),
        Err(error) if error.kind == ErrorKind::Denied => {
            report.notes.push("this credential can't list: `list` and `restore` need another one".to_owned());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// False where the right to do it is missing.
fn allowed(result: Result<()>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind == ErrorKind::Denied => Ok(false),
        Err(error) => Err(error),
    }
}

fn skew(ahead: Option<i64>, report: &mut StorageReport) {
    let Some(ahead) = ahead else { return };
    let text = match ahead {
        0 => "the clocks agree".to_owned(),
        1.. => format!("this clock is {ahead} s behind the service's"),
        _ => format!("this clock is {} s ahead of the service's", -ahead),
    };
    if ahead.abs() > SKEW_SECONDS {
        report.warnings.push(format!("The clocks differ, and requests may be refused for it: {text}."));
    } else {
        report.notes.push(text);
    }
}

fn told(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_far_off_is_a_warning() {
        for (ahead, warnings) in [(0, 0), (-3, 0), (60, 0), (61, 1), (-900, 1)] {
            let mut report = StorageReport::default();
            skew(Some(ahead), &mut report);
            assert_eq!((report.warnings.len(), report.notes.len()), (warnings, 1 - warnings), "{ahead}");
        }
    }
}
