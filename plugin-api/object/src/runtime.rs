//! The threads that requests run on, and the door between them and the host's threads, which block.
//!
//! A plugin has a runtime of its own: nothing of it is shared with the host or with other plugins. It is started by the
//! first request, so that loading a plugin costs nothing. It doesn't know what runs on it.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use windlass_plugin_api::{CancelGuard, Context, Error, Result};

/// Requests wait for the network nearly all of their time.
const THREADS: usize = 2;

/// A runtime that is started by its first use.
#[derive(Clone, Default)]
pub struct Threads(Arc<Mutex<Option<Running>>>);

struct Running(Option<Runtime>);

impl Drop for Running {
    fn drop(&mut self) {
        // Waits for nothing, so it may happen on any thread.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Threads {
    /// Where tasks are started.
    pub fn handle(&self) -> Result<Handle> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Running(Some(runtime))) = &*slot {
            return Ok(runtime.handle().clone());
        }
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("windlass-object")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        *slot = Some(Running(Some(runtime)));
        Ok(handle)
    }

    /// Runs `work` to its end, or until the run is cancelled.
    pub fn block<T>(&self, cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut cancel = Cancel::of(cx);
        self.handle()?.block_on(cancel.or(work))
    }

    /// Runs `work` for `limit` at most, whatever became of the run: for tidying up.
    pub fn tidy<T>(&self, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
        let handle = self.handle().ok()?;
        handle.block_on(async { tokio::time::timeout(limit, work).await.ok() })
    }
}

/// The run's cancelling, as something to be awaited.
pub struct Cancel {
    cancelled: watch::Receiver<bool>,
    _guard: CancelGuard,
}

impl Cancel {
    /// Listens from now on, until it is dropped.
    pub fn of(cx: &Context) -> Self {
        let (cancel, cancelled) = watch::channel(false);
        let guard = cx.on_cancel(move || {
            cancel.send_replace(true);
        });
        Self { cancelled, _guard: guard }
    }

    /// The result of `work`, unless the run is cancelled first.
    pub async fn or<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            biased;
            Ok(_) = self.cancelled.wait_for(|cancelled| *cancelled) => Err(Error::cancelled()),
            result = work => result,
        }
    }
}

#[cfg(test)]
mod tests {
    use windlass_plugin_api::ErrorKind;

    use super::*;

    #[test]
    fn no_thread_is_started_before_the_first_request() {
        let threads = Threads::default();
        assert!(threads.0.lock().unwrap().is_none());
        assert_eq!(threads.block(&Context::default(), async { Ok(7) }).unwrap(), 7);
        assert!(threads.0.lock().unwrap().is_some());
    }

    #[test]
    fn a_request_that_hangs_ends_with_the_run() {
        let host = windlass_testkit::TestHost::new();
        let (threads, cx) = (Threads::default(), host.context());
        let error = std::thread::scope(|scope| {
            let call = scope.spawn(|| threads.block(&cx, std::future::pending::<Result<()>>()));
            assert!(host.wait_registered(Duration::from_secs(60)));
            host.cancel();
            call.join().unwrap().unwrap_err()
        });
        assert_eq!(error.kind, ErrorKind::Cancelled);
        assert_eq!(host.callbacks(), 0);
    }
}
