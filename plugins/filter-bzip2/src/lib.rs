//! Windlass filter: bzip2 compression.
//!
//! Sits between a source and a storage: `encode` makes one standard bzip2 stream, on several threads, which plain
//! `bzip2 -d` reads; `decode` reads whatever `bzip2` wrote. It only transforms bytes: hashing, counting and hops between
//! threads are the host's.

mod bits;
mod decode;
mod encode;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_codec::{BlockEncoder, Decoder, Shape, Stepwise, threads, within};
use windlass_plugin_api::{Context, Filter, Plugin, Reader, Result, Sink, export_plugin};

use decode::Streams;
use encode::{Joined, block_bytes};

export_plugin! {
    filter Bzip2 {
        "name": "bzip2",
        "summary": "bzip2 compression",
        "suffix": ".bz2",
        "compresses": true,
        "aliases": ["bz2"],
    }
    options: "../options.schema.json"
}

/// Threads that are started for as many cores, unless more are asked for.
const USUAL_THREADS: usize = 4;

/// Options of `bzip2`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The size of a block in units of 100 kB, from 1 to 9: larger ones compress better and take more memory.
    #[serde(default = "default_level")]
    #[schemars(range(min = 1, max = 9))]
    pub level: u32,

    /// Threads that compress one stream, of 12 MiB each at level 9. 0: one for each core, up to 4.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub threads: u32,
}

fn default_level() -> u32 {
    9
}

/// The filter `bzip2`.
pub struct Bzip2 {
    level: u32,
    threads: usize,
}

impl Plugin for Bzip2 {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self {
            level: within("level", options.level, 1..=9)?,
            threads: threads(options.threads, USUAL_THREADS)?,
        })
    }
}

impl Filter for Bzip2 {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let shape = Shape {
            name: "windlass-bzip2",
            block_bytes: block_bytes(self.level),
            history_bytes: 0,
            threads: self.threads,
        };
        Ok(Box::new(BlockEncoder::new(Joined::new(self.level), shape, next)))
    }

    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        Ok(Box::new(Decoder::new(Stepwise(Streams::default()), input)))
    }

    fn by_hand(&self) -> Option<String> {
        Some("bzip2 -dc".to_owned())
    }
}
