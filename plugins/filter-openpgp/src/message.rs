//! What is inside the encryption: a packet of plain bytes, perhaps compressed, perhaps signed.
//!
//! It hands on plain bytes as they come, and tells their end only when everything behind them was read, proved and found to
//! be what was announced. One layer of compression is all there may be: more are only good for filling disks.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::{DeflateDecoder, ZlibDecoder};
use pgp::composed::SignedPublicKey;
use pgp::packet::{OnePassSignature, PacketHeader, Signature};
use pgp::types::Tag;
use windlass_plugin_api::{Error, Reader, Result};

use crate::decode::as_damage;
use crate::packets::{Body, Packets, tag, truncated};
use crate::verify::{self, Check};

/// What is read at a time.
const BUFFER_BYTES: usize = 64 * 1024;
/// No signature is larger.
const MAX_SIGNATURE_BYTES: usize = 64 * 1024;
/// Nobody signs as often.
const MOST_SIGNATURES: usize = 16;

type Input = Box<dyn BufRead + Send>;

/// A reader of the plain bytes in `input`. With `signers`, one of them must have signed.
pub fn open(input: Input, signers: Option<Vec<SignedPublicKey>>) -> Result<Reader> {
    let mut packets = Packets::new(input);
    let mut checks = Vec::new();
    let mut is_compressed = false;
    loop {
        match packets.next()?.ok_or_else(truncated)? {
            tag::LITERAL => break,
            tag::MARKER | tag::PADDING => skip(&mut packets)?,
            tag::ONE_PASS if checks.len() < MOST_SIGNATURES => {
                let bytes = packets.small(MAX_SIGNATURE_BYTES)?;
                let announced =
                    OnePassSignature::try_from_reader(header(Tag::OnePassSignature, &bytes), &bytes[..]);
                let announced = announced.map_err(|_| damaged("announces a signature that can't be read"))?;
                checks.push(Check::new(announced, signers.is_some()));
            }
            tag::COMPRESSED if !is_compressed && checks.is_empty() => {
                is_compressed = true;
                packets = Packets::new(decompressed(packets)?);
            }
            tag::COMPRESSED => return Err(damaged("is compressed more than once")),
            _ => return Err(damaged("holds something else than data")),
        }
    }
    if signers.is_some() && checks.is_empty() {
        return Err(verify::unsigned());
    }
    let mut about = [0; 2];
    packets.exact(&mut about)?;
    let [kind, name_length] = about;
    // The name and a date: no matter here.
    packets.exact(&mut vec![0; usize::from(name_length) + 4])?;
    let is_text = matches!(kind, b't' | b'u');
    Ok(Box::new(Plain { packets, checks, signers, is_text, has_ended: false }))
}

/// Passes over a body, whatever its size.
fn skip(packets: &mut Packets<Input>) -> Result<()> {
    let mut buffer = [0; 4096];
    while packets.body(&mut buffer)? > 0 {}
    Ok(())
}

fn damaged(what: &str) -> Error {
    Error::damaged(format!("the OpenPGP message {what}"))
}

fn header(tag: Tag, bytes: &[u8]) -> PacketHeader {
    PacketHeader::new_fixed(tag, bytes.len() as u32)
}

/// The packets inside a compressed one.
fn decompressed(mut packets: Packets<Input>) -> Result<Input> {
    let mut algorithm = [0];
    packets.exact(&mut algorithm)?;
    let body = BufReader::with_capacity(BUFFER_BYTES, Body(packets));
    let buffered = |reader: Reader| -> Input { Box::new(BufReader::with_capacity(BUFFER_BYTES, reader)) };
    Ok(match algorithm[0] {
        0 => Box::new(body),
        1 => buffered(Box::new(Whole { codec: DeflateDecoder::new(body), rest: DeflateDecoder::get_mut })),
        2 => buffered(Box::new(Whole { codec: ZlibDecoder::new(body), rest: ZlibDecoder::get_mut })),
        3 => {
            let codec = bzip2::bufread::BzDecoder::new(body);
            buffered(Box::new(Whole { codec, rest: bzip2::bufread::BzDecoder::get_mut }))
        }
        _ => return Err(damaged("is compressed in a way that nobody knows")),
    })
}

/// What a codec gives, whose end is told only when its input has ended too.
struct Whole<C, R> {
    codec: C,
    rest: fn(&mut C) -> &mut R,
}

impl<C: Read, R: Read> Read for Whole<C, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.codec.read(buffer).map_err(as_damage)?;
        if count == 0 && (self.rest)(&mut self.codec).read(&mut [0])? > 0 {
            return Err(damaged("holds something behind the compressed data").into_io());
        }
        Ok(count)
    }
}

/// Plain bytes being read.
struct Plain {
    packets: Packets<Input>,
    checks: Vec<Check>,
    signers: Option<Vec<SignedPublicKey>>,
    /// Lines end with two characters, which are one here.
    is_text: bool,
    has_ended: bool,
}

impl Plain {
    fn end(&mut self) -> Result<()> {
        let mut signatures = Vec::new();
        while let Some(tag) = self.packets.next()? {
            match tag {
                tag::MARKER | tag::PADDING => skip(&mut self.packets)?,
                tag::SIGNATURE if signatures.len() < self.checks.len() => {
                    let bytes = self.packets.small(MAX_SIGNATURE_BYTES)?;
                    let signature = Signature::try_from_reader(header(Tag::Signature, &bytes), &bytes[..]);
                    signatures.push(signature.map_err(|_| damaged("has a signature that can't be read"))?);
                }
                _ => return Err(damaged("holds something behind the data")),
            }
        }
        let checks = std::mem::take(&mut self.checks);
        if signatures.len() != checks.len() {
            return Err(damaged("lacks a signature that it announced"));
        }
        match &self.signers {
            Some(signers) => verify::verify(checks, &signatures, signers),
            None => Ok(()),
        }
    }
}

impl Read for Plain {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.has_ended {
            return Ok(0);
        }
        loop {
            let count = self.packets.body(buffer)?;
            self.checks.iter_mut().for_each(|check| check.add(&buffer[..count]));
            if count == 0 {
                self.end()?;
                self.has_ended = true;
                return Ok(0);
            }
            let left = if self.is_text { without_returns(&mut buffer[..count]) } else { count };
            if left > 0 {
                return Ok(left);
            }
        }
    }
}

/// Takes every carriage return out, as `gpg -d` does with a text, and says how many bytes are left.
fn without_returns(bytes: &mut [u8]) -> usize {
    let mut left = 0;
    for at in 0..bytes.len() {
        if bytes[at] != b'\r' {
            bytes[left] = bytes[at];
            left += 1;
        }
    }
    left
}
