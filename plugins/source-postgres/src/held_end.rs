//! A reader that holds back its last piece until the input's end was reached well.
//!
//! The host does the same for a snapshot's stored bytes. This one holds also where a stream is bare, and knows nothing of what
//! it reads.

use std::io::{self, Read};

use windlass_plugin_api::Reader;

/// Reads a step ahead and gives a piece only once the next one came: whoever is fed by it can't have all before the input's
/// end was reached well. `pg_restore` doesn't wait for end-of-file before it commits; it does need its last byte.
pub(crate) struct Held {
    input: Reader,
    now: Vec<u8>,
    at: usize,
    next: Vec<u8>,
    ended: bool,
}

const PIECE: usize = 256 << 10;

impl Held {
    /// `input`, its last piece held back until its end.
    pub(crate) fn new(input: Reader) -> Self {
        Self { input, now: Vec::new(), at: 0, next: Vec::new(), ended: false }
    }

    fn fetch(&mut self) -> io::Result<()> {
        self.next.resize(PIECE, 0);
        let count = loop {
            match self.input.read(&mut self.next) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.next.truncate(count);
        self.ended = count == 0;
        Ok(())
    }
}

impl Read for Held {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.now.len() {
            if self.next.is_empty() && !self.ended {
                self.fetch()?;
            }
            std::mem::swap(&mut self.now, &mut self.next);
            self.at = 0;
            self.next.clear();
            // What is in hand is given out only if there is more behind it, or a good end.
            let fetched = if self.ended { Ok(()) } else { self.fetch() };
            fetched.inspect_err(|_| self.now.clear())?;
        }
        let count = buffer.len().min(self.now.len() - self.at);
        buffer[..count].copy_from_slice(&self.now[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use windlass_plugin_api::Error;

    use super::*;

    /// Gives its bytes in small pieces, then an error.
    struct Breaks(Cursor<Vec<u8>>);

    impl Read for Breaks {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(7);
            match self.0.read(&mut buffer[..most])? {
                0 => Err(Error::damaged("the end differs").into_io()),
                count => Ok(count),
            }
        }
    }

    #[test]
    fn the_last_piece_is_held_back_until_the_end_is_good() {
        let bytes: Vec<u8> = (0..100).collect();
        let (mut all, mut part) = (Vec::new(), Vec::new());
        Held::new(Box::new(Cursor::new(bytes.clone()))).read_to_end(&mut all).unwrap();
        assert_eq!(all, bytes);
        let error = Held::new(Box::new(Breaks(Cursor::new(bytes)))).read_to_end(&mut part).unwrap_err();
        assert_eq!(Error::from(error).message, "the end differs");
        assert_eq!(part.len(), 98);
        all.clear();
        Held::new(Box::new(io::empty())).read_to_end(&mut all).unwrap();
        assert!(all.is_empty());
    }
}
