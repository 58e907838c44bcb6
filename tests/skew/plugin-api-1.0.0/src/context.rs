//! What the host does for a plugin during a call.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Error, ErrorKind, Result};
use crate::options::Secret;
use crate::storage::Storage;

/// The host as a plugin sees it. Cheap to clone, may be kept for the length of a run and used from any thread.
#[derive(Clone)]
pub struct Context(Arc<dyn Services>);

/// What stands behind a [`Context`]. Implemented by the host and by the testkit, never by a plugin.
pub trait Services: Send + Sync {
    /// See [`Context::cancelled`].
    fn cancelled(&self) -> bool;
    /// Registers `callback` and returns its number; calls it at once if the run is already cancelled.
    fn on_cancel(&self, callback: Box<dyn Fn() + Send + Sync>) -> u64;
    /// Forgets a callback; returns only once it isn't running.
    fn forget(&self, callback: u64);
    /// See [`Context::progress`].
    fn progress(&self, progress: &Progress);
    /// The value of a secret that the host keeps under `name`.
    fn reveal(&self, name: &str) -> Result<String>;
    /// See [`Context::storage`].
    fn storage(&self, name: &str) -> Result<Arc<dyn Storage>>;
    /// See [`Context::run`].
    fn run(&self) -> String;
}

impl Context {
    /// A context over `services`.
    pub fn new(services: Arc<dyn Services>) -> Self {
        Self(services)
    }

    /// True once the run was cancelled (Ctrl-C, a time limit, another stage's failure). Cheap: ask it in every loop.
    pub fn cancelled(&self) -> bool {
        self.0.cancelled()
    }

    /// An error of kind `Cancelled` once the run was cancelled: `cx.go_on()?` in a loop.
    pub fn go_on(&self) -> Result<()> {
        if self.cancelled() { Err(Error::cancelled()) } else { Ok(()) }
    }

    /// Calls `callback` once, from another thread, when the run is cancelled; at once if it already is. For calls that
    /// block in their own I/O and can't poll: close the socket, kill the child. Dropping the guard unregisters it and
    /// waits for a running callback, so the callback must not drop its own guard.
    pub fn on_cancel(&self, callback: impl Fn() + Send + Sync + 'static) -> CancelGuard {
        CancelGuard { services: self.0.clone(), number: self.0.on_cancel(Box::new(callback)) }
    }

    /// Says how far the work is, in the plugin's own units; bytes are counted by the host. Call it as often as you like.
    pub fn progress(&self, progress: &Progress) {
        self.0.progress(progress);
    }

    /// The value of a secret, asked for at the moment of use, so that credentials that rotate work in a long run.
    /// Keep it no longer than needed and put it neither into argv nor into an error.
    pub fn reveal(&self, secret: &Secret) -> Result<String> {
        match secret.held() {
            Some(value) => Ok(value.to_owned()),
            None => self.0.reveal(secret.name()),
        }
    }

    /// Another storage of the config, for plugins that declare `"needs": ["storage"]`.
    pub fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
        self.0.storage(name)
    }

    /// The run's id, such as `20261122T185903Z-k3f9`: for names of temporary siblings (`.windlass-<id>-…`).
    pub fn run(&self) -> String {
        self.0.run()
    }

    pub(crate) fn services(&self) -> Arc<dyn Services> {
        self.0.clone()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({})", self.run())
    }
}

/// Keeps a cancel callback registered while it lives.
#[must_use = "the callback is forgotten when this is dropped"]
pub struct CancelGuard {
    services: Arc<dyn Services>,
    number: u64,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        self.services.forget(self.number);
    }
}

/// How far the work is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// What is being done: `reading table orders`. May be empty.
    pub message: String,
    /// Units done.
    pub done: u64,
    /// Units in all, if known.
    pub total: Option<u64>,
    /// What is counted: `files`, `tables`, `pages`.
    pub unit: String,
    /// What a newer side adds.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A context that is never cancelled and has neither secrets nor storages: for doctests and unit tests of a plugin.
impl Default for Context {
    fn default() -> Self {
        struct Alone;
        impl Services for Alone {
            fn cancelled(&self) -> bool {
                false
            }
            fn on_cancel(&self, _: Box<dyn Fn() + Send + Sync>) -> u64 {
                0
            }
            fn forget(&self, _: u64) {}
            fn progress(&self, _: &Progress) {}
            fn reveal(&self, name: &str) -> Result<String> {
                Err(Error::new(ErrorKind::NotFound, format!("no secret `{name}` here")))
            }
            fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
                Err(Error::new(ErrorKind::NotFound, format!("no storage `{name}` here")))
            }
            fn run(&self) -> String {
                "20260101T000000Z-test".to_owned()
            }
        }
        Self(Arc::new(Alone))
    }
}
