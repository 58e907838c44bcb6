//! Reading packets: headers of both formats, bodies in one piece or in parts.
//!
//! It takes nothing on trust: what ends before its length said so is truncated. What a packet holds is not known here, and
//! nothing larger than its caller allows is kept.

use std::io::{self, BufRead, Read};

use windlass_plugin_api::{Error, Result};

/// Kinds of packets.
pub mod tag {
    pub const PKESK: u8 = 1;
    pub const SIGNATURE: u8 = 2;
    pub const SKESK: u8 = 3;
    pub const ONE_PASS: u8 = 4;
    pub const SECRET_KEY: u8 = 5;
    pub const PUBLIC_KEY: u8 = 6;
    pub const SECRET_SUBKEY: u8 = 7;
    pub const COMPRESSED: u8 = 8;
    pub const UNPROTECTED: u8 = 9;
    pub const MARKER: u8 = 10;
    pub const LITERAL: u8 = 11;
    pub const PUBLIC_SUBKEY: u8 = 14;
    pub const PROTECTED: u8 = 18;
    pub const GNUPG_AEAD: u8 = 20;
    pub const PADDING: u8 = 21;
}

/// How much of a body is still to come.
enum Left {
    /// So many bytes.
    Last(u64),
    /// So many, and then another length.
    Part(u64),
    /// All of the input.
    Endless,
}

/// A row of packets.
pub struct Packets<R> {
    input: R,
    left: Left,
}

impl<R: BufRead> Packets<R> {
    pub fn new(input: R) -> Self {
        Self { input, left: Left::Last(0) }
    }

    /// The kind of the next packet; none at the end. The body of the one before must have been read.
    pub fn next(&mut self) -> Result<Option<u8>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let first = self.octet()?;
        if first & 0x80 == 0 {
            return Err(Error::damaged("there are bytes that belong to no OpenPGP packet"));
        }
        if first & 0x40 != 0 {
            self.left = self.length()?;
            return Ok(Some(first & 0x3f));
        }
        self.left = match first & 3 {
            0 => Left::Last(self.number(1)?),
            1 => Left::Last(self.number(2)?),
            2 => Left::Last(self.number(4)?),
            _ => Left::Endless,
        };
        Ok(Some((first >> 2) & 0x0f))
    }

    /// Fills `buffer`, which isn't empty, as far as it can; 0 is the end of the body.
    pub fn body(&mut self, buffer: &mut [u8]) -> Result<usize> {
        loop {
            let left = match &mut self.left {
                Left::Endless => return Ok(self.input.read(buffer)?),
                Left::Last(0) => return Ok(0),
                Left::Part(0) => {
                    self.left = self.length()?;
                    continue;
                }
                Left::Last(left) | Left::Part(left) => left,
            };
            let room = buffer.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            let count = self.input.read(&mut buffer[..room])?;
            *left -= count as u64;
            return if count == 0 { Err(truncated()) } else { Ok(count) };
        }
    }

    /// The whole body, which must not be larger than `limit`.
    pub fn small(&mut self, limit: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.body(&mut buffer)? {
                0 => return Ok(bytes),
                count if bytes.len() + count > limit => {
                    return Err(Error::damaged("the OpenPGP stream has a packet that is too large"));
                }
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// Fills `wanted` from the body.
    pub fn exact(&mut self, mut wanted: &mut [u8]) -> Result<()> {
        while !wanted.is_empty() {
            match self.body(wanted)? {
                0 => return Err(Error::damaged("the OpenPGP stream has a packet that is too short")),
                count => wanted = &mut wanted[count..],
            }
        }
        Ok(())
    }

    fn length(&mut self) -> Result<Left> {
        Ok(match self.octet()? {
            short @ 0..192 => Left::Last(short.into()),
            high @ 192..224 => Left::Last(((u64::from(high) - 192) << 8) + u64::from(self.octet()?) + 192),
            part @ 224..255 => Left::Part(1 << (part & 0x1f)),
            255 => Left::Last(self.number(4)?),
        })
    }

    fn number(&mut self, octets: usize) -> Result<u64> {
        (0..octets).try_fold(0, |number, _| Ok(number << 8 | u64::from(self.octet()?)))
    }

    fn octet(&mut self) -> Result<u8> {
        let octet = *self.input.fill_buf()?.first().ok_or_else(truncated)?;
        self.input.consume(1);
        Ok(octet)
    }
}

/// The body of the packet that was come to last, which must be the last one: its end is told only when nothing follows.
pub struct Body<R>(pub Packets<R>);

impl<R: BufRead> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.0.body(buffer)?;
        if count == 0 && self.0.next()?.is_some() {
            return Err(Error::damaged("something follows the end of the OpenPGP message").into_io());
        }
        Ok(count)
    }
}

pub fn truncated() -> Error {
    Error::damaged("the OpenPGP stream is truncated")
}
