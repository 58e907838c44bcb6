//! The threads that compress the blocks of one stream.
//!
//! They are started as they are needed, up to a bound, and live as long as the stream: dropping [`Workers`] stops and awaits
//! them. They hand their results back and write nothing themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use windlass_plugin_api::{Error, Result};

use crate::block::{Block, Work};

/// A block that was compressed.
pub struct Done<W: Work> {
    pub block: Block,
    pub output: Vec<u8>,
    pub said: W::Said,
}

/// Where a result will arrive.
pub struct Pending<W: Work>(Receiver<Result<Done<W>>>);

impl<W: Work> Pending<W> {
    /// Waits for it.
    pub fn wait(self) -> Result<Done<W>> {
        self.0.recv().unwrap_or_else(|_| Err(Error::failed("a thread that compresses has ended")))
    }
}

struct Job<W: Work> {
    block: Block,
    output: Vec<u8>,
    is_last: bool,
    reply: Sender<Result<Done<W>>>,
}

/// The threads of one stream.
pub struct Workers<W: Work> {
    name: &'static str,
    most: usize,
    /// Taken to end the threads.
    jobs: Option<Sender<Job<W>>>,
    queue: Arc<Mutex<Receiver<Job<W>>>>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl<W: Work> Workers<W> {
    /// At most `most` threads; none yet.
    pub fn new(name: &'static str, most: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        Self {
            name,
            most,
            jobs: Some(jobs),
            queue: Arc::new(Mutex::new(queue)),
            stopped: Arc::default(),
            threads: Vec::new(),
        }
    }

    /// How many blocks may be under way: each thread has one to work on and one to go on with.
    pub fn most_pending(&self) -> usize {
        2 * self.most
    }

    /// Has `block` compressed into `output`. `pending` blocks are under way already; `work` is for one more thread.
    pub fn submit(
        &mut self,
        work: impl FnOnce() -> W,
        block: Block,
        mut output: Vec<u8>,
        is_last: bool,
        pending: usize,
    ) -> Result<Pending<W>> {
        if self.threads.len() < self.most && self.threads.len() <= pending {
            self.start_one(work())?;
        }
        output.clear();
        let (reply, result) = mpsc::channel();
        let job = Job { block, output, is_last, reply };
        // Can't fail: the queue's other end lives in `self`.
        self.jobs.as_ref().map(|jobs| jobs.send(job));
        Ok(Pending(result))
    }

    fn start_one(&mut self, work: W) -> Result<()> {
        let (queue, stopped) = (self.queue.clone(), self.stopped.clone());
        let started =
            thread::Builder::new().name(self.name.to_owned()).spawn(move || run(work, &queue, &stopped));
        match started {
            Ok(thread) => self.threads.push(thread),
            Err(error) if self.threads.is_empty() => {
                return Err(Error::from(error).during("can't start a thread that compresses"));
            }
            // The others do it, only slower.
            Err(_) => self.most = self.threads.len(),
        }
        Ok(())
    }
}

impl<W: Work> Drop for Workers<W> {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // One that panicked has been told of by `Pending::wait`.
            let _ = thread.join();
        }
    }
}

fn run<W: Work>(mut work: W, queue: &Mutex<Receiver<Job<W>>>, stopped: &AtomicBool) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(Job { block, mut output, is_last, reply }) if !stopped.load(Ordering::Acquire) => {
                let said = work.run(&block, &mut output, is_last);
                // Nobody waits for it after an abort.
                let _ = reply.send(said.map(|said| Done { block, output, said }));
            }
            _ => return,
        }
    }
}
