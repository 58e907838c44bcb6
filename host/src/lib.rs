//! The Windlass engine: plugins chained into backups and restores.
//!
//! In the order in which data flows: [`cli`] reads the command line, [`config`] the file, [`plugins`] finds and loads what
//! they name, [`pipeline`] makes a plan and runs it, [`catalog`] is what a storage holds, [`retention`] what of it is kept, [`run`] is what surrounds a run
//! (cancelling, locks, leftovers), [`wrap`] stands between the engine and a plugin, [`report`] tells about it. The engine prints nothing itself.

pub mod catalog;
pub mod cli;
pub mod config;
pub mod exit;
pub mod pipeline;
pub mod plugins;
pub mod report;
pub mod retention;
pub mod run;
pub mod wrap;
