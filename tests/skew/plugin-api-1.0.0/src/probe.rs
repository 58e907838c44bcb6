//! A probe object for [`Storage::check`] of a storage that has nothing better: by its own calls it is written, published,
//! listed, read and deleted, and what that took is told.
//!
//! Nothing large is stored before it is seen that a small object goes away again. Whether the place exists, and may be made, is
//! the storage's own question, to be asked before.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime};

use crate::context::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::storage::{CreateOptions, ListOptions, Storage, StorageReport};

const SMALL_BYTES: usize = 64;

/// For the throughput.
const LARGE_BYTES: usize = 1024 * 1024;

/// A clock that is further off is warned of: whoever reads the times of objects is misled.
const SKEW_SECONDS: i64 = 60;

/// Probes it and adds to `report` what there is to say. `changed` tells the time of an object's last change by the
/// storage's clock, in seconds since 1970 UTC.
///
/// What may not be deleted, read or listed is told and is no error: only what keeps a backup from being stored is.
pub fn storage(
    storage: &dyn Storage,
    cx: &Context,
    report: &mut StorageReport,
    changed: impl Fn(&str) -> Result<Option<i64>>,
) -> Result<()> {
    let key = format!("windlass-check-{:016x}", random());
    let small = noise(SMALL_BYTES);
    let began = now();
    write(storage, cx, &key, &small)?;
    let seen = look(storage, cx, report, &key, &small);
    let skew = changed(&key).map(|theirs| theirs.map(|theirs| behind(theirs, began, now())));
    if let Err(error) = delete(storage, cx, &key) {
        seen?;
        if error.kind != ErrorKind::Denied {
            return Err(error);
        }
        report.keeps_deleted = true;
        let why = error.one_line();
        report.notes.push(format!(
            "the object `{key}` ({SMALL_BYTES} bytes) stays, and `prune` needs more rights: {why}"
        ));
        return tell_skew(skew?, report);
    }
    let can_read = seen?;
    throughput(storage, cx, report, &key, can_read)?;
    tell_skew(skew?, report)
}

fn write(storage: &dyn Storage, cx: &Context, key: &str, bytes: &[u8]) -> Result<()> {
    let how = CreateOptions {
        if_absent: true,
        size_hint: Some(bytes.len() as u64),
        run: "check".to_owned(),
        ..CreateOptions::default()
    };
    let mut upload = storage.create(cx, key, &how)?;
    upload.write_all(bytes)?;
    upload.finish()?;
    upload.publish().map(drop)
}

fn read(storage: &dyn Storage, cx: &Context, key: &str, written: &[u8]) -> Result<()> {
    let mut back = Vec::new();
    storage.open(cx, key, None)?.take(written.len() as u64 + 1).read_to_end(&mut back)?;
    if back == written {
        Ok(())
    } else {
        Err(Error::damaged("what was written comes back as something else"))
    }
}

fn delete(storage: &dyn Storage, cx: &Context, key: &str) -> Result<()> {
    let fates = storage.delete(cx, &[key.to_owned()])?;
    fates
        .into_iter()
        .next()
        .unwrap_or_else(|| Err(Error::failed("the storage didn't say whether it was deleted")))
}

/// Lists and reads it; whether it can be read.
fn look(
    storage: &dyn Storage,
    cx: &Context,
    report: &mut StorageReport,
    key: &str,
    written: &[u8],
) -> Result<bool> {
    let what = ListOptions { prefix: key.to_owned(), ..ListOptions::default() };
    match storage.list(cx, &what) {
        Ok(page) if page.entries.iter().any(|entry| entry.key == key) => {}
        Ok(_) => report
            .warnings
            .push("An object that was just stored isn't listed: wait before you rely on `list`.".to_owned()),
        Err(error) if error.kind == ErrorKind::Denied => {
            report
                .notes
                .push("nothing may be listed: `list`, `verify` and `restore` need more rights".to_owned());
        }
        Err(error) => return Err(error),
    }
    match read(storage, cx, key, written) {
        Err(error) if error.kind == ErrorKind::Denied => {
            report.notes.push("nothing may be read: `restore` and `verify` need more rights".to_owned());
            Ok(false)
        }
        result => result.map(|()| true),
    }
}

fn throughput(
    storage: &dyn Storage,
    cx: &Context,
    report: &mut StorageReport,
    key: &str,
    can_read: bool,
) -> Result<()> {
    let large = noise(LARGE_BYTES);
    let started = Instant::now();
    write(storage, cx, key, &large)?;
    let mut note = format!("1 MiB up in {}", told(started.elapsed()));
    let started = Instant::now();
    let back = if can_read { read(storage, cx, key, &large) } else { Ok(()) };
    let down = started.elapsed();
    delete(storage, cx, key)?;
    back?;
    if can_read {
        note.push_str(&format!(", down in {}", told(down)));
    }
    report.notes.push(note);
    Ok(())
}

/// How many seconds our clock is behind the storage's, whose time of a change lies between two of ours. File times have whole
/// seconds, so one more or less is none.
fn behind(theirs: i64, from: i64, to: i64) -> i64 {
    match theirs {
        _ if theirs > to + 1 => theirs - to,
        _ if theirs < from - 1 => theirs - from,
        _ => 0,
    }
}

fn tell_skew(behind: Option<i64>, report: &mut StorageReport) -> Result<()> {
    let Some(behind) = behind else { return Ok(()) };
    let text = match behind {
        0 => "the clocks agree".to_owned(),
        1.. => format!("this clock is {behind} s behind the storage's"),
        _ => format!("this clock is {} s ahead of the storage's", -behind),
    };
    if behind.abs() > SKEW_SECONDS {
        report.warnings.push(format!("The clocks differ, so the times of objects mislead: {text}."));
    } else {
        report.notes.push(text);
    }
    Ok(())
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn told(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

/// The standard library seeds its hash maps with the system's randomness.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Bytes that no line can make smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = random() | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_wrong_is_told_with_its_direction_and_a_second_is_none() {
        for (theirs, expected) in [(100, 0), (99, 0), (105, 0), (106, 0), (4000, 3895), (40, -60), (10, -90)]
        {
            assert_eq!(behind(theirs, 100, 105), expected, "{theirs}");
        }
        for (seconds, warnings) in [(0, 0), (-60, 0), (61, 1), (-900, 1)] {
            let mut report = StorageReport::default();
            tell_skew(Some(seconds), &mut report).unwrap();
            assert_eq!((report.warnings.len(), report.notes.len()), (warnings, 1 - warnings), "{seconds}");
        }
    }
}
