//! A storage with objects of every sort, one to restore to, and what a test sees of them.
#![allow(dead_code, missing_docs)] // Each test file uses a part of it.

use std::sync::Arc;

use serde_json::{Value, json};
use windlass_plugin_api::{Context, Plugin, RestoreMode, RestoreOptions, Storage};
use windlass_source_objects::Objects;
use windlass_testkit::noise::noise;
use windlass_testkit::{Memory, SourceFixture, TestHost};

/// More than is read ahead.
pub const LARGE: usize = 700_001;

/// Two storages, of which the source is a part of the first.
pub struct Media {
    pub storage: Memory,
    pub target: Memory,
}

impl SourceFixture for Media {
    fn new() -> Self {
        let media = Self { storage: Memory::empty(), target: Memory::empty() };
        let plant = |key: &str, bytes: &[u8]| media.storage.plant(key, bytes);
        plant("up/a", b"a");
        plant("up/a/b", b"below an object");
        plant("up/empty", b"");
        plant("up/grüße/日本 ?%20&", b"utf-8");
        plant("up/large", &noise(1, LARGE));
        plant(&format!("up/{}/{}", "n".repeat(250), "m".repeat(250)), b"long");
        for number in 0..2100 {
            plant(&format!("up/many/{number:04}"), format!("number {number}").as_bytes());
        }
        plant("up/zz", &noise(2, 256 * 1024 + 1));
        // What isn't ours.
        plant("up", b"beside");
        plant("other/a", b"beside");
        media
    }

    fn options(&self) -> Value {
        json!({ "storage": "media", "prefix": "up/" })
    }

    fn target_options(&self) -> Value {
        json!({ "storage": "target", "prefix": "deep/down/" })
    }

    fn fingerprint(&self) -> String {
        picture(&self.storage, "up/")
    }

    fn target_fingerprint(&self) -> String {
        picture(&self.target, "deep/down/")
    }

    fn change(&self) {
        self.storage.plant("up/added", b"new");
        self.storage.plant("up/a/b", b"changed");
        let gone = ["up/empty".to_owned(), "up/many/0007".to_owned()];
        self.storage.delete(&Context::default(), &gone).unwrap();
    }

    fn host(&self) -> TestHost {
        host("media", Arc::new(self.storage.clone())).storage("target", Arc::new(self.target.clone()))
    }
}

/// A host with one storage.
pub fn host(name: &str, storage: Arc<dyn Storage>) -> TestHost {
    TestHost::new().storage(name, storage)
}

/// Names and contents below `prefix`.
pub fn picture(storage: &Memory, prefix: &str) -> String {
    let objects = storage.objects();
    let below = objects.iter().filter_map(|(key, bytes)| Some((key.strip_prefix(prefix)?, bytes)));
    below.map(|(name, bytes)| format!("{name} {} {:x}\n", bytes.len(), sum(bytes))).collect()
}

fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

pub fn source(options: Value) -> Objects {
    Objects::new(serde_json::from_value(options).unwrap(), &Context::default()).unwrap()
}

pub fn mode(mode: RestoreMode) -> RestoreOptions {
    RestoreOptions { mode, snapshot: "restore".to_owned(), ..RestoreOptions::default() }
}
