//! Windlass filter of another vendor: combines every byte with a key.
//!
//! A plugin as small as one can be, for reading and for copying. It hides nothing from anybody: not a way to encrypt.
#![allow(
    non_snake_case,
    reason = "the crate is named as its file must be: vendor and name with `__` between"
)]

use std::io::{self, Read, Write};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_plugin_api::{Context, Encoder, Filter, Finished, Plugin, Reader, Result, Sink, export_plugin};

export_plugin! {
    filter Xor {
        "vendor": "acme",
        "name": "xor",
        "summary": "combines every byte with a key",
        "suffix": ".xor",
    }
    options: "../options.schema.json"
}

/// Options of `acme/xor`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// What each byte is combined with.
    #[serde(default = "default_key")]
    pub key: u8,
}

fn default_key() -> u8 {
    0x55
}

/// The filter `acme/xor`.
pub struct Xor {
    key: u8,
}

impl Plugin for Xor {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { key: options.key })
    }
}

impl Filter for Xor {
    fn encode(&self, _: &Context, _stream: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        // What the decoder must know is recorded in the manifest: a restore doesn't depend on today's config.
        let params = Map::from_iter([("key".to_owned(), Value::from(self.key))]);
        let writer = Xored { inner: next, key: self.key };
        Ok(Box::new(Encoder::new(writer, move |writer| {
            Ok((writer.inner, Finished { params, ..Finished::default() }))
        })))
    }

    fn decode(
        &self,
        _: &Context,
        _stream: &str,
        params: &Map<String, Value>,
        input: Reader,
    ) -> Result<Reader> {
        let recorded = params.get("key").and_then(Value::as_u64).and_then(|key| u8::try_from(key).ok());
        Ok(Box::new(Xored { inner: input, key: recorded.unwrap_or(self.key) }))
    }
}

struct Xored<T> {
    inner: T,
    key: u8,
}

impl<W: Write> Write for Xored<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let turned: Vec<u8> = bytes.iter().map(|byte| byte ^ self.key).collect();
        self.inner.write(&turned)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Xored<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        buffer[..count].iter_mut().for_each(|byte| *byte ^= self.key);
        Ok(count)
    }
}
