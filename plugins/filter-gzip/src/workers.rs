//! The threads that compress the blocks of one stream.
//!
//! They are started as they are needed, up to a bound, and live as long as the stream: dropping [`Workers`] stops and awaits
//! them. They hand their results back and write nothing themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use windlass_plugin_api::{Error, Result};

use crate::compress::{Block, Compressed, Compressor};

/// Where a result will arrive.
pub struct Pending(Receiver<Result<Compressed>>);

impl Pending {
    /// Waits for it.
    pub fn wait(self) -> Result<Compressed> {
        self.0.recv().unwrap_or_else(|_| Err(Error::failed("a thread that compresses has ended")))
    }
}

struct Job {
    block: Block,
    output: Vec<u8>,
    is_last: bool,
    reply: Sender<Result<Compressed>>,
}

/// The threads of one stream.
pub struct Workers {
    level: u32,
    most: usize,
    /// Taken to end the threads.
    jobs: Option<Sender<Job>>,
    queue: Arc<Mutex<Receiver<Job>>>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// At most `most` threads; none yet.
    pub fn new(level: u32, most: usize) -> Self {
        let (jobs, queue) = mpsc::channel();
        Self {
            level,
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

    /// Has `block` compressed into `output`. `pending` blocks are under way already.
    pub fn submit(
        &mut self,
        block: Block,
        output: Vec<u8>,
        is_last: bool,
        pending: usize,
    ) -> Result<Pending> {
        if self.threads.len() < self.most && self.threads.len() <= pending {
            self.start_one()?;
        }
        let (reply, result) = mpsc::channel();
        let job = Job { block, output, is_last, reply };
        // Can't fail: the queue's other end lives in `self`.
        self.jobs.as_ref().map(|jobs| jobs.send(job));
        Ok(Pending(result))
    }

    fn start_one(&mut self) -> Result<()> {
        let (level, queue, stopped) = (self.level, self.queue.clone(), self.stopped.clone());
        let started = thread::Builder::new()
            .name("windlass-gzip".to_owned())
            .spawn(move || work(level, &queue, &stopped));
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

impl Drop for Workers {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // One that panicked has been told of by `Pending::wait`.
            let _ = thread.join();
        }
    }
}

fn work(level: u32, queue: &Mutex<Receiver<Job>>, stopped: &AtomicBool) {
    let mut compressor = Compressor::new(level);
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) if !stopped.load(Ordering::Acquire) => {
                // Nobody waits for it after an abort.
                let _ = job.reply.send(compressor.run(job.block, job.output, job.is_last));
            }
            _ => return,
        }
    }
}
