//! An encoder of formats that consist of blocks: a sink that cuts the stream, has the blocks compressed on several threads,
//! and writes the results in order, from the caller's thread alone.
//!
//! Its destructor stops the threads and writes nothing: dropped before `finish`, it leaves a stream without an end.

use std::collections::VecDeque;
use std::io::{self, Write};

use windlass_plugin_api::{Finished, Result, Sink};

use crate::already_finished;
use crate::workers::{Done, Pending, Workers};

/// A format of blocks, while one stream is being written.
pub trait Format: Send {
    /// What each thread does.
    type Work: Work;

    /// The work of one more thread.
    fn work(&self) -> Self::Work;

    /// What stands before the first block.
    fn begin(&mut self) -> Vec<u8>;

    /// Called for each block in the order of the stream: its plain bytes, its compressed form before that is written, and
    /// what the work said of it.
    fn pass(&mut self, plain: &[u8], output: &mut Vec<u8>, said: <Self::Work as Work>::Said);

    /// What stands behind the last block.
    fn end(&mut self) -> Vec<u8>;
}

/// Compresses one block after the other; they need not be neighbours.
pub trait Work: Send + 'static {
    /// What is told of a block beside its bytes, such as a checksum.
    type Said: Send + 'static;

    /// Appends the compressed form of `block` to `output`, which is empty. `is_last` is the end of the stream; only that
    /// block, and one that was cut by a flush, may be smaller than the others. The last may be empty.
    fn run(&mut self, block: &Block, output: &mut Vec<u8>, is_last: bool) -> Result<Self::Said>;
}

/// Sizes and the name of the threads.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What the threads are called; the system shows 15 characters.
    pub name: &'static str,
    /// Plain bytes of a block.
    pub block_bytes: usize,
    /// How much of what came before a block is shown along with it.
    pub history_bytes: usize,
    /// At most so many threads are started, as they are needed. Each has one block to work on and one to go on with.
    pub threads: usize,
}

/// Plain bytes, behind those that came before them.
#[derive(Default)]
pub struct Block {
    bytes: Vec<u8>,
    history_bytes: usize,
}

impl Block {
    /// The end of what stands before this block in the stream.
    pub fn history(&self) -> &[u8] {
        &self.bytes[..self.history_bytes]
    }

    /// The block's own bytes.
    pub fn plain(&self) -> &[u8] {
        &self.bytes[self.history_bytes..]
    }

    /// A block of `bytes` with nothing before it.
    pub fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec(), history_bytes: 0 }
    }

    /// Takes as much of `bytes` as there is room for up to `most`, and says how much.
    fn take(&mut self, bytes: &[u8], most: usize) -> usize {
        let count = bytes.len().min(most - self.plain().len());
        self.bytes.extend_from_slice(&bytes[..count]);
        count
    }

    /// Empties `spare` and makes it the block that follows this one.
    fn followed_by(&self, mut spare: Self, history_bytes: usize) -> Self {
        let tail = &self.bytes[self.bytes.len().saturating_sub(history_bytes)..];
        spare.bytes.clear();
        spare.bytes.extend_from_slice(tail);
        spare.history_bytes = tail.len();
        spare
    }
}

/// A stream being written.
pub struct BlockEncoder<F: Format> {
    format: F,
    shape: Shape,
    block: Block,
    workers: Workers<F::Work>,
    /// In the order of the stream.
    pending: VecDeque<Pending<F::Work>>,
    /// Buffers to be used again.
    spare: Vec<(Block, Vec<u8>)>,
    is_begun: bool,
    is_over: bool,
    next: Box<dyn Sink>,
}

impl<F: Format> BlockEncoder<F> {
    /// Writes what `format` makes of the stream into `next`.
    pub fn new(format: F, shape: Shape, next: Box<dyn Sink>) -> Self {
        Self {
            format,
            shape,
            block: Block::default(),
            workers: Workers::new(shape.name, shape.threads),
            pending: VecDeque::new(),
            spare: Vec::new(),
            is_begun: false,
            is_over: false,
            next,
        }
    }

    /// Sends the block away and begins the next.
    fn cut(&mut self, is_last: bool) -> Result<()> {
        while self.pending.len() >= self.workers.most_pending() {
            self.put_one()?;
        }
        let (spare, output) = self.spare.pop().unwrap_or_default();
        let following = self.block.followed_by(spare, self.shape.history_bytes);
        let block = std::mem::replace(&mut self.block, following);
        let format = &self.format;
        let under_way = self.pending.len();
        self.pending.push_back(self.workers.submit(|| format.work(), block, output, is_last, under_way)?);
        Ok(())
    }

    /// Waits for the oldest block under way, and writes it. False if there is none.
    fn put_one(&mut self) -> Result<bool> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(false) };
        let done = oldest.wait()?;
        self.put(done)?;
        Ok(true)
    }

    fn put(&mut self, mut done: Done<F::Work>) -> Result<()> {
        if !self.is_begun {
            self.next.write_all(&self.format.begin())?;
            self.is_begun = true;
        }
        self.format.pass(done.block.plain(), &mut done.output, done.said);
        self.next.write_all(&done.output)?;
        self.spare.push((done.block, done.output));
        Ok(())
    }

    fn go_on(&self) -> Result<()> {
        if self.is_over { Err(already_finished()) } else { Ok(()) }
    }
}

impl<F: Format> Write for BlockEncoder<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.go_on()?;
        // Cut only when more comes: the last block must be told that it is the last.
        if self.block.plain().len() == self.shape.block_bytes && !bytes.is_empty() {
            self.cut(false)?;
        }
        Ok(self.block.take(bytes, self.shape.block_bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.go_on()?;
        if !self.block.plain().is_empty() {
            self.cut(false)?;
        }
        while self.put_one()? {}
        self.next.flush()
    }
}

impl<F: Format> Sink for BlockEncoder<F> {
    fn finish(&mut self) -> Result<Finished> {
        self.go_on()?;
        self.is_over = true;
        if self.pending.is_empty() && !self.is_begun {
            // A short stream isn't worth a thread.
            let block = std::mem::take(&mut self.block);
            let mut output = Vec::new();
            let said = self.format.work().run(&block, &mut output, true)?;
            self.put(Done { block, output, said })?;
        } else {
            self.cut(true)?;
            while self.put_one()? {}
        }
        self.next.write_all(&self.format.end())?;
        self.next.finish()?;
        Ok(Finished::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_neighbour() {
        let mut first = Block::default();
        assert_eq!(first.take(&[1; 107], 100), 100);
        let mut second = first.followed_by(Block::of(b"spare"), 30);
        assert_eq!((second.history(), second.plain()), (&[1; 30][..], &[][..]));
        assert_eq!(second.take(&[2; 107], 100), 100, "what came before takes no room");
        assert!(second.followed_by(Block::default(), 0).history().is_empty());
    }
}
