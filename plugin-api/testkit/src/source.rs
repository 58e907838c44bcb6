//! The suite of sources.

use serde_json::Value;
use windlass_plugin_api::export::Described;
use windlass_plugin_api::ffi::root::{Root, source_header};
use windlass_plugin_api::{Plugin, PluginInfo, RestoreOptions, Source};

use crate::description;
use crate::host::TestHost;
use crate::streams::MemoryOutputs;

/// What a source is tested with: something to back up, and somewhere to restore it to.
pub trait SourceFixture: 'static {
    /// Makes a source with something in it and an empty target, shared with no other fixture. Dropping it cleans up.
    fn new() -> Self
    where
        Self: Sized;

    /// The options of the source that is backed up; each call the same.
    fn options(&self) -> Value;

    /// The options of the source that is restored to; empty at first.
    fn target_options(&self) -> Value;

    /// What is in the source, so that two fingerprints are equal exactly if the contents are; readable in a failure.
    fn fingerprint(&self) -> String;

    /// What is in the target, comparable with [`fingerprint`](Self::fingerprint).
    fn target_fingerprint(&self) -> String;

    /// The host that it needs: secrets, storages.
    fn host(&self) -> TestHost {
        TestHost::new()
    }

    /// The source can tell whether its target is empty. A pair of commands can't.
    fn tells_empty(&self) -> bool {
        true
    }
}

/// A source under test.
pub struct Subject<F> {
    info: PluginInfo,
    root: Root,
    fixture: F,
}

impl<F: SourceFixture> Subject<F> {
    /// The source `T` on a fixture of its own.
    pub fn new<T: Plugin + Source + Described + 'static>() -> Self {
        let header = Box::leak(Box::new(source_header::<T>()));
        let root = Root::linked(header).unwrap_or_else(|error| panic!("the entry can't be used: {error}"));
        Self { info: description::info::<T>(), root, fixture: F::new() }
    }

    fn open(&self, options: &Value, host: &TestHost) -> Box<dyn Source> {
        self.root.source(options, &host.context()).unwrap_or_else(|error| panic!("can't be made: {error}"))
    }
}

#[doc(hidden)]
pub fn sample_options<F: SourceFixture>() -> Vec<Value> {
    let fixture = F::new();
    vec![fixture.options(), fixture.target_options()]
}

/// Into an empty target, as the host does it: `target`, then `restore`.
pub fn a_restore_gives_what_was_backed_up<F: SourceFixture>(subject: &Subject<F>) {
    let host = subject.fixture.host();
    let (cx, out) = (host.context(), MemoryOutputs::new());
    let contents = subject.open(&subject.fixture.options(), &host).backup(&cx, &out).unwrap();
    let how = RestoreOptions { contents: Some(contents), ..RestoreOptions::default() };
    let mut target = subject.open(&subject.fixture.target_options(), &host);
    target.target(&cx, &how).unwrap();
    target.restore(&cx, &out.inputs(), &how).unwrap();
    let _ = &subject.info;
    assert_eq!(subject.fixture.fingerprint(), subject.fixture.target_fingerprint());
}
