//! A thread and a few recycled buffers between two stages, so that they work at the same time.
//!
//! The memory is bounded ([`BUFFERS`] × [`BUFFER_BYTES`] a hop); a full queue is the back-pressure. A hop also gathers
//! small writes, so that what is behind it sees large ones.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use windlass_plugin_api::{Error, Finished, Reader, Result, Sink};

use super::tail::read_full;

/// Bytes of one buffer.
pub const BUFFER_BYTES: usize = 256 << 10;
/// Buffers of one hop.
pub const BUFFERS: usize = 8;

enum Load {
    Bytes(Vec<u8>),
    Finish,
}

/// A sink that another thread empties into the next one.
pub struct WriteHop {
    filling: Vec<u8>,
    full: Option<SyncSender<Load>>,
    empty: Receiver<Vec<u8>>,
    worker: Option<JoinHandle<Result<Finished>>>,
    failed: Arc<Mutex<Option<Error>>>,
}

impl WriteHop {
    /// Moves the work of `next` to a thread of its own. Dropping the hop unfinished aborts `next` and waits for that.
    pub fn new(next: Box<dyn Sink>, name: &str) -> Result<Self> {
        let (full, loads) = sync_channel(BUFFERS);
        let (give_back, empty) = sync_channel(BUFFERS + 1);
        for _ in 1..BUFFERS {
            let _ = give_back.send(Vec::with_capacity(BUFFER_BYTES));
        }
        let failed = Arc::new(Mutex::new(None));
        let tell = failed.clone();
        let worker = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            carry(next, &loads, &give_back).inspect_err(|error| {
                *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            })
        })?;
        let filling = Vec::with_capacity(BUFFER_BYTES);
        Ok(Self { filling, full: Some(full), empty, worker: Some(worker), failed })
    }

    fn send(&mut self, load: Load) -> Result<()> {
        let sent = self.full.as_ref().is_some_and(|full| full.send(load).is_ok());
        if sent { Ok(()) } else { Err(self.fault()) }
    }

    /// Hands the filled buffer over and takes an empty one.
    fn hand_over(&mut self) -> Result<()> {
        let next = self.empty.recv().map_err(|_| self.fault())?;
        let full = std::mem::replace(&mut self.filling, next);
        self.send(Load::Bytes(full))
    }

    /// Why the thread ended.
    fn fault(&mut self) -> Error {
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed.unwrap_or_else(|| Error::failed("the next stage has ended"))
    }
}

fn carry(
    mut next: Box<dyn Sink>,
    loads: &Receiver<Load>,
    give_back: &SyncSender<Vec<u8>>,
) -> Result<Finished> {
    loop {
        match loads.recv() {
            Ok(Load::Bytes(mut bytes)) => {
                next.write_all(&bytes)?;
                bytes.clear();
                let _ = give_back.send(bytes);
            }
            Ok(Load::Finish) => return next.finish(),
            Err(_) => return Err(Error::cancelled()),
        }
    }
}

