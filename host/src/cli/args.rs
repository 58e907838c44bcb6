//! The arguments, as clap reads them. Their help texts are the reference.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// A backup engine built out of plugins: source → filters → storages, and back.
#[derive(Parser, Debug)]
#[command(name = "windlass", version, arg_required_else_help = true, max_term_width = 100)]
pub struct Args {
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
    /// Which one.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(clap::Args, Debug, Clone)]
pub struct Global {
    /// The config file; `-` reads it from standard input [env: WINDLASS_CONFIG]
    #[arg(short = 'c', long = "config", global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// Print nothing on success
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Log more: -v what is done, -vv details, -vvv everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Show no progress
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// Look for plugins here first; may be repeated
    #[arg(long = "plugin-dir", global = true, value_name = "DIR")]
    pub plugin_dirs: Vec<PathBuf>,
    /// The label under which this host's snapshots stand (default: `host` of the config, else the host name)
    #[arg(long, global = true, env = "WINDLASS_HOST", value_name = "HOST")]
    pub host: Option<String>,
    /// Where locks and records of runs are kept
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Write a commented windlass.toml for a source
    Init(Init),
    /// Test the setup: config, plugins, sources, filters, storages
    Check(Check),
    /// Make a snapshot of one, several or all pipelines
    Backup(Backup),
    /// List snapshots
    List(List),
    /// Show one snapshot in full
    Show(Show),
    /// Restore a snapshot, or a bare stream
    Restore(Restore),
    /// Read snapshots back and prove them
    Verify(Verify),
    /// Copy a snapshot from one storage to another
    Copy(Copy),
    /// Copy what the storages of a pipeline lack of each other's snapshots
    Reconcile(Reconcile),
    /// Remove the snapshots that the `retention` of a pipeline doesn't keep
    Prune(Prune),
    /// Look at the plugins
    Plugins(Plugins),
    /// Look at the config
    Config(ConfigArgs),
    /// Print a completion script for a shell
    Completions(Completions),
    /// Write the manual pages into a folder
    Man(Man),
}

/// Arguments of `init`.
#[derive(clap::Args, Debug)]
pub struct Init {
    /// What to back up, such as `sqlite:shop.db` or `files:/srv/media`
    #[arg(value_name = "URL")]
    pub source: Option<String>,
    /// Where to, such as `fs:/mnt/nas/backups`
    #[arg(long, value_name = "URL")]
    pub storage: Option<String>,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "windlass.toml")]
    pub output: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub struct Check {
    /// The pipelines; all if none is named. A source URL needs `--storage`
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Ask no source and no storage
    #[arg(long)]
    pub offline: bool,
    /// What a source URL needs besides.
    #[command(flatten)]
    pub adhoc: AdHoc,
}

/// What makes a pipeline out of a source URL.
#[derive(clap::Args, Debug, Clone)]
pub struct AdHoc {
    /// Use this storage (a name or a URL) instead of the pipeline's; may be repeated
    #[arg(long = "storage", value_name = "STORAGE")]
    pub storages: Vec<String>,
    /// For a source URL: pass this filter; may be repeated, in order
    #[arg(long = "filter", value_name = "FILTER")]
    pub filters: Vec<String>,
}

/// Arguments of `backup`.
#[derive(clap::Args, Debug)]
pub struct Backup {
    /// The pipelines, or source URLs (which need `--storage`)
    #[arg(value_name = "PIPELINE")]
    pub pipelines: Vec<String>,
    /// Every pipeline of the config
    #[arg(long, conflicts_with = "pipelines")]
    pub all: bool,
    /// What a source URL needs besides.
    #[command(flatten)]
    pub adhoc: AdHoc,
    /// Show the plan; ask source and storage, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Run so many pipelines at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub jobs: u8,
    /// Tag the snapshots; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub tags: Vec<(String, String)>,
    /// Wait so long for another run of the pipeline to end (`30s`, `10m`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_lock: Option<Duration>,
}

