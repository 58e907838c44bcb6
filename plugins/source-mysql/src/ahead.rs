//! Reads on while the program that is fed is busy: a client that has sent a statement finds the next one ready.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use windlass_plugin_api::{Error, Result};

/// What is read at once, in bytes.
const PART: usize = 256 << 10;

/// How many parts may wait: two of the largest statements that dumps usually have.
const PARTS: usize = 8;

/// Runs `work` with a reader of what `input` gives, which is read by a thread of its own, and gives `input` back.
pub(crate) fn ahead<R: Read + Send, T>(
    mut input: R,
    work: impl FnOnce(&mut dyn Read) -> Result<T>,
) -> Result<(T, R)> {
    let (sender, parts) = sync_channel(PARTS);
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            read(&mut input, &sender);
            input
        });
        let mut ahead = Ahead { parts, part: Vec::new(), given: 0, ended: false };
        let result = work(&mut ahead);
        // Whoever still reads must not wait for us.
        drop(ahead);
        let input = reading.join().map_err(|_| Error::failed("a thread panicked"))?;
        Ok((result?, input))
    })
}

/// Reads to the end, to an error, or until nobody wants it any more.
fn read(input: &mut impl Read, sender: &SyncSender<io::Result<Vec<u8>>>) {
    loop {
        let mut part = vec![0; PART];
        let part = match input.read(&mut part) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
            Ok(count) => {
                part.truncate(count);
                Ok(part)
            }
        };
        // An empty part is the end, and said: a thread that is gone without it has failed.
        let ended = part.as_ref().map_or(true, Vec::is_empty);
        if sender.send(part).is_err() || ended {
            return;
        }
    }
}

struct Ahead {
    parts: Receiver<io::Result<Vec<u8>>>,
    part: Vec<u8>,
    given: usize,
    ended: bool,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.part.len() && !self.ended {
            let part = self.parts.recv().map_err(|_| io::Error::other("the thread that reads is gone"))?;
            (self.part, self.given) = (part?, 0);
            self.ended = self.part.is_empty();
        }
        let count = buffer.len().min(self.part.len() - self.given);
        buffer[..count].copy_from_slice(&self.part[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_it_comes_and_so_does_an_error() {
        let bytes: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        let (copy, _) = ahead(bytes.as_slice(), |reader| {
            let mut copy = Vec::new();
            reader.read_to_end(&mut copy)?;
            // The end stays the end.
            assert_eq!(reader.read(&mut [0; 9])?, 0);
            Ok(copy)
        })
        .unwrap();
        assert!(copy == bytes);
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Error::damaged("torn").into_io())
            }
        }
        let torn = bytes.as_slice().chain(Broken);
        let result = ahead(torn, |reader| Ok(io::copy(reader, &mut io::sink())?));
        assert_eq!(result.err().unwrap().kind, windlass_plugin_api::ErrorKind::Damaged);
        // Who stops early waits for nobody.
        ahead(io::repeat(1), |reader| Ok(reader.read(&mut [0; 9])?)).unwrap();
    }
}
