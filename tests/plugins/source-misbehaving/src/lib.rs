//! A source that fails on request: a fixture for the tests of the host. Backs up pseudo-random bytes.
//!
//! It goes wrong in one chosen way and is honest otherwise. Nothing but a test names it.

mod behaviour;
mod target;

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use windlass_plugin_api::{
    Contents, Context, Error, ErrorKind, Inputs, Item, Outputs, Plugin, Probe, RestoreMode, RestoreOptions,
    Restored, Result, Sink, Source, StreamInfo, Target,
};
use windlass_testkit::faulty::wait;
use windlass_testkit::noise::Noise;

pub use crate::behaviour::Behaviour;
use crate::target::{Siblings, in_target, with_name};

windlass_plugin_api::export_plugin! {
    source Misbehaving {
        "name": "misbehaving",
        "summary": "writes pseudo-random bytes and goes wrong on request",
        "schemes": ["misbehaving"],
        "url_option": "behaviour",
        "reads": ["test/1"],
        "writes": ["test/1"],
    }
    options: "../options.schema.json"
}

const FORMAT: &str = "test/1";
const CHUNK: usize = 64 * 1024;

/// Options of `misbehaving`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What goes wrong.
    behaviour: Behaviour,
    /// How many bytes each stream has.
    bytes: u64,
    /// What it says in place of how many bytes there are in each stream.
    estimate_bytes: Option<u64>,
    /// How many streams there are: `data`, or `data-0001` and so on.
    streams: u64,
    /// Which bytes: the same seed gives the same.
    seed: u64,
    /// A restore writes each stream to this path with a dot and the stream's name behind it.
    target: Option<PathBuf>,
    /// At most so many bytes a second are written, and read.
    slow_bytes_per_second: Option<u64>,
    /// The backup says that so many items were left out.
    left_out: u64,
    /// What can be found, each to be backed up by itself.
    items: Vec<String>,
    /// The one that this is.
    item: Option<String>,
    /// A backup of these fails half way.
    broken_items: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            behaviour: Behaviour::None,
            bytes: 100_000,
            estimate_bytes: None,
            streams: 1,
            seed: 1,
            target: None,
            slow_bytes_per_second: None,
            left_out: 0,
            items: Vec::new(),
            item: None,
            broken_items: Vec::new(),
        }
    }
}

/// The source.
pub struct Misbehaving {
    options: Options,
    /// What a source that leaves a stream open keeps.
    kept: Vec<Box<dyn Sink>>,
}

impl Plugin for Misbehaving {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        options.behaviour.panics_if(Behaviour::PanicInNew);
        Ok(Self { options, kept: Vec::new() })
    }
}

impl Source for Misbehaving {
    fn probe(&mut self, _: &Context) -> Result<Probe> {
        self.options.behaviour.panics_if(Behaviour::PanicInProbe);
        self.options.behaviour.fails_if(Behaviour::FailsInProbe)?;
        let truth = self.options.bytes.saturating_mul(self.options.streams);
        Ok(Probe { estimate_bytes: Some(self.options.estimate_bytes.unwrap_or(truth)), ..Probe::default() })
    }

    fn discover(&mut self, cx: &Context) -> Result<Vec<Item>> {
        self.options.behaviour.half_way(cx)?;
        Ok(self.options.items.iter().map(|name| Item { name: name.clone(), ..Item::default() }).collect())
    }

    fn backup(&mut self, cx: &Context, out: &dyn Outputs) -> Result<Contents> {
        let is_broken =
            self.options.item.as_ref().is_some_and(|item| self.options.broken_items.contains(item));
        let behaviour = if is_broken { Behaviour::FailsHalfWay } else { self.options.behaviour };
        behaviour.panics_if(Behaviour::PanicInBackup);
        for number in 1..=self.options.streams {
            let info =
                StreamInfo::new(FORMAT).size_hint(self.options.estimate_bytes.unwrap_or(self.options.bytes));
            let mut sink = out.create(&behaviour.stream_name(self.options.streams, number), info)?;
            let written = self.write(cx, behaviour, number, &mut *sink);
            match behaviour {
                Behaviour::IgnoresErrors => drop(written.and_then(|()| sink.finish())),
                Behaviour::DropsAStream => drop(sink),
                Behaviour::LeavesAStreamOpen => self.kept.push(sink),
                _ => drop(written.and_then(|()| sink.finish())?),
            }
        }
        behaviour.panics_if(Behaviour::PanicAfterFinish);
        behaviour.fails_if(Behaviour::FailsAfterFinish)?;
        Ok(Contents {
            left_out: (1..=self.options.left_out.min(10)).map(|number| format!("item {number}")).collect(),
            left_out_count: self.options.left_out,
            details: [("bytes".to_owned(), json!(self.options.bytes))].into_iter().collect(),
            ..Contents::default()
        })
    }