/// Arguments of `list`.
#[derive(clap::Args, Debug)]
pub struct List {
    /// Only this pipeline's
    #[arg(value_name = "[HOST/]PIPELINE")]
    pub pipeline: Option<String>,
    /// Only this storage's (a name or a URL)
    #[arg(long, value_name = "STORAGE")]
    pub storage: Option<String>,
    /// Of all hosts, not only this one
    #[arg(long)]
    pub all_hosts: bool,
    /// Only of this source plugin, such as `sqlite`
    #[arg(long = "type", value_name = "PLUGIN")]
    pub source_type: Option<String>,
    /// Only with this tag; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = key_value)]
    pub tags: Vec<(String, String)>,
    /// Only encrypted ones
    #[arg(long, conflicts_with = "plain")]
    pub encrypted: bool,
    /// Only ones that aren't encrypted
    #[arg(long)]
    pub plain: bool,
    /// Only ones that this key can read: a fingerprint as `show` prints it, or a public key
    #[arg(long, value_name = "FINGERPRINT", conflicts_with = "plain")]
    pub encrypted_to: Option<String>,
    /// Only ones begun since then: a date, a time, or an age (`7d`)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<jiff::Timestamp>,
}

/// Arguments of `show`.
#[derive(clap::Args, Debug)]
pub struct Show {
    /// `[HOST/]PIPELINE`, `…@ID` or `…@2026-11-20[T12:00]`
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Look in this storage (a name or a URL)
    #[arg(long, value_name = "STORAGE")]
    pub storage: Option<String>,
}

/// What to do with what is there.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Mode {
    /// Refuse a target that isn't empty
    Fail,
    /// Make the target equal to the snapshot
    Replace,
    /// Add to what is there; the snapshot wins
    Merge,
}

/// Arguments of `restore`.
#[derive(clap::Args, Debug)]
pub struct Restore {
    /// `[HOST/]PIPELINE` (its newest), `…@ID` or `…@2026-11-20[T12:00]`
    #[arg(value_name = "SNAPSHOT", required_unless_present = "input")]
    pub snapshot: Option<String>,
    /// Restore a bare stream from this file, or from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot", requires = "to")]
    pub input: Option<PathBuf>,
    /// The filters that were applied to the bare stream, in order (default: by the file's name)
    #[arg(long, value_name = "FILTERS", requires = "input", value_delimiter = ',')]
    pub decode: Option<Vec<String>>,
    /// The format of the bare stream (default: the first that the source reads)
    #[arg(long, value_name = "FORMAT", requires = "input")]
    pub format: Option<String>,
    /// Restore to this source (a name or a URL) instead of the pipeline's
    #[arg(long, value_name = "SOURCE")]
    pub to: Option<String>,
    /// Set an option of the source that is restored to; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// End the sessions of others that stand in the way: `--set force=true`, for sources that have sessions
    #[arg(long)]
    pub force: bool,
    /// Restore only this (a table, a path); may be repeated
    #[arg(long, value_name = "NAME")]
    pub only: Vec<OsString>,
    /// What to do with what is already there
    #[arg(long, value_enum, default_value = "fail")]
    pub mode: Mode,
    /// Decode the stream into this file, or to standard output, and restore nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "set", "force", "input", "mode", "dry_run"])]
    pub output: Option<PathBuf>,
    /// Look in this storage (a name or a URL)
    #[arg(long, value_name = "STORAGE")]
    pub storage: Option<String>,
    /// Decrypt with the private key in this file, beside those of `[decode]`; may be repeated
    #[arg(long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
    /// Take a snapshot that isn't encrypted though its pipeline encrypts today
    #[arg(long, conflicts_with = "input")]
    pub accept_chain: bool,
    /// Show what would happen, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Don't ask before overwriting; `--mode` still decides whether anything may be
    #[arg(long, short = 'y')]
    pub yes: bool,
}

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
pub struct Verify {
    /// A pipeline (all its snapshots) or `PIPELINE@…` (one); all pipelines if none is named
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: Option<String>,
    /// Only the manifest, and that every object is there with its size
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Decode too, and compare with the hash of what was backed up
    #[arg(long)]
    pub full: bool,
    /// With `--full`: decrypt with the private key in this file, beside those of `[decode]`; may be repeated
    #[arg(long = "identity", value_name = "FILE", requires = "full")]
    pub identities: Vec<PathBuf>,
    /// Look in this storage (a name or a URL)
    #[arg(long, value_name = "STORAGE")]
    pub storage: Option<String>,
}

