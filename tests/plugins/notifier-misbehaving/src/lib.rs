//! A notifier that fails on request: a fixture for the tests of the host. Appends each event to a file.
//!
//! It goes wrong in one chosen way and is honest otherwise. Nothing but a test names it.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{Context, During, Error, ErrorKind, Event, Notifier, Plugin, Result};

windlass_plugin_api::export_plugin! {
    notifier Misbehaving {
        "name": "misbehaving",
        "summary": "appends events to a file and goes wrong on request",
    }
    options: "../options.schema.json"
}

/// Options of `misbehaving`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The file that events are appended to, a line of JSON each.
    file: Option<PathBuf>,
    /// What goes wrong.
    behaviour: Behaviour,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Nothing.
    #[default]
    None,
    /// The constructor panics.
    PanicInNew,
    /// `notify` panics.
    PanicInNotify,
    /// The destructor panics.
    PanicInDrop,
    /// `notify` fails.
    Fails,
}

/// The notifier.
pub struct Misbehaving {
    options: Options,
}

impl Plugin for Misbehaving {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.behaviour.panics_if(Behaviour::PanicInNew);
        Ok(Self { options })
    }
}

impl Notifier for Misbehaving {
    fn notify(&self, _: &Context, event: &Event) -> Result<()> {
        self.options.behaviour.panics_if(Behaviour::PanicInNotify);
        if self.options.behaviour == Behaviour::Fails {
            return Err(Error::new(ErrorKind::Unavailable, "asked to fail"));
        }
        let Some(path) = &self.options.file else { return Ok(()) };
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        let mut file = file.during_with(|| format!("can't open `{}`", path.display()))?;
        let line = serde_json::to_string(event)
            .map_err(|error| Error::failed("an event can't be written").because(&error))?;
        // One write: lines of several threads stay whole.
        Ok(file.write_all(format!("{line}\n").as_bytes())?)
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.options.behaviour.panics_if(Behaviour::PanicInDrop);
    }
}

impl Behaviour {
    /// Panics where it is `this`.
    fn panics_if(self, this: Self) {
        assert!(self != this, "asked to: {this:?}");
    }
}
