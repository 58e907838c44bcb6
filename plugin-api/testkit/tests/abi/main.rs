//! What crosses between a plugin and the host, and what must not: panics, lies, half-told errors.
//!
//! Everything goes through the exported tables, inside this process. What only a real shared library can show (its own
//! panic hook, its own log) is tested where plugins are loaded.

mod bad;
mod panics;
mod values;

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_plugin_api::ffi::root::{
    LibHeader, Root, filter_header, notifier_header, source_header, storage_header,
};
use windlass_plugin_api::{Context, Error, Filter, Notifier, Source, Storage};

use crate::bad::Bad;

fn root(header: LibHeader) -> Root {
    Root::linked(Box::leak(Box::new(header))).unwrap()
}

fn options(name: &str, panic_in: &str) -> Value {
    json!({ "name": name, "panic_in": panic_in })
}

fn filter(name: &str, panic_in: &str) -> Result<Box<dyn Filter>, Error> {
    root(filter_header::<Bad>()).filter(&options(name, panic_in), &Context::default())
}

fn source(name: &str, panic_in: &str) -> Result<Box<dyn Source>, Error> {
    root(source_header::<Bad>()).source(&options(name, panic_in), &Context::default())
}

fn storage(name: &str, panic_in: &str) -> Result<Arc<dyn Storage>, Error> {
    root(storage_header::<Bad>()).storage(&options(name, panic_in), &Context::default())
}

fn notifier(name: &str, panic_in: &str) -> Result<Box<dyn Notifier>, Error> {
    root(notifier_header::<Bad>()).notifier(&options(name, panic_in), &Context::default())
}
