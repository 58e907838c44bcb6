//! A data connection: the bytes of one file, or the lines of one listing.
//!
//! Whether a transfer was whole is said on the control connection; that belongs to the session.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::Fault;
use super::control::{Wire, lost};

/// No name is as long as this.
const LINE_BYTES: u64 = 64 * 1024;

pub struct Data {
    pub(super) wire: Box<dyn Wire>,
    patience: Duration,
}

impl Data {
    pub(super) fn new(wire: Box<dyn Wire>, patience: Duration) -> Self {
        Self { wire, patience }
    }

    /// Sends all of `bytes`.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let count = self.within(self.patience).write(bytes).await?;
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// The next bytes; 0 at the end. Whether that is the file's end is for the control connection to say: some servers
    /// end TLS without a word.
    pub async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Fault> {
        self.within(self.patience).read(buffer).await
    }

    pub fn lines(self) -> Lines {
        let Self { wire, patience } = self;
        Lines { wire: BufReader::new(wire), patience }
    }

    /// Says that nothing more comes.
    pub(super) async fn end(&mut self) -> Result<(), Fault> {
        let ended = timeout(self.patience, self.wire.shutdown()).await;
        ended.map_err(|_| Fault::Silent(self.patience))?.map_err(|error| lost(&error))
    }

    fn within(&mut self, limit: Duration) -> Within<'_> {
        Within { wire: &mut *self.wire, limit }
    }
}

struct Within<'a> {
    wire: &'a mut dyn Wire,
    limit: Duration,
}

impl Within<'_> {
    async fn write(self, bytes: &[u8]) -> Result<usize, Fault> {
        let written = timeout(self.limit, async {
            let count = self.wire.write(bytes).await?;
            self.wire.flush().await?;
            Ok::<_, std::io::Error>(count)
        });
        match written.await.map_err(|_| Fault::Silent(self.limit))? {
            Ok(0) => Err(Fault::Lost("the server takes no more".to_owned())),
            Ok(count) => Ok(count),
            Err(error) => Err(lost(&error)),
        }
    }

    async fn read(self, buffer: &mut [u8]) -> Result<usize, Fault> {
        let read = timeout(self.limit, self.wire.read(buffer)).await;
        match read.map_err(|_| Fault::Silent(self.limit))? {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
            read => read.map_err(|error| lost(&error)),
        }
    }
}

/// The lines of a listing.
pub struct Lines {
    wire: BufReader<Box<dyn Wire>>,
    patience: Duration,
}

impl Lines {
    /// The next line; `None` at the end. What isn't UTF-8 in it is no key's name and comes as the sign for that.
    pub async fn next(&mut self) -> Result<Option<String>, Fault> {
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.wire).take(LINE_BYTES);
        let read = timeout(self.patience, bounded.read_until(b'\n', &mut bytes)).await;
        match read.map_err(|_| Fault::Silent(self.patience))? {
            Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => return Err(lost(&error)),
            _ if bytes.is_empty() => return Ok(None),
            _ => {}
        }
        if bytes.len() as u64 >= LINE_BYTES {
            return Err(Fault::Odd("a line of its listing has no end".to_owned()));
        }
        Ok(Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()))
    }

    pub(super) fn into_data(self) -> Data {
        Data { wire: self.wire.into_inner(), patience: self.patience }
    }
}
