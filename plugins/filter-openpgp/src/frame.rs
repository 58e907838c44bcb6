//! Writing packets: one whose length isn't known before its end goes out in parts of a fixed size.
//!
//! Nothing of a part is written before it is full, and only the bytes that fill none are held. What a packet holds is not
//! known here.

use std::io::{self, Write};

/// The size of a part as a power of two: 64 KiB.
const PART_BITS: u8 = 16;
const PART_BYTES: usize = 1 << PART_BITS;
/// What a length octet of a part begins with.
const PART_MARK: u8 = 0xe0;
/// What the first octet of a packet begins with.
const PACKET_MARK: u8 = 0xc0;

/// The body of one packet being written.
pub struct Framed<W> {
    next: W,
    /// What fills no part yet.
    held: Vec<u8>,
}

impl<W: Write> Framed<W> {
    /// Begins a packet of the kind `tag`.
    pub fn new(mut next: W, tag: u8) -> io::Result<Self> {
        next.write_all(&[PACKET_MARK | tag])?;
        Ok(Self { next, held: Vec::with_capacity(PART_BYTES) })
    }

    /// Writes the last part, and gives back what is behind.
    pub fn finish(mut self) -> io::Result<W> {
        self.next.write_all(&length(self.held.len() as u32))?;
        self.next.write_all(&self.held)?;
        Ok(self.next)
    }
}

impl<W: Write> Write for Framed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while self.held.len() + rest.len() >= PART_BYTES {
            let (part, behind) = rest.split_at(PART_BYTES - self.held.len());
            self.next.write_all(&[PART_MARK | PART_BITS])?;
            if !self.held.is_empty() {
                self.next.write_all(&self.held)?;
                self.held.clear();
            }
            self.next.write_all(part)?;
            rest = behind;
        }
        self.held.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.next.flush()
    }
}

/// The octets that say a length.
fn length(count: u32) -> Vec<u8> {
    match count {
        0..192 => vec![count as u8],
        192..8384 => vec![((count - 192) >> 8) as u8 + 192, (count - 192) as u8],
        _ => [&[0xff][..], &count.to_be_bytes()].concat(),
    }
}

/// A whole packet.
pub fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    [&[PACKET_MARK | tag], &length(body.len() as u32)[..], body].concat()
}