/// Arguments of `copy`.
#[derive(clap::Args, Debug)]
pub struct Copy {
    /// `[HOST/]PIPELINE` (its newest), `…@ID` or `…@2026-11-20[T12:00]`
    #[arg(value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// The storage that has it (a name or a URL)
    #[arg(long, value_name = "STORAGE")]
    pub from: String,
    /// The storage that it is copied to (a name or a URL)
    #[arg(long, value_name = "STORAGE")]
    pub to: String,
    /// Say what would be copied, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait so long for a run of the pipeline to end (`30s`, `10m`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_lock: Option<Duration>,
}

/// Arguments of `reconcile`.
#[derive(clap::Args, Debug)]
pub struct Reconcile {
    /// The pipelines; all of the config if none is named
    #[arg(value_name = "[HOST/]PIPELINE")]
    pub pipelines: Vec<String>,
    /// Say what would be copied, write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait so long for a run of a pipeline to end (`30s`, `10m`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_lock: Option<Duration>,
}

/// Arguments of `prune`.
#[derive(clap::Args, Debug)]
pub struct Prune {
    /// The pipelines; all that have a `retention` if none is named
    #[arg(value_name = "[HOST/]PIPELINE")]
    pub pipelines: Vec<String>,
    /// Only in this storage (a name or a URL)
    #[arg(long, value_name = "STORAGE")]
    pub storage: Option<String>,
    /// Say what would be removed, remove nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Say of each snapshot that is kept which rules keep it
    #[arg(long)]
    pub explain: bool,
    /// Wait so long for a run of a pipeline to end (`30s`, `10m`)
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub wait_lock: Option<Duration>,
}

/// Arguments of `plugins`.
#[derive(clap::Args, Debug)]
pub struct Plugins {
    /// Which one.
    #[command(subcommand)]
    pub command: PluginsCommand,
}

/// The commands of `plugins`.
#[derive(Subcommand, Debug)]
pub enum PluginsCommand {
    /// List the plugins that are found, the shadowed and the broken ones too
    List,
    /// Show what a plugin says of itself, with its options
    Info {
        /// `zstd`, `vendor/name`, or with its kind: `filter/zstd`
        #[arg(value_name = "PLUGIN")]
        plugin: String,
    },
    /// Print the folders that are searched, first match first
    Path,
    /// Run the conformance suite on a storage of yours; what it stores there it removes
    Test {
        /// What is tested
        #[arg(value_enum)]
        kind: Testable,
        /// A storage of the config, or its URL
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// What `plugins test` can test.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Testable {
    /// A storage
    Storage,
}

/// Arguments of `config`.
#[derive(clap::Args, Debug)]
pub struct ConfigArgs {
    /// Which one.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The commands of `config`.
#[derive(Subcommand, Debug)]
pub enum ConfigCommand {
    /// Print the JSON schema of the config, with the options of all installed plugins
    Schema,
    /// Print every value of the config and where it comes from; secrets are hidden
    Show,
}

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub struct Man {
    /// The folder; it is made if it isn't there
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text).map_err(|error| error.to_string())
}

fn since(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(age) = crate::config::parse_duration(text) {
        let now = jiff::Timestamp::now();
        return now.checked_sub(age).map_err(|error| error.to_string());
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time);
    }
    let local =
        text.parse::<jiff::civil::DateTime>().map_err(|_| "write a date, a time, or an age such as 7d")?;
    local
        .to_zoned(jiff::tz::TimeZone::system())
        .map(|zoned| zoned.timestamp())
        .map_err(|error| error.to_string())
}
