//! Windlass filter: gzip compression.
//!
//! Sits between a source and a storage: `encode` makes one standard gzip member, on several threads, which plain `gzip -d`
//! reads; `decode` reads whatever `gzip` wrote. It only transforms bytes: hashing, counting and hops between threads are the
//! host's.

mod compress;
mod decode;
mod encode;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_codec::{BlockEncoder, Shape, threads, within};
use windlass_plugin_api::{Context, Filter, Plugin, Reader, Result, Sink, export_plugin};

use compress::{BLOCK_BYTES, DICTIONARY_BYTES};
use decode::Decoder;
use encode::Member;

export_plugin! {
    filter Gzip {
        "name": "gzip",
        "summary": "gzip compression",
        "suffix": ".gz",
        "compresses": true,
        "aliases": ["gz"],
    }
    options: "../options.schema.json"
}

/// Threads that are started for as many cores, unless more are asked for: 20 MiB in all.
const USUAL_THREADS: usize = 16;

/// Options of `gzip`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How hard to compress: from 0 (not at all) over 6 to 9 (smallest).
    #[serde(default = "default_level")]
    #[schemars(range(min = 0, max = 9))]
    pub level: u32,

    /// Threads that compress one stream, of 1.3 MiB each. 0: one for each core, up to 16.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub threads: u32,
}

fn default_level() -> u32 {
    6
}

/// The filter `gzip`.
pub struct Gzip {
    level: u32,
    threads: usize,
}

impl Plugin for Gzip {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self {
            level: within("level", options.level, 0..=9)?,
            threads: threads(options.threads, USUAL_THREADS)?,
        })
    }
}

impl Filter for Gzip {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let shape = Shape {
            name: "windlass-gzip",
            block_bytes: BLOCK_BYTES,
            history_bytes: DICTIONARY_BYTES,
            threads: self.threads,
        };
        Ok(Box::new(BlockEncoder::new(Member::new(self.level), shape, next)))
    }

    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        Ok(Box::new(Decoder::new(input)))
    }

    fn by_hand(&self) -> Option<String> {
        Some("gzip -dc".to_owned())
    }
}