impl Write for WriteHop {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BUFFER_BYTES - self.filling.len();
        let count = room.min(bytes.len());
        self.filling.extend_from_slice(&bytes[..count]);
        if self.filling.len() == BUFFER_BYTES {
            self.hand_over()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl WriteHop {
    /// Says that no more comes; doesn't wait.
    pub fn ask_finish(&mut self) -> Result<()> {
        if !self.filling.is_empty() {
            self.hand_over()?;
        }
        self.send(Load::Finish)
    }

    /// Waits for the end that was asked for.
    pub fn await_finish(&mut self) -> Result<Finished> {
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            _ => Err(Error::failed("a stage's thread panicked")),
        }
    }
}

impl Sink for WriteHop {
    fn finish(&mut self) -> Result<Finished> {
        self.ask_finish()?;
        self.await_finish()
    }
}

impl Drop for WriteHop {
    fn drop(&mut self) {
        self.full = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

/// A reader that another thread fills ahead.
pub struct ReadHop {
    current: Vec<u8>,
    at: usize,
    full: Option<Receiver<io::Result<Vec<u8>>>>,
    empty: Option<SyncSender<Vec<u8>>>,
    worker: Option<JoinHandle<()>>,
    /// What the input failed with: every later read fails with it, too, for none may take it for the end.
    failure: Option<Error>,
    is_ended: bool,
}

impl ReadHop {
    /// Reads `input` ahead on a thread of its own.
    pub fn new(input: Reader, name: &str) -> Result<Self> {
        Self::deep(input, name, BUFFERS)
    }

    /// As [`new`](Self::new), with so many buffers.
    pub fn deep(input: Reader, name: &str, buffers: usize) -> Result<Self> {
        let (fill, full) = sync_channel(buffers);
        let (empty, to_fill) = sync_channel(buffers);
        for _ in 1..buffers {
            // As many as there are places: sending never waits.
            let _ = empty.send(Vec::with_capacity(BUFFER_BYTES));
        }
        let worker = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || read_ahead(input, &to_fill, &fill))?;
        let current = Vec::with_capacity(BUFFER_BYTES);
        Ok(Self {
            current,
            at: 0,
            full: Some(full),
            empty: Some(empty),
            worker: Some(worker),
            failure: None,
            is_ended: false,
        })
    }

    /// The next full buffer; an empty one is the end.
    fn next(&mut self) -> Result<Vec<u8>> {
        let full = self.full.as_ref().and_then(|full| full.recv().ok());
        Ok(full.ok_or_else(|| Error::failed("the stage before has ended"))??)
    }
}

/// Sends filled buffers, then an empty one for end-of-file, or an error.
fn read_ahead(mut input: Reader, to_fill: &Receiver<Vec<u8>>, fill: &SyncSender<io::Result<Vec<u8>>>) {
    while let Ok(mut buffer) = to_fill.recv() {
        // All but the last come back at their full length: a buffer is zeroed once, not each time.
        buffer.resize(BUFFER_BYTES, 0);
        let read = read_full(&mut input, &mut buffer);
        buffer.truncate(*read.as_ref().unwrap_or(&0));
        let is_end = buffer.is_empty();
        if fill.send(read.map(|_| buffer)).is_err() || is_end {
            return;
        }
    }
}

impl Read for ReadHop {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into_io());
        }
        if self.at == self.current.len() && !self.is_ended {
            let next = self.next().inspect_err(|error| self.failure = Some(error.clone()))?;
            self.is_ended = next.is_empty();
            let spent = std::mem::replace(&mut self.current, next);
            self.at = 0;
            if let Some(empty) = &self.empty {
                let _ = empty.send(spent);
            }
        }
        let count = buffer.len().min(self.current.len() - self.at);
        buffer[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

impl Drop for ReadHop {
    fn drop(&mut self) {
        self.full = None;
        self.empty = None;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windlass_plugin_api::ErrorKind;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<(Vec<u8>, bool)>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut kept = self.0.lock().unwrap();
            if kept.0.len() > 3 * BUFFER_BYTES {
                return Err(Error::new(ErrorKind::Full, "no room").into_io());
            }
            kept.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Kept {
        fn finish(&mut self) -> Result<Finished> {
            self.0.lock().unwrap().1 = true;
            Ok(Finished::default())
        }
    }

    #[test]
    fn bytes_arrive_in_order_and_finish_is_passed_on() {
        let kept = Kept::default();
        let mut hop = WriteHop::new(Box::new(kept.clone()), "test").unwrap();
        let bytes: Vec<u8> = (0..BUFFER_BYTES + 7).map(|i| (i % 251) as u8).collect();
        for piece in bytes.chunks(1000) {
            hop.write_all(piece).unwrap();
        }
        hop.finish().unwrap();
        let kept = kept.0.lock().unwrap();
        assert!(kept.0 == bytes && kept.1);
    }

    #[test]
    fn an_error_behind_the_hop_comes_back_as_itself() {
        let mut hop = WriteHop::new(Box::new(Kept::default()), "test").unwrap();
        let piece = vec![1u8; BUFFER_BYTES];
        let error = (0..100).find_map(|_| hop.write_all(&piece).err()).expect("the sink is full");
        let error = Error::from(error);
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Full, "no room"));
    }

    #[test]
    fn a_dropped_hop_finishes_nothing() {
        let kept = Kept::default();
        let mut hop = WriteHop::new(Box::new(kept.clone()), "test").unwrap();
        hop.write_all(b"abc").unwrap();
        drop(hop);
        assert!(!kept.0.lock().unwrap().1);
    }

    #[test]
    fn reading_ahead_gives_the_same_bytes_and_the_same_error() {
        struct Fails(usize);
        impl Read for Fails {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if self.0 == 0 {
                    return Err(Error::damaged("bad block").into_io());
                }
                let count = buffer.len().min(self.0).min(1000);
                buffer[..count].fill(7);
                self.0 -= count;
                Ok(count)
            }
        }
        let bytes: Vec<u8> = (0..3 * BUFFER_BYTES + 11).map(|i| (i % 241) as u8).collect();
        let mut read = Vec::new();
        ReadHop::new(Box::new(io::Cursor::new(bytes.clone())), "test")
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == bytes);
        let mut hop = ReadHop::new(Box::new(Fails(BUFFER_BYTES * 2)), "test").unwrap();
        let error = Error::from(hop.read_to_end(&mut Vec::new()).unwrap_err());
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Damaged, "bad block"));
        let again = Error::from(hop.read(&mut [0]).expect_err("no end of file behind an error"));
        assert_eq!(again.message, "bad block");
    }

    #[test]
    fn a_reader_that_panics_is_an_error_and_no_end() {
        struct Panics;
        impl Read for Panics {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("for the test")
            }
        }
        let mut hop = ReadHop::new(Box::new(Panics), "test").unwrap();
        for _ in 0..2 {
            hop.read(&mut [0; 10]).unwrap_err();
        }
    }
}
