//! Windlass filter: LZ4 compression.
//!
//! Sits between a source and a storage: `encode` makes one standard frame of independent blocks, on several threads, which
//! plain `lz4 -d` reads; `decode` reads whatever `lz4` wrote in that format. It only transforms bytes: hashing, counting and
//! hops between threads are the host's. Frames of `lz4 -l`, the format before, are refused: they have no end.

mod checksum;
mod decode;
mod encode;
mod header;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_codec::{BlockEncoder, Decoder, Shape, threads};
use windlass_plugin_api::{Context, Filter, Plugin, Reader, Result, Sink, export_plugin};

use decode::Frames;
use encode::{BLOCK_BYTES, Frame};

export_plugin! {
    filter Lz4 {
        "name": "lz4",
        "summary": "LZ4 compression",
        "suffix": ".lz4",
        "compresses": true,
    }
    options: "../options.schema.json"
}

/// Threads that are started for as many cores, unless more are asked for.
const USUAL_THREADS: usize = 8;

/// Options of `lz4`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Threads that compress one stream, of 1.5 MiB each. 0: one for each core, up to 8.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub threads: u32,
}

/// The filter `lz4`.
pub struct Lz4 {
    threads: usize,
}

impl Plugin for Lz4 {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { threads: threads(options.threads, USUAL_THREADS)? })
    }
}

impl Filter for Lz4 {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let shape =
            Shape { name: "windlass-lz4", block_bytes: BLOCK_BYTES, history_bytes: 0, threads: self.threads };
        Ok(Box::new(BlockEncoder::new(Frame::new(), shape, next)))
    }

    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        Ok(Box::new(Decoder::new(Frames::default(), input)))
    }

    fn by_hand(&self) -> Option<String> {
        Some("lz4 -dc".to_owned())
    }
}
