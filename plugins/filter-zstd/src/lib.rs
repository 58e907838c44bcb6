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
use windlass_codec::{Decoder, Stepwise, recorded, threads, within};
use windlass_plugin_api::{Context, Filter, Plugin, Reader, Result, Sink, export_plugin};

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
        let level = within("level", options.level, -7..=22)?;
        // Proved here; how many are good differs between levels.
        threads(options.threads, 1)?;
        let long = options.long.map(|log| within("long", log, WINDOW_LOGS)).transpose()?;
        Ok(Self { tuning: Tuning::new(level, options.threads), long })
    }
}

impl Filter for Zstd {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        Ok(Box::new(Encoder::new(&self.tuning, self.long, next)?))
    }

    fn decode(&self, _: &Context, _: &str, params: &Map<String, Value>, input: Reader) -> Result<Reader> {
        let recorded = recorded(params, WINDOW_LOG_PARAM, WINDOW_LOGS)?.unwrap_or_default();
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
