//! One run of a pipeline on a storage at a time.
//!
//! The lock is the OS's, on a file of the state folder: it ends with its process however that ends, so it can't go stale.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use windlass_plugin_api::{During, Error, ErrorKind};

use super::cancel::Cancel;
use super::state::{StateDir, open_lock_file, try_lock};
use crate::exit::{Exit, Failure, Outcome};

/// Who holds a lock: written into its file for whoever finds it held.
#[derive(Serialize, Deserialize)]
struct Holder {
    pid: u32,
    since: String,
    doing: String,
}

/// A held lock. Dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// How often a lock that is waited for is tried again: `flock` has no time limit of its own.
const AGAIN: Duration = Duration::from_millis(200);

impl Lock {
    /// Takes the lock of `what` (`identity` tells it from others of that name), waiting up to `wait` for it. `doing` is
    /// told to others that find it held.
    pub fn take(
        state: &StateDir,
        (identity, what): (&str, &str),
        doing: &str,
        wait: Duration,
        cancel: &Arc<Cancel>,
    ) -> Outcome<Self> {
        let path = state.lock_file(&format!("{identity} {what}"));
        let mut file =
            open_lock_file(&path).during_with(|| format!("can't open the lock `{}`", path.display()))?;
        let end = Instant::now() + wait;
        while !try_lock(&file).during_with(|| format!("can't lock `{}`", path.display()))? {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(held(&path, what));
            }
            if cancel.wait(left.min(AGAIN)) {
                return Err(cancel.reason().map_or_else(|| held(&path, what), |reason| reason.failure()));
            }
        }
        let holder = Holder {
            pid: std::process::id(),
            since: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            doing: doing.to_owned(),
        };
        // Only for people: a lock whose file can't be written is held all the same.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = serde_json::to_string(&holder).map(|text| file.write_all(text.as_bytes()));
        Ok(Self { _file: file })
    }
}

fn held(path: &Path, what: &str) -> Failure {
    let by = std::fs::read_to_string(path)
        .ok()
        .and_then(|text| serde_json::from_str::<Holder>(&text).ok())
        .map(|holder| format!("process {} holds it since {} ({})", holder.pid, holder.since, holder.doing))
        .unwrap_or_else(|| "another process holds it".to_owned());
    let error = Error::new(ErrorKind::Unavailable, format!("`{what}` is locked: {by}"))
        .hint("Wait for it with `--wait-lock 10m`; a lock ends with its process and is never stale.");
    Failure::new(Exit::Locked, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_a_dropped_one_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(Some(folder.path())).unwrap();
        let cancel = Cancel::new();
        let take = || Lock::take(&state, ("nas", "web1/shop"), "backup", Duration::ZERO, &cancel);
        let first = take().unwrap();
        let failure = take().unwrap_err();
        assert_eq!(failure.exit, Exit::Locked);
        let text = failure.to_string();
        assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
        assert!(text.contains("since 20"), "{text}");
        drop(first);
        take().unwrap();
    }
}
