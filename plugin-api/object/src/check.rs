//! The check of a storage: a probe object is written, read, listed and deleted, an upload in parts is begun and given up,
//! and what that took is told.
//!
//! A credential that can only create is a good one to back up with: that it can't read, list or delete is told and is no
//! failure. Only that nothing can be stored is. Nothing is locked for a check, whatever the options say, and nothing large is
//! stored before it is seen that a small probe goes away again.

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use windlass_plugin_api::{Error, ErrorKind, ListOptions, Result, StorageReport};

use crate::chance::{random, random_word};
use crate::core::Core;
use crate::service::{Begun, How, Part, Service};

/// What is stored where it isn't known yet whether it goes away again.
const SMALL_BYTES: usize = 64;

/// What is stored for the throughput.
const LARGE_BYTES: usize = 1024 * 1024;

/// A clock that is further off than this may have its requests refused by a service, mostly at 15 minutes.
const SKEW_SECONDS: i64 = 60;

/// What the name of a probe begins with. A random word follows, so that checks at the same time don't meet.
const PROBE: &str = ".windlass-check";

pub(crate) async fn check<S: Service>(core: &Core<S>) -> Result<StorageReport> {
    let mut check = Check {
        core,
        key: format!("{PROBE}-{}", random_word()),
        report: StorageReport::default(),
        latency: Duration::MAX,
    };
    // Of what isn't there: who may not delete stores no probe that would stay.
    let may_delete = check.delete().await?.is_none();
    let is_gone = if may_delete { check.probe().await? } else { true };
    // Where deleting is refused for a lock, what an upload is given up by may be refused too.
    if is_gone && (core.service.can_abort() || !may_delete) {
        check.half_upload(may_delete).await?;
    }
    if !may_delete {
        check.rights_to_read().await?;
    }
    check.note(format!("latency {}", told(check.latency)));
    if !allowed(core.ask("list half uploads", core.service.unfinished(&check.key)).await.map(drop))? {
        check.note("this credential can't list half uploads: those of a killed run stay");
    }
    let mut report = check.report;
    skew(core.service.skew_seconds(), &mut report);
    Ok(report)
}

struct Check<'c, S> {
    core: &'c Core<S>,
    key: String,
    report: StorageReport,
    /// Of the small requests the quickest counts: the first one also connects and signs in.
    latency: Duration,
}

