//! The writing end of a dump: it keeps the last bytes, for the dump program's own word that all is there, and the length of
//! the longest line, which is about what a server must take in one packet to load it.
//!
//! The dump programs write 4 KiB at a time. To be woken for each of these, and to send each through all that stands behind,
//! costs more than the rows in them: so what comes short is waited for a moment and gathered.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use windlass_plugin_api::{Error, Result, Sink};

/// What a whole dump's last line begins with.
pub(crate) const TRAILER: &[u8] = b"-- Dump completed";

/// A date may stand behind it.
const KEPT: usize = 256;

/// What is passed on at once, in bytes.
const PART: usize = 256 << 10;

/// What comes in less than this many bytes is waited for.
const SHORT: usize = 64 << 10;

/// For so long: a pipe doesn't fill up in that time, so the program never waits for us.
const MOMENT: Duration = Duration::from_micros(300);

/// A sink that looks at what goes through.
pub(crate) struct Watched<'a> {
    next: &'a mut dyn Sink,
    gathered: Vec<u8>,
    tail: Vec<u8>,
    line: u64,
    /// Bytes of the longest line.
    pub(crate) longest_line: u64,
    /// The first bytes, where the dump says which position of the log it has.
    pub(crate) head: Vec<u8>,
}

impl<'a> Watched<'a> {
    pub(crate) fn new(next: &'a mut dyn Sink) -> Self {
        Self {
            next,
            gathered: Vec::with_capacity(2 * PART),
            tail: Vec::new(),
            line: 0,
            longest_line: 0,
            head: Vec::new(),
        }
    }

    /// Whether the last line is a whole dump's.
    pub(crate) fn judge(&self) -> Result<()> {
        let text = self.tail.trim_ascii_end();
        let line = text.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.starts_with(TRAILER) {
            return Ok(());
        }
        Err(Error::failed("the dump doesn't end with `-- Dump completed`").hint(
            "The dump program ended well without finishing: arguments that leave its comments out must go.",
        ))
    }

    fn look(&mut self, bytes: &[u8]) {
        let mut from = 0;
        for end in memchr::memchr_iter(b'\n', bytes) {
            self.longest_line = self.longest_line.max(self.line + (end - from) as u64);
            self.line = 0;
            from = end + 1;
        }
        self.line += (bytes.len() - from) as u64;
        if self.head.len() < 4096 {
            self.head.extend(bytes.iter().take(4096 - self.head.len()));
        }
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        self.tail.drain(..self.tail.len().saturating_sub(KEPT));
    }
}

impl Write for Watched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.look(bytes);
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= PART {
            self.flush()?;
        } else if bytes.len() < SHORT {
            thread::sleep(MOMENT);
        }
        Ok(bytes.len())
    }

    /// Passes on what was gathered.
    fn flush(&mut self) -> io::Result<()> {
        self.next.write_all(&self.gathered)?;
        self.gathered.clear();
        Ok(())
    }
}
