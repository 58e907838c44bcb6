//! Windlass filter: xz compression.
//!
//! Sits between a source and a storage: `encode` makes one standard .xz stream of blocks, which plain `xz -d` reads;
//! `decode` reads whatever `xz` wrote, the blocks on several threads. It only transforms bytes: hashing, counting and hops
//! between threads are the host's. The older format .lzma is not read.

mod decode;
mod encode;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_codec::{Decoder, Stepwise, StreamEncoder, threads, within};
use windlass_plugin_api::{Context, Filter, Plugin, Reader, Result, Sink, export_plugin};

use decode::Streams;
use encode::Encoder;

export_plugin! {
    filter Xz {
        "name": "xz",
        "summary": "xz compression",
        "suffix": ".xz",
        "compresses": true,
    }
    options: "../options.schema.json"
}

/// Options of `xz`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// How hard to compress: from 0 (fastest) over 6 to 9 (smallest).
    #[serde(default = "default_level")]
    #[schemars(range(min = 0, max = 9))]
    pub level: u32,

    /// Threads for one stream, on backup and on restore. 0: one for each core, as far as a backup takes no more than about
    /// 400 MiB (2 at level 6). With 1 a backup takes the least memory, and its stream can't be restored on several.
    #[serde(default)]
    #[schemars(range(min = 0, max = 64))]
    pub threads: u32,

    /// How many MiB a restore may take for one stream. A file that asks for more is refused; what `xz` writes on its own
    /// needs at most 65. Threads are as many as fit into this, and into 256 MiB.
    #[serde(default = "default_decode_memory_mib")]
    #[schemars(range(min = 1, max = 65_536))]
    pub decode_memory_mib: u32,
}

fn default_level() -> u32 {
    6
}

fn default_decode_memory_mib() -> u32 {
    256
}

/// The filter `xz`.
pub struct Xz {
    level: u32,
    threads: u32,
    decode_memory_mib: u32,
}

impl Plugin for Xz {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        // Proved here; how many threads are good differs between encoding and decoding.
        threads(options.threads, 1)?;
        Ok(Self {
            level: within("level", options.level, 0..=9)?,
            threads: options.threads,
            decode_memory_mib: within("decode_memory_mib", options.decode_memory_mib, 1..=65_536)?,
        })
    }
}

impl Filter for Xz {
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let encoder = Encoder::new(self.level, self.threads)?;
        Ok(Box::new(StreamEncoder::new(encoder, Map::new(), next)))
    }

    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        let threads = threads(self.threads, 16)? as u32;
        Ok(Box::new(Decoder::new(Stepwise(Streams::new(threads, self.decode_memory_mib)), input)))
    }

    fn by_hand(&self) -> Option<String> {
        Some("xz -dc".to_owned())
    }
}