impl<S: Service> Check<'_, S> {
    fn note(&mut self, note: impl Into<String>) {
        self.report.notes.push(note.into());
    }

    async fn small<T>(&mut self, request: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let answer = request.await;
        self.latency = self.latency.min(started.elapsed());
        answer
    }

    /// Why the probe may not be deleted, if it may not.
    async fn delete(&mut self) -> Result<Option<Error>> {
        let (core, keys) = (self.core, [self.key.clone()]);
        let fate = self.small(core.delete(&keys)).await?.remove(0);
        match fate {
            Err(error) if error.kind == ErrorKind::Denied => Ok(Some(error)),
            fate => fate.map(|()| None),
        }
    }

    /// A small probe; and, if that goes away without a trace, a large one. False if it is still there.
    async fn probe(&mut self) -> Result<bool> {
        let bytes = noise(SMALL_BYTES);
        let (core, key) = (self.core, self.key.clone());
        self.small(core.put(&key, &how(), bytes.clone())).await?;
        let seen = self.look(&bytes).await;
        let deleted = self.delete().await;
        let can_read = seen?;
        if let Some(error) = deleted? {
            self.report.keeps_deleted = true;
            self.note(format!("the object `{key}` ({SMALL_BYTES} bytes) stays: {}", error.one_line()));
            return Ok(false);
        }
        if core.service.keeps_deleted() {
            self.report.keeps_deleted = true;
            self.note(format!(
                "what is deleted stays as a version that isn't listed, the {SMALL_BYTES} bytes of this check too"
            ));
        } else {
            self.throughput(can_read).await?;
        }
        Ok(true)
    }

    /// Creates the probe again, reads and lists it. Whether it can be read.
    async fn look(&mut self, bytes: &Bytes) -> Result<bool> {
        let (core, key) = (self.core, self.key.clone());
        match core.put(&key, &How { if_absent: true, ..how() }, bytes.clone()).await {
            Err(error) if error.kind == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind != ErrorKind::Unsupported => return Err(error),
            _ => self.report.warnings.push(
                "The service replaces an object that was to be created only if it is absent: two runs may overwrite each other."
                    .to_owned(),
            ),
        }
        let read = self.small(crate::download::whole(core, &key, SMALL_BYTES as u64)).await;
        let can_read = match read {
            Ok(read) if read == *bytes => true,
            Ok(_) => return Err(Error::damaged("the probe object came back as other bytes")),
            Err(error) if error.kind == ErrorKind::Denied => {
                self.note("this credential can't read: `restore` and `verify` need another one");
                false
            }
            Err(error) => return Err(error),
        };
        let what = ListOptions { prefix: key.clone(), ..ListOptions::default() };
        match self.small(core.page(&what)).await {
            Ok(page) if page.entries.iter().any(|entry| entry.key == key) => {}
            Ok(_) => self.report.warnings.push(
                "An object that was just stored isn't listed: wait before you rely on `list`.".to_owned(),
            ),
            Err(error) if error.kind == ErrorKind::Denied => self.cannot_list(),
            Err(error) => return Err(error),
        }
        Ok(can_read)
    }

    async fn throughput(&mut self, can_read: bool) -> Result<()> {
        let (core, key, bytes) = (self.core, self.key.clone(), noise(LARGE_BYTES));
        let started = Instant::now();
        core.put(&key, &how(), bytes.clone()).await?;
        let mut note = format!("1 MiB up in {}", told(started.elapsed()));
        let started = Instant::now();
        let read =
            if can_read { Some(crate::download::whole(core, &key, bytes.len() as u64).await) } else { None };
        let down = started.elapsed();
        if let Some(error) = self.delete().await? {
            return Err(error);
        }
        if let Some(read) = read {
            if read? != bytes {
                return Err(Error::damaged("the probe object came back as other bytes"));
            }
            note.push_str(&format!(", down in {}", told(down)));
        }
        self.note(note);
        Ok(())
    }

    /// Begins an upload as a backup does, with all that the options ask for, and gives it up: it makes no object.
    async fn half_upload(&mut self, may_delete: bool) -> Result<()> {
        let (core, key) = (self.core, self.key.clone());
        let how = How { is_probe: false, if_absent: true, ..how() };
        let handle = core.insist(&format!("begin `{key}`"), || core.service.begin(&key, &how)).await?;
        let part = Part { number: 1, offset: 0, is_last: true, bytes: noise(SMALL_BYTES) };
        let sent = core
            .insist(&format!("store a part of `{key}`"), || {
                core.service.part(Begun { key: &key, handle: &handle }, part.clone())
            })
            .await;
        let aborted = allowed(core.abort(&key, &handle).await);
        sent?;
        if !may_delete {
            self.note(
                "this credential can't delete: only an upload was begun and given up, which makes no object; \
                 `prune` needs another one",
            );
        }
        if !aborted? {
            self.note("this credential can't remove a half upload: the service forgets it in its own time");
        }
        Ok(())
    }

    /// Of what isn't there, which for some services takes the right to list.
    async fn rights_to_read(&mut self) -> Result<()> {
        let (core, key) = (self.core, self.key.clone());
        let what = ListOptions { prefix: key.clone(), ..ListOptions::default() };
        if !allowed(self.small(core.page(&what)).await.map(drop))? {
            self.cannot_list();
            return Ok(());
        }
        match self.small(crate::download::whole(core, &key, 1)).await {
            Err(error) if error.kind == ErrorKind::Denied => {
                self.note("this credential can't read: `restore` and `verify` need another one");
            }
            Err(error) if error.kind != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(())
    }

    fn cannot_list(&mut self) {
        self.note("this credential can't list: `list`, `verify` and `restore` need another one");
    }
}

fn how() -> How {
    How { is_probe: true, mark: random_word(), ..How::default() }
}

fn noise(length: usize) -> Bytes {
    (0..length / 8).flat_map(|_| random().to_le_bytes()).collect()
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
