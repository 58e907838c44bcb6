//! What a plugin logs, through `tracing` or `log`, ends in the host's log; and its panics do too.
//!
//! Every shared library has its own copy of both crates and of std, hence its own subscriber, logger and panic hook.
//! Libraries that are linked into a plugin log through them too, and what they tell on their way may hold secrets (one
//! prints private keys while it reads them). So only the plugin's own lines pass at every level.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RStr};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::subscriber::{Interest, Subscriber};
use tracing_core::{Event, Level, LevelFilter, Metadata};

use super::guard::{guard, remember_place};

/// Levels as they cross: 1 error, 2 warn, 3 info, 4 debug, 5 trace; 0 nothing.
pub const ERROR: u8 = 1;
const WARN: u8 = 2;

/// Where log lines go.
pub trait LogLines: Send + Sync {
    /// `fields` is `name=value` text; may be empty.
    fn line(&self, level: u8, target: &str, message: &str, fields: &str);
}

#[sabi_trait]
pub trait AbiLog: Send + Sync {
    #[sabi(last_prefix_field)]
    fn line(&self, level: u8, target: RStr<'_>, message: RStr<'_>, fields: RStr<'_>);
}

pub type LogBox = AbiLog_TO<'static, RBox<()>>;

pub struct FfiLog(Arc<dyn LogLines>);

impl FfiLog {
    pub fn boxed(lines: Arc<dyn LogLines>) -> LogBox {
        AbiLog_TO::from_value(Self(lines), abi_stable::sabi_trait::TD_Opaque)
    }
}

impl AbiLog for FfiLog {
    fn line(&self, level: u8, target: RStr<'_>, message: RStr<'_>, fields: RStr<'_>) {
        let _ = guard("log", || Ok(self.0.line(level, target.as_str(), message.as_str(), fields.as_str())));
    }
}

static LOG: OnceLock<LogBox> = OnceLock::new();

/// What the names of the house's own crates begin with.
const HOUSE: &str = "windlass_";

/// Crates by their names.
struct Crates(RwLock<Vec<&'static str>>);

impl Crates {
    const fn new() -> Self {
        Self(RwLock::new(Vec::new()))
    }

    fn add(&self, name: &'static str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(name);
    }

    fn has(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }
}

/// The crates of the plugins in this shared library; several where they are linked into one binary.
static OWN: Crates = Crates::new();
/// See [`silence`].
static SILENT: Crates = Crates::new();

/// From now on nothing that the library `crate_name` logs leaves the plugin, not even its errors. For one that is known
/// to log what nobody should see. Call it in [`Plugin::new`](crate::Plugin::new), before the library is used.
pub fn silence(crate_name: &'static str) {
    if !SILENT.has(crate_name) {
        SILENT.add(crate_name);
        tracing_core::callsite::rebuild_interest_cache();
    }
}

/// Whether a line may leave: each of the plugin's own crate and of the house's, and of libraries warnings and errors.
///
/// `place` is the module that it stands in: a target can be any text.
fn passes(level: u8, place: &str) -> bool {
    let name = place.split("::").next().unwrap_or_default();
    match () {
        () if SILENT.has(name) => false,
        () if name.starts_with(HOUSE) || OWN.has(name) => true,
        () => level <= WARN,
    }
}

/// The crate that the type stands in.
pub fn crate_of<T>() -> &'static str {
    std::any::type_name::<T>().split("::").next().unwrap_or_default()
}

/// Installs the forwarding in this shared library for the plugin of the crate `own`. Of several calls the first `log`
/// counts.
pub fn attach(log: LogBox, max_level: u8, own: &'static str) {
    OWN.add(own);
    if LOG.set(log).is_err() {
        return;
    }
    let filter = filter_of(max_level);
    let _ = tracing_core::dispatcher::set_global_default(tracing_core::Dispatch::new(Forward { filter }));
    if log::set_logger(&FORWARD_LOG).is_ok() {
        log::set_max_level(log_filter_of(max_level));
    }
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        send(ERROR, "panic", &info.to_string().replace('\n', ": "), "");
        remember_place(place);
    }));
}

fn send(level: u8, target: &str, message: &str, fields: &str) {
    if let Some(log) = LOG.get() {
        log.line(level, target.into(), message.into(), fields.into());
    }
}

fn filter_of(level: u8) -> LevelFilter {
    match level {
        0 => LevelFilter::OFF,
        1 => LevelFilter::ERROR,
        2 => LevelFilter::WARN,
        3 => LevelFilter::INFO,
        4 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    }
}

fn log_filter_of(level: u8) -> log::LevelFilter {
    match level {
        0 => log::LevelFilter::Off,
        1 => log::LevelFilter::Error,
        2 => log::LevelFilter::Warn,
        3 => log::LevelFilter::Info,
        4 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    }
}

fn number_of(level: &Level) -> u8 {
    match *level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

/// Events only: spans are accepted and not forwarded.
struct Forward {
    filter: LevelFilter,
}

#[derive(Default)]
struct Line {
    message: String,
    fields: String,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        if !self.fields.is_empty() {
            self.fields.push(' ');
        }
        let _ = write!(self.fields, "{}={value:?}", field.name());
    }
}

impl Subscriber for Forward {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Subscriber::enabled(self, metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let place = metadata.module_path().unwrap_or_else(|| metadata.target());
        *metadata.level() <= self.filter && passes(number_of(metadata.level()), place)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.filter)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        send(number_of(metadata.level()), metadata.target(), &line.message, &line.fields);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

impl log::Log for Forward {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &log::Record<'_>) {
        let place = record.module_path().unwrap_or_else(|| record.target());
        if log::Log::enabled(self, record.metadata()) && passes(record.level() as u8, place) {
            send(record.level() as u8, record.target(), &record.args().to_string(), "");
        }
    }

    fn flush(&self) {}
}

static FORWARD_LOG: Forward = Forward { filter: LevelFilter::TRACE };
