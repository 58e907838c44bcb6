//! What a Windlass plugin is written against: ordinary Rust traits over [`std::io`].
//!
//! A plugin is a shared library that provides one [`Source`], [`Filter`], [`Storage`] or [`Notifier`]. An author writes an
//! options type, implements [`Plugin`] and one of the four traits, and calls [`export_plugin!`]; how calls cross into the
//! host is not the author's concern. This crate re-exports nothing of its dependencies and keeps them close to none: they
//! become every plugin's.
//!
//! # A complete filter
//!
//! ```
//! use std::io::{self, Read, Write};
//!
//! use serde::Deserialize;
//! use serde_json::{Map, Value};
//! use windlass_plugin_api::{Context, Encoder, Filter, Finished, Plugin, Reader, Result, Sink};
//!
//! windlass_plugin_api::export_plugin! {
//!     filter Xor {
//!         "name": "xor",
//!         "vendor": "acme",
//!         "summary": "combines every byte with a key",
//!         "suffix": ".xor",
//!     }
//!     options: "../tests/xor.options.schema.json"
//! }
//!
//! /// Options of `xor`.
//! #[derive(Deserialize)] // A crate derives schemars::JsonSchema too, to prove that the schema file is right.
//! #[serde(deny_unknown_fields)]
//! struct Options {
//!     /// What each byte is combined with.
//!     key: u8,
//! }
//!
//! struct Xor {
//!     key: u8,
//! }
//!
//! impl Plugin for Xor {
//!     type Options = Options;
//!
//!     fn new(options: Options, _: &Context) -> Result<Self> {
//!         Ok(Self { key: options.key })
//!     }
//! }
//!
//! impl Filter for Xor {
//!     fn encode(&self, _: &Context, _stream: &str, next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
//!         let writer = Xored { inner: next, key: self.key };
//!         Ok(Box::new(Encoder::new(writer, |writer| Ok((writer.inner, Finished::default())))))
//!     }
//!
//!     fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
//!         Ok(Box::new(Xored { inner: input, key: self.key }))
//!     }
//! }
//!
//! struct Xored<T> {
//!     inner: T,
//!     key: u8,
//! }
//!
//! impl<W: Write> Write for Xored<W> {
//!     fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
//!         let turned: Vec<u8> = bytes.iter().map(|byte| byte ^ self.key).collect();
//!         self.inner.write(&turned)
//!     }
//!
//!     fn flush(&mut self) -> io::Result<()> {
//!         self.inner.flush()
//!     }
//! }
//!
//! impl<R: Read> Read for Xored<R> {
//!     fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
//!         let count = self.inner.read(buffer)?;
//!         buffer[..count].iter_mut().for_each(|byte| *byte ^= self.key);
//!         Ok(count)
//!     }
//! }
//!
//! let xor = Xor::new(Options { key: 0x55 }, &Context::default())?;
//! let mut plain = String::new();
//! let stored: &'static [u8] = &[0x3d, 0x3c];
//! xor.decode(&Context::default(), "data", &Map::new(), Box::new(stored))?.read_to_string(&mut plain)?;
//! assert_eq!(plain, "hi");
//!
//! // What the host reads out of the shared library before it loads it.
//! use windlass_plugin_api::export::Described;
//! assert_eq!(Xor::info()?.full_name(), "acme/xor");
//! # Ok::<(), windlass_plugin_api::Error>(())
//! ```
//!
//! # What else there is
//!
//! The conformance suite that every plugin runs is the crate `windlass-testkit`; wrapping a dump program is
//! `windlass-tool`. Log with `tracing` or `log`: both end in the host's log. Of the libraries that a plugin uses only warnings
//! and errors do, and nothing of those that it [`silence`]s.

pub mod context;
pub mod error;
#[doc(hidden)]
pub mod export;
#[doc(hidden)]
pub mod ffi;
pub mod filter;
pub mod info;
pub mod notifier;
pub mod options;
pub mod probe;
pub mod source;
pub mod storage;
pub mod stream;

pub use context::{CancelGuard, Context, Progress, Services};
pub use error::{During, Error, ErrorKind, Result};
pub use ffi::logging::silence;
pub use filter::Filter;
pub use info::{API_VERSION, Kind, Plugin, PluginInfo};
pub use notifier::{Event, Notifier};
pub use options::Secret;
pub use source::{Contents, Item, Probe, RawName, RestoreMode, RestoreOptions, Restored, Source, Target};
pub use storage::{
    ByteRange, CreateOptions, Leftover, ListOptions, Object, Page, Storage, StorageReport, Stored, Upload,
};
pub use stream::{Encoder, Finished, Inputs, Outputs, Reader, Sink, StreamInfo};
