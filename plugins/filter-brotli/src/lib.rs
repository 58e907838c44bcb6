//! Windlass filter: Brotli compression.
//!
//! Sits between a source and a storage: `encode` makes one standard Brotli stream, which plain `brotli -d` reads; `decode`
//! reads whatever `brotli` wrote. The format has neither blocks that stand for themselves nor a checksum: it is compressed
//! on one thread, and that the bytes are those that were stored is known by the host's hash alone.

mod decode;
mod encode;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_codec::{Decoder, Stepwise, StreamEncoder, recorded, within};
use windlass_plugin_api::{Context, Error, ErrorKind, Filter, Plugin, Reader, Result, Sink, export_plugin};

use decode::Stream;
use encode::Encoder;

export_plugin! {
    filter Brotli {
        "name": "brotli",
        "summary": "Brotli compression",
        "suffix": ".br",
        "compresses": true,
        "aliases": ["br"],
    }
    options: "../options.schema.json"
}

/// The largest window of the standard format, 16 MiB; what goes beyond is an extension, of up to 1 GiB.
const STANDARD_WINDOW: u32 = 24;
/// What the format and its extension allow.
const WINDOWS: std::ops::RangeInclusive<u32> = 10..=30;
/// The levels below have no use for it.
const LARGE_WINDOW_LEVEL: u32 = 2;
/// Under this name an encoder records its window, if it goes beyond the standard.
const WINDOW_PARAM: &str = "window";

/// Options of `brotli`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How hard to compress: from 0 (fastest) over 5 to 11 (smallest, and very slow).
    #[serde(default = "default_level")]
    #[schemars(range(min = 0, max = 11))]
    pub level: u32,

    /// Looks for repetitions within a window of 2 to the power of this many bytes, 22 being 4 MiB. A backup takes several
    /// times that memory, a restore once. Above 24, for levels from 2 on, the stream is one of an extension that not every
    /// reader has, and a restore of a stream that another program wrote needs this option.
    #[serde(default = "default_window")]
    #[schemars(range(min = 10, max = 30))]
    pub window: u32,
}

fn default_level() -> u32 {
    5
}

fn default_window() -> u32 {
    22
}

/// The filter `brotli`.
pub struct Brotli {
    level: u32,
    window: u32,
}

impl Plugin for Brotli {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        let level = within("level", options.level, 0..=11)?;
        let window = within("window", options.window, WINDOWS)?;
        if level < LARGE_WINDOW_LEVEL && window > STANDARD_WINDOW {
            return Err(Error::new(
                ErrorKind::Config,
                format!("level `{level}` can't have a window of `{window}`"),
            )
            .hint("A window above 24 needs a level of 2 or more."));
        }
        Ok(Self { level, window })
    }
}

impl Filter for Brotli {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let is_large = self.window > STANDARD_WINDOW;
        let params = is_large.then(|| (WINDOW_PARAM.to_owned(), self.window.into())).into_iter().collect();
        Ok(Box::new(StreamEncoder::new(Encoder::new(self.level, self.window), params, next)))
    }

    fn decode(&self, _: &Context, _: &str, params: &Map<String, Value>, input: Reader) -> Result<Reader> {
        let recorded = recorded(params, WINDOW_PARAM, WINDOWS)?.unwrap_or_default();
        let limit = STANDARD_WINDOW.max(recorded).max(self.window);
        Ok(Box::new(Decoder::new(Stepwise(Stream::new(limit)), input)))
    }

    fn by_hand(&self) -> Option<String> {
        Some(match self.window {
            window if window > STANDARD_WINDOW => format!("brotli -dc --large_window={window}"),
            _ => "brotli -dc".to_owned(),
        })
    }
}
