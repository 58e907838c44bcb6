//! What the wrappers wait with: a clock, and what ends a wait early.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_plugin_api::{CancelGuard, Context};

/// What tells the time and lets it pass.
pub(super) trait Clock: Send + Sync {
    /// Since some moment in the past.
    fn now(&self) -> Duration;
    /// Waits so long, or until `stop` is pressed.
    fn wait(&self, how_long: Duration, stop: &Stop);
}

/// The system's.
pub(super) struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, how_long: Duration, stop: &Stop) {
        let is_pressed = stop.button.pressed.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = stop.button.tell.wait_timeout_while(is_pressed, how_long, |is_pressed| !*is_pressed);
    }
}

/// Ends a wait when its run is cancelled.
pub(super) struct Stop {
    button: Arc<Button>,
    _guard: CancelGuard,
}

#[derive(Default)]
struct Button {
    pressed: Mutex<bool>,
    tell: Condvar,
}

impl Stop {
    /// Pressed when the run of `cx` is cancelled.
    pub(super) fn of(cx: &Context) -> Self {
        let button = Arc::<Button>::default();
        let pressed = button.clone();
        let guard = cx.on_cancel(move || {
            *pressed.pressed.lock().unwrap_or_else(PoisonError::into_inner) = true;
            pressed.tell.notify_all();
        });
        Self { button, _guard: guard }
    }

    #[cfg(test)]
    fn is_pressed(&self) -> bool {
        *self.button.pressed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod hands;
