//! The suite of storages.
//!
//! Each function proves one sentence on an empty storage of its own, through the calls that the host makes. It knows no
//! service; what a storage can't do, its description or its fixture says.

mod leftovers;
mod listing;
mod objects;
mod uploads;

use std::io::{Read, Write};
use std::sync::Arc;

use serde_json::Value;
use windlass_plugin_api::export::Described;
use windlass_plugin_api::ffi::root::{Root, storage_header};
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, ListOptions, Plugin, PluginInfo, Result, Storage, Upload,
};

pub use self::leftovers::*;
pub use self::listing::*;
pub use self::objects::*;
pub use self::uploads::*;
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

    /// The storage tells of uploads whose maker is gone ([`Storage::leftovers`]), even where that maker is a leaked
    /// upload of this very process. A storage that asks a lock whether the maker lives says `false` and proves the rest
    /// with a test of its own.
    fn tells_leftovers(&self) -> bool {
        true
    }

    /// An object that is replaced is there at every moment, the old one or the new one. `false` for a server that removes
    /// the old one first: then nothing is read while it is replaced.
    fn replaces_at_once(&self) -> bool {
        true
    }
}

/// A storage under test.
pub struct Subject {
    info: PluginInfo,
    root: Root,
    fixture: Box<dyn StorageFixture>,
    host: TestHost,
    storage: Arc<dyn Storage>,
}

impl Subject {
    /// The storage `T` on a fixture of its own.
    pub fn new<T: Plugin + Storage + Described + 'static, F: StorageFixture>() -> Self {
        let fixture = F::new();
        let host = fixture.host();
        let header = Box::leak(Box::new(storage_header::<T>()));
        let root = Root::linked(header).unwrap_or_else(|error| panic!("the entry can't be used: {error}"));
        let storage = made(root, &fixture, &host);
        Self { info: description::info::<T>(), root, fixture: Box::new(fixture), host, storage }
    }

    /// Another instance with the same options.
    fn another(&self) -> Arc<dyn Storage> {
        made(self.root, &*self.fixture, &self.host)
    }

    fn cx(&self) -> Context {
        self.host.context()
    }

    fn create(&self, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        self.storage.create(&self.cx(), key, how)
    }

    fn begin(&self, key: &str) -> Box<dyn Upload> {
        let how = CreateOptions { run: "testkit-run".into(), ..CreateOptions::default() };
        self.create(key, &how).unwrap_or_else(|error| panic!("can't create `{key}`: {error}"))
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let mut upload = self.begin(key);
        upload.write_all(bytes).unwrap_or_else(|error| panic!("can't write `{key}`: {error}"));
        upload.finish().unwrap_or_else(|error| panic!("can't finish `{key}`: {error}"));
        let stored = upload.publish().unwrap_or_else(|error| panic!("can't publish `{key}`: {error}"));
        assert_eq!(stored.size_bytes, bytes.len() as u64, "`{key}` was stored with another size");
    }

    fn get_part(&self, key: &str, range: Option<ByteRange>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.storage.open(&self.cx(), key, range)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn get(&self, key: &str) -> Vec<u8> {
        self.get_part(key, None).unwrap_or_else(|error| panic!("can't read `{key}`: {error}"))
    }

    /// All keys below `prefix`, over all pages.
    fn keys(&self, prefix: &str) -> Vec<String> {
        self.walk(&ListOptions { prefix: prefix.to_owned(), ..ListOptions::default() })
    }

    /// All entries that `what` lists, page by page.
    fn walk(&self, what: &ListOptions) -> Vec<String> {
        let (mut keys, mut what) = (Vec::<String>::new(), what.clone());
        loop {
            let page =
                self.storage.list(&self.cx(), &what).unwrap_or_else(|error| panic!("can't list: {error}"));
            if let Some(limit) = what.limit {
                assert!(
                    page.entries.len() <= limit,
                    "{} entries where {limit} were asked for",
                    page.entries.len()
                );
            }
            keys.extend(page.entries.into_iter().map(|entry| entry.key));
            if !page.more {
                return keys;
            }
            let last = keys.last().cloned();
            assert!(last.is_some() && last != what.after, "a page that doesn't get on says there is more");
            what.after = last;
        }
    }

    /// `key` is seen by nobody.
    fn is_absent(&self, key: &str, when: &str) {
        for storage in [self.storage.clone(), self.another()] {
            let seen = storage.stat(&self.cx(), key).unwrap_or_else(|error| panic!("can't stat: {error}"));
            assert_eq!(seen, None, "`{key}` is there {when}");
        }
        assert_eq!(self.keys(""), Vec::<String>::new(), "something is listed {when}");
        let error = self.get_part(key, None).err();
        let kind = error.map(|error| error.kind);
        assert_eq!(kind, Some(windlass_plugin_api::ErrorKind::NotFound), "`{key}` can be opened {when}");
    }
}

fn made(root: Root, fixture: &dyn StorageFixture, host: &TestHost) -> Arc<dyn Storage> {
    root.storage(&fixture.options(), &host.context()).unwrap_or_else(|error| panic!("can't be made: {error}"))
}

#[doc(hidden)]
pub fn sample_options<F: StorageFixture>() -> Vec<Value> {
    vec![F::new().options()]
}
