//! The way from the host's blocking calls to the connections: a runtime that starts with the first call, and the run's
//! cancelling around every wait.
//!
//! A connection that broke is made anew by the next call. Waiting between attempts is the host's.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;
use windlass_plugin_api::{Context, Error, Result};

use crate::options::Settings;
use crate::pool::{Lease, Pool};

/// How long tidying up may take once a run has failed.
const TIDYING: Duration = Duration::from_secs(5);

pub struct Link {
    pub settings: Settings,
    runtime: Mutex<Option<Runtime>>,
    pub pool: Arc<Pool>,
}

impl Link {
    pub fn new(settings: Settings) -> Self {
        let pool = Arc::new(Pool::new(&settings));
        Self { settings, runtime: Mutex::default(), pool }
    }

    /// Waits for `work`, no longer than the run lasts.
    pub fn run<T>(&self, cx: &Context, work: impl Future<Output = Result<T>>) -> Result<T> {
        cx.go_on()?;
        let (cancel, mut cancelled) = watch::channel(false);
        let _guard = cx.on_cancel(move || {
            cancel.send_replace(true);
        });
        let stopped = async {
            // A host that forgets the callback won't cancel.
            if cancelled.wait_for(|is_cancelled| *is_cancelled).await.is_err() {
                pending::<()>().await;
            }
        };
        self.handle()?.block_on(async {
            tokio::select! {
                biased;
                () = stopped => Err(Error::cancelled()),
                result = work => result,
            }
        })
    }

    /// Waits for `work` for a moment, even if the run was cancelled. What doesn't get done is told as a leftover later.
    pub fn tidy(&self, work: impl Future<Output = Result<()>>) {
        if let Ok(handle) = self.handle() {
            let _ = handle.block_on(async { tokio::time::timeout(TIDYING, work).await });
        }
    }

    /// A connection for one call.
    pub async fn lease(&self, cx: &Context) -> Result<Lease> {
        self.pool.lease(cx, false).await
    }

    /// A connection that has just answered: for what may be asked only once. That one broke is known late.
    pub async fn living(&self, cx: &Context) -> Result<Lease> {
        self.pool.lease(cx, true).await
    }

    fn handle(&self) -> Result<Handle> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = runtime.as_ref() {
            return Ok(runtime.handle().clone());
        }
        // One thread encrypts and moves bytes; callers wait on their own.
        let started =
            Builder::new_multi_thread().worker_threads(1).thread_name("windlass-ftp").enable_all().build()?;
        Ok(runtime.insert(started).handle().clone())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let runtime = self.runtime.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }
}
