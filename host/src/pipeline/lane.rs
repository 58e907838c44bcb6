//! An object on its way into an optional storage.
//!
//! The upload lives on a thread of its own behind a bounded buffer: the chain only fills that, and waits for room no longer than
//! the storage may hold the others back. Whatever goes wrong leaves the storage out; it never fails the chain, unless too few
//! storages are left. Nothing is published here but when the host asks.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_plugin_api::{CreateOptions, Error, ErrorKind, Result, Stored, Upload};

use super::busy::stalled;
use super::fan::{Fan, Member};
use super::hop::BUFFER_BYTES;

/// Buffers of one upload: at most so many times [`BUFFER_BYTES`] are held.
pub const BUFFERS: usize = 32;

/// How often somebody who waits looks whether the storage was left out meanwhile.
const LOOK: Duration = Duration::from_millis(50);

enum Load {
    Bytes(Vec<u8>),
    Finish,
    Abort,
}

enum State {
    Open(Receiver<Result<Box<dyn Upload>>>),
    Finished(Box<dyn Upload>),
    Gone,
}

/// One upload; the host's hand on it.
pub struct Lane {
    fan: Arc<Fan>,
    member: Arc<Member>,
    state: Mutex<State>,
    aborted: Arc<AtomicBool>,
    wake: SyncSender<Load>,
}

impl Lane {
    /// Begins the object `key`, on the storage's own thread. The sink is for the chain.
    pub fn begin(
        fan: &Arc<Fan>,
        member: &Arc<Member>,
        key: String,
        how: CreateOptions,
    ) -> Result<(Arc<Self>, LaneSink)> {
        // Room for every buffer, and for what ends it: sending never waits.
        let (full, loads) = sync_channel(BUFFERS + 2);
        let (give_back, empty) = sync_channel(BUFFERS);
        let (tell, told) = sync_channel(1);
        let aborted: Arc<AtomicBool> = Arc::default();
        let work = Work { member: member.clone(), loads, give_back, aborted: aborted.clone() };
        member.spawn(move || {
            let result = work.carry(&key, &how);
            let _ = tell.send(result);
        })?;
        let lane = Arc::new(Self {
            fan: fan.clone(),
            member: member.clone(),
            state: Mutex::new(State::Open(told)),
            aborted,
            wake: full.clone(),
        });
        member.add(&lane);
        let sink = LaneSink {
            lane: lane.clone(),
            filling: Vec::new(),
            made: 1,
            full,
            empty,
            waited: Duration::ZERO,
            is_asked: false,
        };
        Ok((lane, sink))
    }

    /// Makes the finished object visible.
    pub fn publish(&self) -> Result<Stored> {
        match self.take() {
            State::Finished(upload) => self.member.within(move |_, _| upload.publish()),
            _ => Err(Error::new(ErrorKind::Broken, "an upload that isn't finished can't be published")),
        }
    }

    /// Aborts what isn't published, on the storage's own thread; nobody waits here.
    pub fn abort(&self) {
        self.aborted.store(true, Ordering::Release);
        let _ = self.wake.try_send(Load::Abort);
        // Whoever waits for its end at this moment sees that by itself.
        let finished = self.state.try_lock().ok().and_then(|mut state| match *state {
            State::Finished(_) => Some(std::mem::replace(&mut *state, State::Gone)),
            _ => None,
        });
        if finished.is_some() {
            let _ = self.member.spawn(move || drop(finished));
        }
    }

    fn take(&self) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *state, State::Gone)
    }

    /// What the thread has to say, once it has: its finished upload, or why it ended.
    fn result(&self, limit: Duration) -> Result<Box<dyn Upload>> {
        let State::Open(told) = self.take() else { return Err(Error::cancelled()) };
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match told.recv_timeout(left.min(LOOK)) {
                Ok(result) => return result,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::new(ErrorKind::Broken, "its thread panicked"));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.fan.go_on()?;
            if self.member.is_out() {
                return Err(Error::cancelled());
            }
            if left.is_zero() {
                return Err(stalled(limit));
            }
        }
    }
}

/// The thread's end.
struct Work {
    member: Arc<Member>,
    loads: Receiver<Load>,
    give_back: SyncSender<Vec<u8>>,
    aborted: Arc<AtomicBool>,
}

