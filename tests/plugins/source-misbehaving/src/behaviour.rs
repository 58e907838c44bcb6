//! What can go wrong, and the wrong doing itself.

use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{Context, Error, Result};
use windlass_testkit::faulty::wait;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Nothing.
    #[default]
    None,
    /// The constructor panics.
    PanicInNew,
    /// `probe` panics.
    PanicInProbe,
    /// `backup` panics before it creates a stream.
    PanicInBackup,
    /// `backup` panics in the middle of a stream.
    PanicHalfWay,
    /// `backup` panics when every stream is finished.
    PanicAfterFinish,
    /// `target` panics.
    PanicInTarget,
    /// `restore` panics before it reads a byte.
    PanicInRestore,
    /// `by_hand` panics.
    PanicInByHand,
    /// The destructor panics.
    PanicInDrop,
    /// `probe` fails.
    FailsInProbe,
    /// `backup` fails in the middle of a stream.
    FailsHalfWay,
    /// `backup` writes and finishes every stream and then fails: a dump that exits with 1 after good output.
    FailsAfterFinish,
    /// `restore` reads every stream to its end and then fails.
    FailsAfterReading,
    /// `restore` reads half of each stream and says that all is well.
    ReadsHalf,
    /// `backup` takes no notice of a sink's error and says that all is well.
    IgnoresErrors,
    /// `backup` drops its streams without finishing them and says that all is well.
    DropsAStream,
    /// `backup` keeps its streams, unfinished, and says that all is well.
    LeavesAStreamOpen,
    /// `backup` creates its second stream under the name of the first.
    SameName,
    /// `backup` gives its streams a name that is none.
    BadName,
    /// `backup` and `restore` sleep for ever in the middle of a stream and don't look whether they are cancelled.
    Blocks,
    /// `backup` and `restore` wait in the middle of a stream until they are cancelled.
    Waits,
    /// `backup` and `restore` kill their own process, which is the host, in the middle of a stream.
    KillsItself,
    /// `backup` and `restore` abort the process in the middle of a stream, as a failed assertion in C does.
    Aborts,
}

impl Behaviour {
    /// Panics where it is `this`.
    pub(crate) fn panics_if(self, this: Self) {
        assert!(self != this, "asked to: {this:?}");
    }

    /// Fails where it is `this`.
    pub(crate) fn fails_if(self, this: Self) -> Result<()> {
        if self == this {
            return Err(Error::failed(format!("asked to: {this:?}")).hint("Ask for something else."));
        }
        Ok(())
    }

    /// What goes wrong in the middle of a backup's stream.
    pub(crate) fn half_way(self, cx: &Context) -> Result<()> {
        self.panics_if(Self::PanicHalfWay);
        self.fails_if(Self::FailsHalfWay)?;
        self.half_way_back(cx)
    }

    /// What goes wrong in the middle of a restore's stream.
    #[allow(clippy::disallowed_methods)] // `abort` is the wrong that was asked for.
    pub(crate) fn half_way_back(self, cx: &Context) -> Result<()> {
        match self {
            Self::Blocks => loop {
                thread::sleep(Duration::from_secs(1));
            },
            Self::Waits => wait(cx, Duration::from_secs(24 * 60 * 60)),
            Self::KillsItself => {
                kill_process(getpid(), Signal::KILL).map_err(std::io::Error::from)?;
                Ok(())
            }
            Self::Aborts => std::process::abort(),
            _ => Ok(()),
        }
    }

    /// The name of the stream `number` of `count`.
    pub(crate) fn stream_name(self, count: u64, number: u64) -> String {
        match self {
            Self::BadName => "../Data".to_owned(),
            _ if count == 1 || self == Self::SameName => "data".to_owned(),
            _ => format!("data-{number:04}"),
        }
    }
}
