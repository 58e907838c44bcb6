//! No panic crosses the boundary.
//!
//! [`Owned`] and [`Shared`] hold an author's object on its own side. A panic in a call drops the object at once (for a
//! sink or an upload that means abort) and leaves an error; later calls answer with an error too.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use super::{AbiError, AbiResult};
use crate::error::{Error, ErrorKind, Result};

thread_local! {
    /// Where the last panic of this thread was, as the hook of [`super::logging`] saw it.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub(super) fn remember_place(place: String) {
    PLACE.with(|cell| *cell.borrow_mut() = Some(place));
}

fn broken(what: &str, payload: Box<dyn Any + Send>) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    // A payload may itself panic when dropped.
    let _ = catch_unwind(AssertUnwindSafe(move || drop(payload)));
    let mut error = Error::new(ErrorKind::Broken, format!("the plugin panicked in `{what}`: {text}"))
        .hint("This is a bug of the plugin: report it to its author.");
    if let Some(place) = PLACE.with(|cell| cell.borrow_mut().take()) {
        error = error.detail("panicked_at", place);
    }
    error
}

/// Runs `work`, turning a panic into an error.
pub fn guard<T>(what: &str, work: impl FnOnce() -> Result<T>) -> AbiResult<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => AbiResult::ROk(value),
        Ok(Err(error)) => AbiResult::RErr(error.into()),
        Err(payload) => AbiResult::RErr(broken(what, payload).into()),
    }
}

/// Drops `value`; a panic in its destructor ends here.
fn discard<T>(value: T) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(move || drop(value))) {
        let _ = broken("drop", payload);
    }
}

fn gone(what: &str) -> AbiError {
    Error::new(ErrorKind::Broken, format!("`{what}` was called on something that has ended or panicked"))
        .into()
}

/// An object that is used from one thread at a time.
pub struct Owned<T>(Option<T>);

impl<T> Owned<T> {
    pub fn new(value: T) -> Self {
        Self(Some(value))
    }

    /// Calls into the object; a panic ends it.
    pub fn call<R>(&mut self, what: &str, work: impl FnOnce(&mut T) -> Result<R>) -> AbiResult<R> {
        let Some(value) = self.0.as_mut() else { return AbiResult::RErr(gone(what)) };
        match catch_unwind(AssertUnwindSafe(|| work(value))) {
            Ok(Ok(value)) => AbiResult::ROk(value),
            Ok(Err(error)) => AbiResult::RErr(error.into()),
            Err(payload) => {
                let error = broken(what, payload);
                discard(self.0.take());
                AbiResult::RErr(error.into())
            }
        }
    }

    /// The last call: uses the object up.
    pub fn consume<R>(&mut self, what: &str, work: impl FnOnce(T) -> Result<R>) -> AbiResult<R> {
        match self.0.take() {
            Some(value) => guard(what, || work(value)),
            None => AbiResult::RErr(gone(what)),
        }
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        discard(self.0.take());
    }
}

/// An object that is used from several threads.
pub struct Shared<T> {
    value: Option<T>,
    poisoned: AtomicBool,
}

impl<T> Shared<T> {
    pub fn new(value: T) -> Self {
        Self { value: Some(value), poisoned: AtomicBool::new(false) }
    }

    /// Calls into the object; after a panic it isn't called again.
    pub fn call<R>(&self, what: &str, work: impl FnOnce(&T) -> Result<R>) -> AbiResult<R> {
        let value = match self.value.as_ref() {
            Some(value) if !self.poisoned.load(Ordering::Acquire) => value,
            _ => return AbiResult::RErr(gone(what)),
        };
        match catch_unwind(AssertUnwindSafe(|| work(value))) {
            Ok(Ok(value)) => AbiResult::ROk(value),
            Ok(Err(error)) => AbiResult::RErr(error.into()),
            Err(payload) => {
                self.poisoned.store(true, Ordering::Release);
                AbiResult::RErr(broken(what, payload).into())
            }
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        discard(self.value.take());
    }
}
