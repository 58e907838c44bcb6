//! A small filter plugin, built against the frozen api and against the one that a later release might have.

use std::io::{self, Read, Write};

use serde::Deserialize;
use serde_json::{Map, Value};
use windlass_plugin_api::{Context, Encoder, Filter, Finished, Plugin, Reader, Result, Sink};

#[cfg(not(any(feature = "newer", panic = "abort")))]
windlass_plugin_api::export_plugin! {
    filter Xor { "name": "older", "vendor": "skew", "summary": "turns bits around", "suffix": ".xor" }
    options: "options.schema.json"
}

#[cfg(feature = "newer")]
windlass_plugin_api::export_plugin! {
    filter Xor { "name": "newer", "vendor": "skew", "summary": "turns bits around", "suffix": ".xor" }
    options: "options.schema.json"
}

#[cfg(panic = "abort")]
windlass_plugin_api::export_plugin! {
    filter Xor { "name": "abort", "vendor": "skew", "summary": "ends the process on a panic" }
    options: "options.schema.json"
}

/// Options of the filter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What each byte is combined with.
    key: u8,
}

impl Default for Options {
    fn default() -> Self {
        Self { key: 0x55 }
    }
}

/// The filter.
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
    fn encode(&self, _: &Context, _: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        let writer = Turned { inner: next, key: self.key };
        let params = Map::from_iter([("key".to_owned(), Value::from(self.key))]);
        let finished = Finished { params, ..Finished::default() };
        Ok(Box::new(Encoder::new(writer, |writer| Ok((writer.inner, finished)))))
    }

    fn decode(&self, _: &Context, _: &str, params: &Map<String, Value>, input: Reader) -> Result<Reader> {
        let key = params.get("key").and_then(Value::as_u64).map_or(self.key, |key| key as u8);
        Ok(Box::new(Turned { inner: input, key }))
    }

    #[cfg(feature = "newer")]
    fn of_1_1(&self) -> u32 {
        3
    }
}

struct Turned<T> {
    inner: T,
    key: u8,
}

impl<W: Write> Write for Turned<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let turned: Vec<u8> = bytes.iter().map(|byte| byte ^ self.key).collect();
        self.inner.write(&turned)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Turned<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        buffer[..count].iter_mut().for_each(|byte| *byte ^= self.key);
        Ok(count)
    }
}
