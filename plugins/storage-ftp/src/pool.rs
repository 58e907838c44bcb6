//! The connections of one instance: at most so many, each lent to one call at a time, and kept for the next.
//!
//! A transfer holds its connection, and a source may keep more streams open than there are connections. So when none is left,
//! a transfer that nobody moves at the moment has to give its own back ([`Slot`]); it goes on later, by `REST`.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use windlass_plugin_api::{Context, Error, Result};

use crate::connect::{TOO_MANY, connect};
use crate::options::Settings;
use crate::protocol::{Data, Session};

/// A connection that was idle for longer is asked whether it still lives.
const FRESH: Duration = Duration::from_secs(2);
/// How often is looked whether a transfer stands still, while all connections are in use.
const LOOK: Duration = Duration::from_millis(50);

/// A transfer, and the connection that it runs on.
pub struct Running {
    pub lease: Lease,
    pub data: Data,
    pub is_store: bool,
    /// Where in the file the next byte belongs.
    pub at: u64,
}

/// Where a transfer is kept between two calls. Empty: it is to be begun, or to go on.
pub type Slot = Arc<tokio::sync::Mutex<Option<Running>>>;

pub struct Pool {
    settings: Settings,
    idle: Mutex<Vec<(Session, Instant)>>,
    permits: Arc<Semaphore>,
    /// How many permits there are in all: fewer, once the server has taken no more connections.
    size: AtomicUsize,
    slots: Mutex<Vec<Weak<tokio::sync::Mutex<Option<Running>>>>>,
}

impl Pool {
    pub fn new(settings: &Settings) -> Self {
        let size = settings.connections;
        Self {
            settings: settings.clone(),
            idle: Mutex::default(),
            permits: Arc::new(Semaphore::new(size)),
            size: AtomicUsize::new(size),
            slots: Mutex::default(),
        }
    }

    /// A place for a transfer.
    pub fn slot(&self) -> Slot {
        let slot = Slot::default();
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|known| known.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        slot
    }

    /// A connection, for as long as the lease is held. `is_certain`: it has just answered.
    pub async fn lease(self: &Arc<Self>, cx: &Context, is_certain: bool) -> Result<Lease> {
        loop {
            let permit = self.permit().await?;
            while let Some((mut session, since)) = self.kept() {
                let is_fresh = since.elapsed() < FRESH && !is_certain;
                if is_fresh || session.is_alive().await {
                    return Ok(Lease { session: Some(session), pool: self.clone(), _permit: permit });
                }
            }
            match connect(cx, &self.settings).await {
                Ok(session) => {
                    return Ok(Lease { session: Some(session), pool: self.clone(), _permit: permit });
                }
                Err(error) if error.details.contains_key(TOO_MANY) && self.has_others() => {
                    // With those that it has taken it goes on.
                    self.size.fetch_sub(1, Ordering::SeqCst);
                    permit.forget();
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether connections are in use beside the one that was to be made.
    fn has_others(&self) -> bool {
        self.size.load(Ordering::SeqCst) > self.permits.available_permits() + 1
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let closed = |_| Error::failed("the storage was closed");
        loop {
            if let Ok(permit) = self.permits.clone().try_acquire_owned() {
                return Ok(permit);
            }
            self.suspend_one().await;
            if let Ok(permit) = tokio::time::timeout(LOOK, self.permits.clone().acquire_owned()).await {
                return permit.map_err(closed);
            }
        }
    }

    /// Has a transfer give its connection back, if one stands still.
    async fn suspend_one(&self) {
        let slots: Vec<_> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.iter().filter_map(Weak::upgrade).collect()
        };
        for slot in slots {
            if let Ok(mut slot) = slot.try_lock()
                && let Some(mut running) = slot.take()
            {
                // What doesn't arrive is noticed when it goes on: the file is shorter then.
                if running.is_store {
                    let _ = running.lease.stored(running.data).await;
                }
                return;
            }
        }
    }

    fn kept(&self) -> Option<(Session, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// A connection that nobody else uses. One that isn't between two commands when it is given back is closed.
pub struct Lease {
    session: Option<Session>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Lease {
    type Target = Session;

    fn deref(&self) -> &Session {
        self.session.as_ref().expect("held until it is dropped")
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut Session {
        self.session.as_mut().expect("held until it is dropped")
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(session) = self.session.take().filter(Session::is_clean) {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push((session, Instant::now()));
        }
    }
}
