//! A writer into memory that has an end.

use std::io::{self, Write};

use windlass_plugin_api::Error;

/// The most that is kept, in bytes: definitions of tables, and code.
const MOST: usize = 256 << 20;

/// Keeps what is written, up to a bound.
pub(crate) struct Bounded<'a>(pub(crate) &'a mut Vec<u8>);

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST {
            return Err(
                Error::failed("what the server tells of its databases is larger than 256 MiB").into_io()
            );
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
