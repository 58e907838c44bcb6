//! `windlass check`.

use super::args::Check;
use super::session::Session;
use crate::config::Selection;
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::check::check;
use crate::pipeline::sense;
use crate::report::{Checked, Event};

/// Tests the setup of the pipelines that are named, or of everything.
pub fn run(session: &Session, arguments: &Check) -> Outcome<Exit> {
    if arguments.pipelines.is_empty() {
        session.judge(Selection::All)?;
        if session.config.pipelines.is_empty() {
            return Err(Failure::usage("there is no pipeline to check")
                .hint("Write a config with `windlass init URL`, or name a source URL and `--storage`."));
        }
    }
    let plans = session.plans(&arguments.pipelines, &arguments.adhoc)?;
    plans.iter().try_for_each(|plan| sense::can_be_stored(&plan.pipeline, &plan.storages))?;
    if let Some(path) = &session.config.path {
        let what = format!("config {}", path.display());
        session.report.event(&Event::Checked(Checked { what, ok: true, details: Vec::new() }));
    }
    let engine = session.engine()?;
    let exits = plans.iter().map(|plan| check(&engine, plan, arguments.offline));
    Ok(exits.fold(Exit::Ok, Exit::and))
}
