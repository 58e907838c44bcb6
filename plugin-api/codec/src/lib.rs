//! What filters around a codec have in common.
//!
//! - [`BlockEncoder`] cuts a stream into blocks and has them compressed on several threads, for formats whose blocks or
//!   members stand for themselves.
//! - [`StreamEncoder`] is for codecs that take a stream as it comes.
//! - [`Decoder`] reads its input to the end and tells truncation and damage; what a codec adds is one step.
//!
//! It knows no format, and a plugin that needs none of it uses [`windlass_plugin_api`] alone.

mod block;
mod decoder;
mod stream;
mod workers;

pub use block::{Block, BlockEncoder, Format, Shape, Work};
pub use decoder::{Decode, Decoder, Input, Step, Steps, Stepwise};
pub use stream::{Compress, Ran, StreamEncoder, Until};

use std::fmt::Display;
use std::ops::RangeInclusive;

use serde_json::{Map, Value};
use windlass_plugin_api::{Error, ErrorKind, Result};

/// The largest number of threads that may be asked for.
pub const MOST_THREADS: u32 = 64;

/// How many threads to use: as `asked`, or for 0 one for each core, up to `usual`.
pub fn threads(asked: u32, usual: usize) -> Result<usize> {
    match asked {
        0 => Ok(std::thread::available_parallelism().map_or(1, |cores| cores.get().min(usual))),
        1..=MOST_THREADS => Ok(asked as usize),
        _ => Err(Error::new(ErrorKind::Config, format!("threads `{asked}` is more than {MOST_THREADS}"))),
    }
}

/// Refuses an option whose value isn't within `range`.
pub fn within<T: PartialOrd + Display>(option: &str, value: T, range: RangeInclusive<T>) -> Result<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (from, to) = range.into_inner();
    Err(Error::new(ErrorKind::Config, format!("{option} `{value}` isn't between {from} and {to}")))
}

/// The number that an encoder recorded under `name`, if it did. It stands in a manifest that anybody may have written: only
/// what the format allows.
pub fn recorded(params: &Map<String, Value>, name: &str, range: RangeInclusive<u32>) -> Result<Option<u32>> {
    let Some(value) = params.get(name) else { return Ok(None) };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    match number.filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(Error::damaged(format!("the recorded `{name}` is `{value}`, which can't be"))),
    }
}

/// What a call on a finished encoder returns.
fn already_finished() -> Error {
    Error::failed("the stream is already finished")
}
