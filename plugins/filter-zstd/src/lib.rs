//! Windlass filter: Zstandard compression.
//!
//! Sits between a source and a storage: `encode` makes one standard frame, which plain `zstd -d` reads; `decode` reads
//! whatever `zstd` wrote. It only transforms bytes: hashing, counting and hops between threads are the host's.

mod decode;
mod encode;
mod tuning;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_codec::{Decoder, Stepwise};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter, Plugin, Reader, Result, Sink, export_plugin};

use decode::Frames;
use encode::Encoder;
use tuning::Tuning;

export_plugin! {
    filter Zstd {
        "name": "zstd",
        "summary": "Zstandard compression",
        "suffix": ".zst",
        "compresses": true,
        "starter": "zstd",
        "aliases": ["zst"],
    }
    options: "../options.schema.json"
}

/// The largest window that a decoder accepts without being told: what `zstd -d` accepts. 128 MiB.
const USUAL_WINDOW_LOG: u32 = 27;
/// What the format allows.
const WINDOW_LOGS: std::ops::RangeInclusive<u32> = 10..=31;
/// Under this name an encoder records its window, if it was set.
const WINDOW_LOG_PARAM: &str = "window_log";

/// Options of `zstd`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How hard to compress: from -7 (fastest) over 3 to 22 (smallest). Levels above 8 take more than the usual memory:
    /// 40 MiB at 9, 55 MiB at 12, 120 MiB at 19, up to 2 GiB at 22.
    #[serde(default = "default_level")]
    #[schemars(range(min = -7, max = 22))]
    pub level: i32,

    /// Threads that compress one stream. 0: one for each core, as far as memory stays below about 40 MiB (16 up to level
    /// 4, 4 up to level 8, 2 up to level 11, then 1).
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub threads: u32,

    /// Looks for repetitions within a window of 2 to the power of this many bytes, 27 being 128 MiB. Takes that memory on
    /// backup and on restore. Off by default: a database file gains nothing.
    #[serde(default)]
    #[schemars(range(min = 10, max = 31))]
    pub long: Option<u32>,
}

fn default_level() -> i32 {
    3
}

/// The filter `zstd`.
pub struct Zstd {
    tuning: Tuning,
    long: Option<u32>,
}

impl Plugin for Zstd {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        let refuse = |what: String| Err(Error::new(ErrorKind::Config, what));
        if !(-7..=22).contains(&options.level) {
            return refuse(format!("level `{}` isn't between -7 and 22", options.level));
        }
        if options.threads > 64 {
            return refuse(format!("threads `{}` is more than 64", options.threads));
        }
        match options.long {
            Some(log) if !WINDOW_LOGS.contains(&log) => {
                refuse(format!("long `{log}` isn't between 10 and 31"))
            }
            long => Ok(Self { tuning: Tuning::new(options.level, options.threads), long }),
        }
    }
}

impl Filter for Zstd {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Encoder::new(&self.tuning, self.long, next)?))
    }

    fn decode(&self, _: &Context, _: &str, params: &Map<String, Value>, input: Reader) -> Result<Reader> {
        let recorded = recorded_window_log(params)?.unwrap_or_default();
        let limit = USUAL_WINDOW_LOG.max(recorded).max(self.long.unwrap_or_default());
        Ok(Box::new(Decoder::new(Stepwise(Frames::new(limit)?), input)))
    }

    fn by_hand(&self) -> Option<String> {
        Some(match self.long {
            Some(log) if log > USUAL_WINDOW_LOG => format!("zstd -dc --long={log}"),
            _ => "zstd -dc".to_owned(),
        })
    }
}

/// What the encoder recorded. It stands in a manifest that anybody may have written: only what the format allows.
fn recorded_window_log(params: &Map<String, Value>) -> Result<Option<u32>> {
    let Some(value) = params.get(WINDOW_LOG_PARAM) else { return Ok(None) };
    let log = value.as_u64().and_then(|log| u32::try_from(log).ok()).filter(|log| WINDOW_LOGS.contains(log));
    match log {
        Some(log) => Ok(Some(log)),
        None => {
            Err(Error::damaged(format!("the recorded `{WINDOW_LOG_PARAM}` is `{value}`, which can't be")))
        }
    }
}
