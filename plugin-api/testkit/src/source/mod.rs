//! The suite of sources.
//!
//! Each function proves one sentence on a fixture of its own, with the calls that the host makes: `probe`, `backup`;
//! `target`, `restore`. It knows no format: what is equal, the fixture's fingerprints say.

mod backup;
mod restore;

use std::time::Duration;

use serde_json::Value;
use windlass_plugin_api::export::Described;
use windlass_plugin_api::ffi::root::{Root, source_header};
use windlass_plugin_api::{
    Contents, Error, Inputs, Plugin, PluginInfo, RestoreMode, RestoreOptions, Restored, Result, Source,
    Target,
};

pub use self::backup::*;
pub use self::restore::*;
use crate::description;
use crate::host::TestHost;
use crate::streams::{MemoryInputs, MemoryOutputs};

/// How long a call that must come may take to come.
const LONGEST: Duration = Duration::from_secs(60);

/// What a source is tested with: something to back up, and somewhere to restore it to.
pub trait SourceFixture: 'static {
    /// Makes a source with something in it and an empty target, shared with no other fixture. Dropping it cleans up.
    /// A few hundred kilobytes are a good size: enough for several writes.
    fn new() -> Self
    where
        Self: Sized;

    /// The options of the source that is backed up; each call the same, except after [`change`](Self::change).
    fn options(&self) -> Value;

    /// The options of the source that is restored to; empty at first.
    fn target_options(&self) -> Value;

    /// What is in the source, so that two fingerprints are equal exactly if the contents are; readable in a failure.
    fn fingerprint(&self) -> String;

    /// What is in the target, comparable with [`fingerprint`](Self::fingerprint).
    fn target_fingerprint(&self) -> String;

    /// Changes what is in the source: something added, something changed, something removed. By default nothing is
    /// changed, and the suite can't tell a target that was replaced from one that was left alone.
    fn change(&self) {}

    /// The host that it needs: secrets, storages.
    fn host(&self) -> TestHost {
        TestHost::new()
    }

    /// How long a call may go on after its run was cancelled. Generous by default: machines under test are busy.
    fn promptly(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// The source can tell whether its target is empty, and can replace what is in it. A pair of commands can't.
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

/// A backup in memory.
struct Taken {
    contents: Contents,
    streams: MemoryInputs,
}

impl<F: SourceFixture> Subject<F> {
    /// The source `T` on a fixture of its own.
    pub fn new<T: Plugin + Source + Described + 'static>() -> Self {
        let header = Box::leak(Box::new(source_header::<T>()));
        let root = Root::linked(header).unwrap_or_else(|error| panic!("the entry can't be used: {error}"));
        Self { info: description::info::<T>(), root, fixture: F::new() }
    }

    /// The same source on another fixture: for what leaves its target in pieces.
    fn fresh(&self) -> Self {
        Self { info: self.info.clone(), root: self.root, fixture: F::new() }
    }

    fn open(&self, options: &Value, host: &TestHost) -> Box<dyn Source> {
        self.root.source(options, &host.context()).unwrap_or_else(|error| panic!("can't be made: {error}"))
    }

    /// As the host backs up, with an instance of its own.
    fn backup(&self, host: &TestHost, out: &MemoryOutputs) -> Result<Contents> {
        let mut source = self.open(&self.fixture.options(), host);
        source.probe(&host.context())?;
        source.backup(&host.context(), out)
    }

    /// A backup that must go well.
    fn taken(&self) -> Taken {
        let out = MemoryOutputs::new();
        let contents = self.backup(&self.fixture.host(), &out);
        let contents = contents.unwrap_or_else(|error| panic!("the backup failed: {error}"));
        Taken { contents, streams: out.inputs() }
    }

    /// As the host restores, with an instance of its own; without the host's refusal of a target that isn't empty.
    fn restore(
        &self,
        host: &TestHost,
        contents: &Contents,
        input: &MemoryInputs,
        mode: RestoreMode,
    ) -> (Target, Result<Restored>) {
        let how = how(contents, input, mode);
        let mut source = self.open(&self.fixture.target_options(), host);
        let target = source.target(&host.context(), &how);
        let target = target.unwrap_or_else(|error| panic!("the target can't be looked at: {error}"));
        let restored = source.restore(&host.context(), input, &how);
        (target, restored)
    }

    /// A restore that must go well.
    fn restored(&self, taken: &Taken, mode: RestoreMode) -> Target {
        let (target, result) = self.restore(&self.fixture.host(), &taken.contents, &taken.streams, mode);
        let restored = result.unwrap_or_else(|error| panic!("the restore failed: {error}"));
        assert_eq!(restored.left_out, Vec::<String>::new(), "something couldn't be put back");
        target
    }

    /// Every text that the plugin gives to people or to the manifest holds no secret.
    fn holds_no_secret(&self, text: &str) {
        let mut secrets = self.fixture.host().secret_values();
        for options in [self.fixture.options(), self.fixture.target_options()] {
            secrets.extend(description::secrets_in(&self.info, &options));
        }
        for secret in secrets {
            assert!(!text.contains(&secret), "a secret stands in {}", text.replace(&secret, "(here)"));
        }
    }
}

fn how(contents: &Contents, input: &MemoryInputs, mode: RestoreMode) -> RestoreOptions {
    let formats = input.streams().into_iter().map(|(name, info)| (name, info.stream_format));
    RestoreOptions {
        mode,
        snapshot: "20260101T000000Z-test".into(),
        contents: Some(contents.clone()),
        stream_formats: formats.collect(),
        ..RestoreOptions::default()
    }
}

/// `got` is `wanted`, perhaps with words in front.
fn is_itself(wanted: &Error, got: Option<Error>, when: &str) {
    let got = got.unwrap_or_else(|| panic!("{when}: `{wanted}` was swallowed"));
    let is_there = got.message == wanted.message || got.causes.contains(&wanted.message);
    assert!(is_there && got.kind == wanted.kind, "{when}: `{wanted}` came back as {got:?}");
}

#[doc(hidden)]
pub fn sample_options<F: SourceFixture>() -> Vec<Value> {
    let fixture = F::new();
    vec![fixture.options(), fixture.target_options()]
}
