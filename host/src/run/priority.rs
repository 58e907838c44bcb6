//! Lets the calling thread, and all that it starts from now on, give way to what else the machine does.
//!
//! On Linux both the nice level and the I/O class are a thread's, and its threads and child programs inherit them: a run
//! that sets them first has them everywhere, and the other runs of the process don't notice. What the system refuses is
//! told and no more: a backup must not fail because it may not come first.

use rustix::process::{getpriority_process, setpriority_process};

use super::ioprio;
use crate::config::{IoClass, Priority};

/// Applies `priority` to this thread; what couldn't be, in words.
pub fn apply(priority: &Priority) -> Vec<String> {
    let mut refused = Vec::new();
    if let Some(level) = priority.nice
        && let Err(error) = setpriority_process(None, level.into())
    {
        let now = getpriority_process(None).map_or_else(|_| "the level".to_owned(), |now| now.to_string());
        refused.push(format!(
            "it runs at nice {now}, for `nice = {level}` is refused ({error}): less than that needs root or CAP_SYS_NICE"
        ));
    }
    if let Some(class) = priority.io
        && let Err(error) = ioprio::set(class)
    {
        let name = if class == IoClass::Idle { "idle" } else { "best-effort" };
        refused.push(format!("it runs in the I/O class of the process, for `{name}` is refused: {error}"));
    }
    refused
}
