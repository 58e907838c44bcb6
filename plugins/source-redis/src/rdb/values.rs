//! Passes one value of each type, so that what it is made of can be kept as it is.

use std::io::Read;

use windlass_plugin_api::{Error, ErrorKind, Result};

use super::{Header, Input, strings};

/// The newest versions whose every type is known here; a type unknown in one of them is damage.
const KNOWN_OF_REDIS: u16 = 12;
const KNOWN_OF_VALKEY: u16 = 80;

/// Bytes of a stream entry's id in a list of pending entries.
const ID_BYTES: u64 = 16;

/// Bytes of a time in milliseconds, and of a binary double.
const TIME_BYTES: u64 = 8;

/// Passes a value of type `kind`.
pub fn skip<R: Read>(input: &mut Input<R>, kind: u8, header: Header) -> Result<()> {
    match (kind, header.is_valkey) {
        // A string, or a type that is kept as one: zipmap, ziplists, intset, listpacks.
        (0 | 9..=13 | 16 | 17 | 20, _) => strings::skip(input),
        // Lists of strings or of ziplists, sets.
        (1 | 2 | 14, _) => each(input, strings::skip),
        // Sorted sets with scores as text, and as doubles.
        (3, _) => each(input, |input| {
            strings::skip(input)?;
            score(input)
        }),
        (5, _) => each(input, |input| {
            strings::skip(input)?;
            input.skip(TIME_BYTES)
        }),
        (4, _) => each(input, |input| {
            strings::skip(input)?;
            strings::skip(input)
        }),
        // Lists: each node says whether it is one element or a listpack.
        (18, _) => each(input, |input| {
            strings::length(input)?;
            strings::skip(input)
        }),
        (15, _) => stream(input, 1),
        (19, _) => stream(input, 2),
        (21, _) => stream(input, 3),
        // Hashes whose fields expire: Valkey 9, then the two forms of Redis 7.4.
        (22, true) => each(input, |input| {
            strings::skip(input)?;
            strings::skip(input)?;
            input.skip(TIME_BYTES)
        }),
        (24, false) => {
            input.skip(TIME_BYTES)?;
            each(input, |input| {
                strings::length(input)?;
                strings::skip(input)?;
                strings::skip(input)
            })
        }
        (25, false) => {
            input.skip(TIME_BYTES)?;
            strings::skip(input)
        }
        (6 | 7, _) => Err(Error::new(ErrorKind::Unsupported, "the snapshot holds a key of a module's type")
            .hint("It can't be given to a running server: set `rdb_file`, and start a server with the module on that.")),
        (kind, _) => Err(unknown(input, kind, header)),
    }
}

fn unknown<R: Read>(input: &Input<R>, kind: u8, header: Header) -> Error {
    let known = if header.is_valkey { KNOWN_OF_VALKEY } else { KNOWN_OF_REDIS };
    let error = input.damaged(&format!("an unknown type of value ({kind})"));
    if header.version <= known {
        return error;
    }
    Error { kind: ErrorKind::Unsupported, ..error }.hint(format!(
        "RDB version {} is newer than what this plugin knows: set `rdb_file`, and start a server on that.",
        header.version
    ))
}

/// As many as a length in front says.
fn each<R: Read>(input: &mut Input<R>, pass: impl Fn(&mut Input<R>) -> Result<()>) -> Result<()> {
    let count = strings::length(input)?;
    (0..count).try_for_each(|_| pass(input))
}

/// A score as text: the numbers above 252 stand for not-a-number and the infinities.
fn score<R: Read>(input: &mut Input<R>) -> Result<()> {
    match input.byte()? {
        253..=255 => Ok(()),
        count => input.skip(count.into()),
    }
}

fn lengths<R: Read>(input: &mut Input<R>, count: usize) -> Result<()> {
    (0..count).try_for_each(|_| strings::length(input).map(drop))
}

/// A stream in the form that came with Redis 5 (1), 7.0 (2) or 7.2 (3).
fn stream<R: Read>(input: &mut Input<R>, form: u8) -> Result<()> {
    each(input, |input| {
        strings::skip(input)?;
        strings::skip(input)
    })?;
    // How many entries, the last id; then the first id, the highest deleted one, how many were ever added.
    lengths(input, if form == 1 { 3 } else { 8 })?;
    each(input, |input| {
        strings::skip(input)?;
        // The last id that was delivered; then how many were read.
        lengths(input, if form == 1 { 2 } else { 3 })?;
        each(input, |input| {
            input.skip(ID_BYTES + TIME_BYTES)?;
            lengths(input, 1)
        })?;
        each(input, |input| {
            strings::skip(input)?;
            // When the consumer was seen; then when it was active.
            input.skip(if form == 3 { 2 * TIME_BYTES } else { TIME_BYTES })?;
            each(input, |input| input.skip(ID_BYTES))
        })
    })
}
