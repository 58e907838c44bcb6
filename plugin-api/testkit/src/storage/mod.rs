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
use crate::below::Below;
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
    storage: Arc<dyn Storage>,
    open: Box<Open>,
    cx: Context,
    /// What must stand in nothing that is told.
    secrets: Vec<String>,
    tells_leftovers: bool,
    replaces_at_once: bool,
    /// How long keys may be.
    key_bytes: usize,
    /// Cleans up when it is dropped.
    _fixture: Option<Box<dyn StorageFixture>>,
}

/// Makes another instance of the storage.
type Open = dyn Fn() -> Arc<dyn Storage> + Send + Sync;

/// One sentence that is proved, and how.
pub type Proof = (&'static str, fn(&Subject));

/// What can be proved on a storage that somebody uses, below a prefix of its own ([`Subject::below`]): all but what leaks an
/// upload on purpose, and what needs to know the secrets.
pub const PROOFS: &[Proof] = &[
    ("an object is invisible before it is published", an_object_is_invisible_before_it_is_published),
    ("a dropped upload leaves nothing", a_dropped_upload_leaves_nothing),
    ("an object is replaced whole or not at all", an_object_is_replaced_whole_or_not_at_all),
    ("an object that must be absent replaces nothing", an_object_that_must_be_absent_replaces_nothing),
    ("one of several rivals wins", one_of_several_rivals_wins),
    ("parallel uploads do not mix", parallel_uploads_do_not_mix),
    ("what is put comes back", what_is_put_comes_back),
    ("writes of one byte come back", writes_of_one_byte_come_back),
    ("ranges are what they name", ranges_are_what_they_name),
    ("what is not there is told", what_is_not_there_is_told),
    ("every key of the contract is kept", every_key_of_the_contract_is_kept),
    ("odd keys are kept where they are declared", odd_keys_are_kept_where_they_are_declared),
    ("keys that lead outside are refused", keys_that_lead_outside_are_refused),
    ("what is deleted is gone and the rest stays", what_is_deleted_is_gone_and_the_rest_stays),
    ("a listing is in byte order and complete", a_listing_is_in_byte_order_and_complete),
    ("pages add up to the whole", pages_add_up_to_the_whole),
    ("entries say what stat says", entries_say_what_stat_says),
    ("a check leaves nothing", a_check_leaves_nothing),
];

/// How long the contract lets keys be.
const KEY_BYTES: usize = 200;

impl Subject {
    /// The storage `T` on a fixture of its own.
    pub fn new<T: Plugin + Storage + Described + 'static, F: StorageFixture>() -> Self {
        let fixture = F::new();
        let (host, options) = (fixture.host(), fixture.options());
        let header = Box::leak(Box::new(storage_header::<T>()));
        let root = Root::linked(header).unwrap_or_else(|error| panic!("the entry can't be used: {error}"));
        let info = description::info::<T>();
        let mut secrets = description::secrets_in(&info, &options);
        secrets.extend(host.secret_values());
        let cx = host.context();
        let open = move || {
            root.storage(&options, &host.context()).unwrap_or_else(|error| panic!("can't be made: {error}"))
        };
        Self {
            info,
            storage: open(),
            open: Box::new(open),
            cx,
            secrets,
            tells_leftovers: fixture.tells_leftovers(),
            replaces_at_once: fixture.replaces_at_once(),
            key_bytes: KEY_BYTES,
            _fixture: Some(Box::new(fixture)),
        }
    }

    /// What lies below `prefix`, which ends in a `/`, of the storage that `open` opens: for [`PROOFS`], each of which wants
    /// it empty. What they leave is for the caller to remove ([`Below::clear`](crate::Below::clear)).
    pub fn below(
        prefix: &str,
        info: PluginInfo,
        cx: Context,
        open: impl Fn() -> Arc<dyn Storage> + Send + Sync + 'static,
    ) -> Self {
        let own = prefix.to_owned();
        let open = move || -> Arc<dyn Storage> { Arc::new(Below::new(open(), &own)) };
        Self {
            info,
            storage: open(),
            open: Box::new(open),
            cx,
            secrets: Vec::new(),
            tells_leftovers: false,
            replaces_at_once: false,
            key_bytes: KEY_BYTES - prefix.len(),
            _fixture: None,
        }
    }

    /// Another instance with the same options.
    fn another(&self) -> Arc<dyn Storage> {
        (self.open)()
    }

    fn cx(&self) -> Context {
        self.cx.clone()
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

#[doc(hidden)]
pub fn sample_options<F: StorageFixture>() -> Vec<Value> {
    vec![F::new().options()]
}
