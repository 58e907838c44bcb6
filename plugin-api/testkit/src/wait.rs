//! Waiting for what another process does, and nobody tells.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Longer than any busy machine needs: a test fails by it, and none is judged by how long it took.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns once `condition` holds; fails the test after a minute.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        sleep(Duration::from_millis(2));
    }
}
