//! Both ends of a stream in memory, which fail where they are told to and remember how they were treated.
//!
//! [`MemoryOutputs`] is what a source backs up to, [`MemoryInputs`] what it restores from; [`TestSink`] and [`TestReader`]
//! are one stream of each, for filters. Nothing here checks anything: the suites look at [`Seen`] afterwards.

mod many;
mod reader;
mod sink;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use windlass_plugin_api::{Error, Result};

pub use self::many::{MemoryInputs, MemoryOutputs};
pub use self::reader::TestReader;
pub use self::sink::{Seen, SinkView, TestSink};
use crate::host::TestHost;

/// What happens at a byte of a stream.
#[derive(Clone)]
pub enum Fault {
    /// The call that would pass the byte returns this error, and so does every later one.
    Error(Error),
    /// The run is cancelled and the stream goes on: the stage has to notice by itself.
    Cancel(TestHost),
    /// The call blocks until the run is cancelled by another thread, and then returns an error of kind `Cancelled`.
    Block(TestHost),
}

/// How long a blocked call waits at most: a test that nobody cancels must fail, not hang.
const BLOCKED_LIMIT: Duration = Duration::from_secs(120);

impl Fault {
    /// What the call that reaches the byte returns.
    fn strike(&self) -> Result<()> {
        match self {
            Self::Error(error) => Err(error.clone()),
            Self::Cancel(host) => {
                host.cancel();
                Ok(())
            }
            Self::Block(host) => {
                host.wait_cancelled(BLOCKED_LIMIT);
                Err(Error::cancelled())
            }
        }
    }
}

/// A fault and where it strikes.
#[derive(Clone)]
struct At {
    offset: usize,
    fault: Fault,
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
