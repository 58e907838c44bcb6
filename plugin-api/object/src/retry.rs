//! Trying again what may work the next time: exponential back-off with jitter, what the service itself asks for, and a
//! budget for the whole run.
//!
//! Only what the host can't repeat is repeated here: parts of an upload, what shows it, ranges of a download that has begun.
//! All other requests fail once, and the host makes the call again. What a rejected request means is known to the
//! service that maps it.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::chance::random;

/// The detail of an error that says how many seconds the service wants us to wait.
pub const RETRY_AFTER: &str = "retry_after_seconds";

/// The detail of an error that says `false` where the host shall not try again either.
const RETRY: &str = "retry";

/// No service is waited for longer than this before one attempt.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// When to try again, and how often.
#[derive(Debug)]
pub struct Retry {
    /// Attempts for one request.
    pub attempts: u32,
    /// Before the second attempt; doubled for each further one.
    pub first_wait: Duration,
    /// How many attempts beyond the first of each request this instance has left, so that a service that fails half of
    /// the time ends a run rather than stretching it for days.
    budget: AtomicU32,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 7, first_wait: Duration::from_millis(400), budget: AtomicU32::new(500) }
    }
}

/// Whether trying again may help.
pub fn is_passing(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut)
}

impl Retry {
    /// Runs `request` until it succeeds, fails for good, or was tried often enough. `what` completes "can't …".
    pub async fn run<T, F>(&self, what: &str, mut request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let mut attempt = 1;
        loop {
            match request().await {
                Err(error) if is_passing(&error) => self.wait(what, attempt, error).await?,
                result => return result,
            }
            attempt += 1;
        }
    }

    /// Waits before attempt `attempt + 1`; the error itself if there shall be none.
    pub async fn wait(&self, what: &str, attempt: u32, error: Error) -> Result<()> {
        if attempt >= self.attempts {
            return Err(error.during(format!("given up after {attempt} attempts")).detail(RETRY, false));
        }
        let spent =
            self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if spent.is_err() {
            return Err(error.detail(RETRY, false).hint(
                "Too much had to be tried again in this run: see what is wrong with the line or the service.",
            ));
        }
        let wait = self.pause(attempt, &error);
        tracing::info!("can't {what}, attempt {attempt}: {}; trying again in {wait:?}", error.one_line());
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Between half of the doubled wait and all of it; longer if the service says so.
    fn pause(&self, attempt: u32, error: &Error) -> Duration {
        let wait = self.first_wait.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        let wait = wait.mul_f64(0.5 + (random() >> 11) as f64 / (1u64 << 53) as f64 / 2.0);
        let asked = error.details.get(RETRY_AFTER).and_then(seconds).unwrap_or_default();
        wait.max(asked).min(LONGEST)
    }
}

fn seconds(value: &serde_json::Value) -> Option<Duration> {
    value.as_u64().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    fn quick(attempts: u32) -> Retry {
        Retry { attempts, first_wait: Duration::from_micros(10), ..Retry::default() }
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    fn failing(kind: ErrorKind, retry: &Retry) -> (u32, Error) {
        let calls = AtomicU32::new(0);
        let request = || async {
            calls.fetch_add(1, Ordering::Relaxed);
            Err::<(), _>(Error::new(kind, "no"))
        };
        let error = run(retry.run("do it", request)).unwrap_err();
        (calls.into_inner(), error)
    }

    #[test]
    fn what_may_pass_is_tried_as_often_as_allowed_and_what_never_passes_once() {
        let tried = |kind| failing(kind, &quick(4)).0;
        assert_eq!((tried(ErrorKind::Unavailable), tried(ErrorKind::TimedOut)), (4, 4));
        for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Config, ErrorKind::Failed] {
            assert_eq!(tried(kind), 1, "{kind:?}");
        }
    }

    #[test]
    fn a_request_that_works_the_second_time_has_worked() {
        let calls = AtomicU32::new(0);
        let request = || async {
            match calls.fetch_add(1, Ordering::Relaxed) {
                0 => Err(Error::new(ErrorKind::Unavailable, "busy")),
                call => Ok(call),
            }
        };
        assert_eq!(run(quick(3).run("do it", request)).unwrap(), 1);
    }

    #[test]
    fn a_run_has_a_budget_of_attempts() {
        let retry = Retry { budget: AtomicU32::new(3), ..quick(100) };
        let (calls, error) = failing(ErrorKind::Unavailable, &retry);
        assert_eq!((calls, error.details[RETRY].as_bool()), (4, Some(false)));
        assert!(error.hint.unwrap().contains("tried again"));
    }

    #[test]
    fn waits_double_with_jitter_and_follow_the_service() {
        let retry = Retry { first_wait: Duration::from_secs(1), ..Retry::default() };
        let plain = Error::new(ErrorKind::Unavailable, "busy");
        for _ in 0..100 {
            let third = retry.pause(3, &plain);
            assert!((Duration::from_secs(2)..=Duration::from_secs(4)).contains(&third), "{third:?}");
        }
        let asked = |seconds: u64| retry.pause(1, &plain.clone().detail(RETRY_AFTER, seconds));
        assert_eq!(asked(30), Duration::from_secs(30));
        assert_eq!(asked(86_400), LONGEST, "a service may not hold a run for a day");
    }
}
