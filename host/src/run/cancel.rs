//! One switch that ends a run, asked in loops and called back where something blocks.
//!
//! A process has one switch that signals turn; each run has a child of it that its time limits turn as well.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use windlass_plugin_api::{Error, ErrorKind};

use crate::exit::{Exit, Failure};

/// Why a run was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A signal, by number.
    Signal(i32),
    /// A time limit: says which.
    TimedOut(String),
    /// Another part of the run failed; its error is the one to report.
    Fault,
}

impl Reason {
    /// What the run fails with, if this reason is the cause and no other fault.
    pub fn failure(&self) -> Failure {
        match self {
            Self::Signal(number) => {
                let name = signal_hook::low_level::signal_name(*number).unwrap_or("a signal");
                let error = Error::new(ErrorKind::Cancelled, format!("ended by {name}"));
                Failure::new(Exit::of_signal(*number), error)
            }
            Self::TimedOut(limit) => {
                Failure::new(Exit::Failed, Error::new(ErrorKind::TimedOut, limit.clone()))
            }
            Self::Fault => Failure::new(Exit::Failed, Error::cancelled()),
        }
    }
}

type Callback = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Callbacks {
    next: u64,
    waiting: BTreeMap<u64, Callback>,
    running: Option<u64>,
    reason: Option<Reason>,
}

/// The switch. Turning it is for good.
#[derive(Default)]
pub struct Cancel {
    cancelled: AtomicBool,
    callbacks: Mutex<Callbacks>,
    ran: Condvar,
}

impl Cancel {
    /// A switch of its own.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A switch that turns with `self`, and may be turned alone. Keep the returned guard as long as the child is of use.
    pub fn child(self: &Arc<Self>) -> (Arc<Self>, ChildGuard) {
        let child = Self::new();
        let (parent, turned) = (self.clone(), child.clone());
        let number = self.on_cancel(Arc::new(move || {
            turned.cancel(parent.reason().unwrap_or(Reason::Fault));
        }));
        (child, ChildGuard { parent: self.clone(), number })
    }

    /// True once it was turned.
    pub fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Why it was turned first.
    pub fn reason(&self) -> Option<Reason> {
        self.lock().reason.clone()
    }

    /// Turns it, unless it was: the first reason counts. Runs the callbacks, one after the other, on this thread.
    pub fn cancel(&self, reason: Reason) {
        {
            let mut callbacks = self.lock();
            if callbacks.reason.is_some() {
                return;
            }
            callbacks.reason = Some(reason);
            self.cancelled.store(true, Ordering::Relaxed);
        }
        loop {
            let mut callbacks = self.lock();
            let Some((number, callback)) = callbacks.waiting.pop_first() else { break };
            callbacks.running = Some(number);
            drop(callbacks);
            callback();
            self.lock().running = None;
            self.ran.notify_all();
        }
    }

    /// Calls `callback` when it is turned; at once if it is.
    pub fn on_cancel(&self, callback: Callback) -> u64 {
        let mut callbacks = self.lock();
        callbacks.next += 1;
        let number = callbacks.next;
        if callbacks.reason.is_none() {
            callbacks.waiting.insert(number, callback);
        } else {
            drop(callbacks);
            callback();
        }
        number
    }

    /// Forgets a callback; returns once it isn't running.
    pub fn forget(&self, number: u64) {
        let mut callbacks = self.lock();
        callbacks.waiting.remove(&number);
        while callbacks.running == Some(number) {
            callbacks = self.ran.wait(callbacks).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until it is turned or `limit` has passed; true if it was turned.
    pub fn wait(self: &Arc<Self>, limit: Duration) -> bool {
        let turned = Arc::new((Mutex::new(false), Condvar::new()));
        let tell = turned.clone();
        let number = self.on_cancel(Arc::new(move || {
            *tell.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            tell.1.notify_all();
        }));
        let end = Instant::now() + limit;
        let mut is_turned = turned.0.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_turned {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            is_turned = turned.1.wait_timeout(is_turned, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(is_turned);
        self.forget(number);
        self.cancelled()
    }

    fn lock(&self) -> MutexGuard<'_, Callbacks> {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Unties a child from its parent when dropped.
pub struct ChildGuard {
    parent: Arc<Cancel>,
    number: u64,
}

impl Drop for ChildGuard {
    fn drop(&mut self) {
        self.parent.forget(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_callback_runs_once_and_a_late_one_at_once() {
        let (cancel, count) = (Cancel::new(), Arc::new(AtomicU32::new(0)));
        let bump = |count: &Arc<AtomicU32>| {
            let count = count.clone();
            Arc::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        };
        cancel.on_cancel(bump(&count));
        let forgotten = cancel.on_cancel(bump(&count));
        cancel.forget(forgotten);
        cancel.cancel(Reason::Fault);
        cancel.cancel(Reason::Signal(2));
        assert_eq!((count.load(Ordering::Relaxed), cancel.reason()), (1, Some(Reason::Fault)));
        cancel.on_cancel(bump(&count));
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_child_turns_with_its_parent_and_not_the_other_way_round() {
        let parent = Cancel::new();
        let (first, _one) = parent.child();
        let (second, _two) = parent.child();
        first.cancel(Reason::Fault);
        assert!(!parent.cancelled() && !second.cancelled());
        parent.cancel(Reason::Signal(15));
        assert_eq!(second.reason(), Some(Reason::Signal(15)));
        assert_eq!(first.reason(), Some(Reason::Fault));
    }

    #[test]
    fn waiting_ends_when_the_switch_is_turned() {
        let cancel = Cancel::new();
        assert!(!cancel.wait(Duration::from_millis(1)));
        let turner = cancel.clone();
        let thread = std::thread::spawn(move || turner.cancel(Reason::Fault));
        assert!(cancel.wait(Duration::from_secs(60)));
        thread.join().unwrap();
    }
}