    fn target(&mut self, _: &Context, how: &RestoreOptions) -> Result<Target> {
        self.options.behaviour.panics_if(Behaviour::PanicInTarget);
        let path = self.target_path()?;
        nothing_chosen(how)?;
        let there = in_target(path)?;
        let effects = there.iter().map(|path| format!("removes `{}`", path.display())).collect();
        Ok(Target {
            place: match &self.options.item {
                Some(item) => format!("{} for {item}", path.display()),
                None => path.display().to_string(),
            },
            empty: there.is_empty(),
            effects,
            atomic: true,
            ..Target::default()
        })
    }

    fn restore(&mut self, cx: &Context, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
        self.options.behaviour.panics_if(Behaviour::PanicInRestore);
        nothing_chosen(how)?;
        let path = self.target_path()?.to_owned();
        let there = in_target(&path)?;
        if how.mode == RestoreMode::Fail && !there.is_empty() {
            return Err(Error::new(ErrorKind::Refused, format!("`{}` isn't empty", path.display())));
        }
        let siblings = Siblings::new(&path, &cx.run())?;
        for (name, _) in input.streams() {
            self.read(cx, input, &name, &siblings)?;
        }
        self.options.behaviour.fails_if(Behaviour::FailsAfterReading)?;
        // Atomic up to here, which is where its failures are; the renames themselves are one by one.
        if how.mode == RestoreMode::Replace {
            there.iter().try_for_each(fs::remove_file)?;
        }
        for (name, _) in input.streams() {
            fs::rename(siblings.path(&name), with_name(&path, &name))?;
        }
        Ok(Restored { place: path.display().to_string(), ..Restored::default() })
    }

    fn by_hand(&self, _: &str, _: &Contents) -> Option<String> {
        self.options.behaviour.panics_if(Behaviour::PanicInByHand);
        Some("cat > restored".to_owned())
    }
}

impl Drop for Misbehaving {
    fn drop(&mut self) {
        self.options.behaviour.panics_if(Behaviour::PanicInDrop);
    }
}

impl Misbehaving {
    /// Each item has bytes of its own.
    fn seed(&self) -> u64 {
        let item = self.options.item.iter().flat_map(|item| item.bytes());
        item.fold(self.options.seed, |seed, byte| seed.wrapping_mul(257).wrapping_add(byte.into()))
    }

    /// Writes the stream `number`, going wrong in its middle where that is asked for.
    fn write(&self, cx: &Context, behaviour: Behaviour, number: u64, sink: &mut dyn Sink) -> Result<()> {
        let mut noise = Noise::new(self.seed().wrapping_mul(1_000).wrapping_add(number));
        let half = self.options.bytes / 2;
        self.copy(cx, &mut (&mut noise).take(half), sink)?;
        behaviour.half_way(cx)?;
        self.copy(cx, &mut noise.take(self.options.bytes - half), sink)
    }

    /// Reads the stream `name` into its sibling.
    fn read(&self, cx: &Context, input: &dyn Inputs, name: &str, siblings: &Siblings) -> Result<()> {
        let mut file = siblings.create(name)?;
        let mut reader = input.open(name)?;
        self.copy(cx, &mut (&mut reader).take(self.options.bytes / 2), &mut file)?;
        if self.options.behaviour == Behaviour::ReadsHalf {
            return Ok(());
        }
        self.options.behaviour.half_way_back(cx)?;
        self.copy(cx, &mut reader, &mut file)
    }

    fn copy(&self, cx: &Context, from: &mut dyn Read, to: &mut dyn Write) -> Result<()> {
        let rate = self.options.slow_bytes_per_second.map(|rate| rate.max(1));
        let size = rate.map_or(CHUNK, |rate| usize::try_from(rate / 8).unwrap_or(CHUNK).clamp(1, CHUNK));
        let mut buffer = vec![0; size];
        loop {
            cx.go_on()?;
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            if let Some(rate) = rate {
                wait(cx, Duration::from_secs_f64(count as f64 / rate as f64))?;
            }
            to.write_all(&buffer[..count])?;
        }
    }

    fn target_path(&self) -> Result<&Path> {
        let path = self.options.target.as_deref();
        path.ok_or_else(|| Error::new(ErrorKind::Config, "no `target` to restore to"))
    }
}

fn nothing_chosen(how: &RestoreOptions) -> Result<()> {
    match how.only.first() {
        Some(name) => Err(Error::new(ErrorKind::NotFound, format!("no part `{name}`: there are none"))),
        None => Ok(()),
    }
}
