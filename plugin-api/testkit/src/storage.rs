//! The suite of storages.

use std::io::Write;
use std::sync::Arc;

use serde_json::Value;
use windlass_plugin_api::export::Described;
use windlass_plugin_api::ffi::root::{Root, storage_header};
use windlass_plugin_api::{CreateOptions, Plugin, PluginInfo, Storage};

use crate::description;
use crate::host::TestHost;

/// What a storage is tested with.
pub trait StorageFixture: Send + Sync + 'static {
    /// Makes room for one storage: empty, and shared with no other fixture. Dropping it cleans up.
    fn new() -> Self
    where
        Self: Sized;

    /// The options that open it; each call the same.
    fn options(&self) -> Value;

    /// The host that it needs: secrets, other storages.
    fn host(&self) -> TestHost {
        TestHost::new()
    }

    /// The storage tells of uploads whose maker died ([`Storage::leftovers`]).
    fn tells_leftovers(&self) -> bool {
        true
    }
}

/// A storage under test.
pub struct Subject {
    info: PluginInfo,
    fixture: Box<dyn StorageFixture>,
    storage: Arc<dyn Storage>,
}

impl Subject {
    /// The storage `T` on a fixture of its own.
    pub fn new<T: Plugin + Storage + Described + 'static, F: StorageFixture>() -> Self {
        let fixture = F::new();
        let header = Box::leak(Box::new(storage_header::<T>()));
        let root = Root::linked(header).unwrap_or_else(|error| panic!("the entry can't be used: {error}"));
        let storage = root.storage(&fixture.options(), &fixture.host().context());
        let storage = storage.unwrap_or_else(|error| panic!("can't be made: {error}"));
        Self { info: description::info::<T>(), fixture: Box::new(fixture), storage }
    }
}

#[doc(hidden)]
pub fn sample_options<F: StorageFixture>() -> Vec<Value> {
    vec![F::new().options()]
}

/// Not to `stat`, `list` or `open`, before `publish` has returned.
pub fn an_object_is_invisible_before_it_is_published(subject: &Subject) {
    let cx = subject.fixture.host().context();
    let _ = &subject.info;
    let mut upload = subject.storage.create(&cx, "a/b", &CreateOptions::default()).unwrap();
    upload.write_all(b"bytes").unwrap();
    assert_eq!(subject.storage.stat(&cx, "a/b").unwrap(), None);
    upload.finish().unwrap();
    assert_eq!(subject.storage.stat(&cx, "a/b").unwrap(), None);
    upload.publish().unwrap();
    assert_eq!(subject.storage.stat(&cx, "a/b").unwrap().unwrap().size_bytes, 5);
}
