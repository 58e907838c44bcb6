//! A host in small: loads the filter plugin of its first argument, which was built against the api version of its second,
//! with the host's own loader, and tells what it can do.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Map, json};
use windlass_plugin_api::ffi::logging::LogLines;
use windlass_plugin_api::{Context, Filter, Finished, PluginInfo, Result, Sink};

#[path = "../../../host/src/plugins/load.rs"]
mod load;

struct Quiet;

impl LogLines for Quiet {
    fn line(&self, _: u8, _: &str, _: &str, _: &str) {}
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Kept {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let info = json!({ "kind": "filter", "name": "any", "version": "0.1.0", "api": arguments[2], "panic": "unwind" });
    let info: PluginInfo = serde_json::from_value(info).unwrap();
    let root = load::load(Path::new(&arguments[1]), &info, Arc::new(Quiet), 5)?;
    let filter = root.filter(&json!({}), &Context::default())?;
    assert_eq!(there_and_back(filter.as_ref())?, plain(), "other bytes came back");
    println!("round trip, by hand {:?}", filter.by_hand());
    #[cfg(feature = "newer")]
    println!("method {}, field {:?}", filter.of_1_1(), root.of_1_1());
    Ok(())
}

fn plain() -> Vec<u8> {
    (0..100_000u32).map(|i| (i % 251) as u8).collect()
}

fn there_and_back(filter: &dyn Filter) -> Result<Vec<u8>> {
    let (cx, kept) = (Context::default(), Kept::default());
    let mut sink = filter.encode(&cx, "data", Box::new(kept.clone()))?;
    sink.write_all(&plain())?;
    let finished = sink.finish()?;
    let stored = std::mem::take(&mut *kept.0.lock().unwrap());
    assert_ne!(stored, plain(), "nothing was encoded");
    let params: Map<_, _> = finished.params;
    let mut back = Vec::new();
    filter.decode(&cx, "data", &params, Box::new(io::Cursor::new(stored)))?.read_to_end(&mut back)?;
    Ok(back)
}