impl Work {
    /// Uploads what comes. The upload ends here, on its own thread, unless it is finished.
    fn carry(&self, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        // Before it is known: a request that never comes back may have begun one.
        self.member.begun();
        let mut upload = self.member.open.storage.create(&self.member.cx, key, how)?;
        loop {
            let load = self.loads.recv().unwrap_or(Load::Abort);
            if self.aborted.load(Ordering::Acquire) {
                return Err(Error::cancelled());
            }
            match load {
                Load::Bytes(mut bytes) => {
                    upload.write_all(&bytes)?;
                    bytes.clear();
                    let _ = self.give_back.try_send(bytes);
                }
                Load::Finish => {
                    upload.finish()?;
                    return Ok(upload);
                }
                Load::Abort => return Err(Error::cancelled()),
            }
        }
    }
}

/// The chain's end.
pub struct LaneSink {
    lane: Arc<Lane>,
    filling: Vec<u8>,
    /// Buffers made so far: they are made when they are needed.
    made: usize,
    full: SyncSender<Load>,
    empty: Receiver<Vec<u8>>,
    /// How long the chain has waited for room, in all.
    waited: Duration,
    is_asked: bool,
}

impl LaneSink {
    /// Takes all of `bytes`. An error only if the run can't go on.
    pub fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() && !self.lane.member.is_out() {
            let room = (BUFFER_BYTES - self.filling.len()).min(bytes.len());
            self.filling.extend_from_slice(&bytes[..room]);
            bytes = &bytes[room..];
            if self.filling.len() == BUFFER_BYTES {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    /// Hands the filled buffer over, as soon as there is an empty one.
    fn hand_over(&mut self) -> Result<()> {
        match self.next_empty() {
            Ok(next) => {
                let full = std::mem::replace(&mut self.filling, next);
                // A thread that has ended says why when it is asked.
                let _ = self.full.send(Load::Bytes(full));
                Ok(())
            }
            Err(error) => self.give_up(error),
        }
    }

    fn next_empty(&mut self) -> Result<Vec<u8>> {
        match self.empty.try_recv() {
            Ok(buffer) => return Ok(buffer),
            Err(TryRecvError::Disconnected) => return Err(self.fault()),
            Err(TryRecvError::Empty) if self.made < BUFFERS => {
                self.made += 1;
                return Ok(Vec::with_capacity(BUFFER_BYTES));
            }
            Err(TryRecvError::Empty) => {}
        }
        let limit = self.lane.member.patience();
        loop {
            let begun = Instant::now();
            let got = self.empty.recv_timeout(limit.saturating_sub(self.waited).min(LOOK));
            self.waited += begun.elapsed();
            match got {
                Ok(buffer) => return Ok(buffer),
                Err(RecvTimeoutError::Disconnected) => return Err(self.fault()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.lane.fan.go_on()?;
            if self.lane.member.is_out() {
                return Err(Error::cancelled());
            }
            if self.waited >= limit {
                return Err(stalled(limit));
            }
        }
    }

    /// Why the thread ended.
    fn fault(&self) -> Error {
        let result = self.lane.result(self.lane.member.patience());
        result.err().unwrap_or_else(|| Error::new(ErrorKind::Broken, "its thread has ended"))
    }

    fn give_up(&mut self, error: Error) -> Result<()> {
        self.filling = Vec::new();
        self.lane.fan.leave_out(&self.lane.member, error)
    }

    /// Says that no more comes; doesn't wait.
    pub fn ask_finish(&mut self) -> Result<()> {
        if self.lane.member.is_out() {
            return Ok(());
        }
        if !self.filling.is_empty() {
            self.hand_over()?;
        }
        let _ = self.full.send(Load::Finish);
        self.is_asked = true;
        Ok(())
    }

    /// Waits until all bytes are durable.
    pub fn await_finish(&mut self) -> Result<()> {
        if self.lane.member.is_out() || !self.is_asked {
            return Ok(());
        }
        match self.lane.result(self.lane.member.patience()) {
            Ok(upload) => {
                let mut state = self.lane.state.lock().unwrap_or_else(PoisonError::into_inner);
                *state = State::Finished(upload);
                drop(state);
                // Who aborted while we waited found nothing to abort.
                if self.lane.aborted.load(Ordering::Acquire) {
                    self.lane.abort();
                }
                Ok(())
            }
            Err(error) => self.give_up(error),
        }
    }
}

impl Write for LaneSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
