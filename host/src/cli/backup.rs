//! `windlass backup`.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::args::Backup;
use super::session::Session;
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::backup::{backup, dry_run};
use crate::pipeline::each::expand;
use crate::pipeline::plan::{Engine, Plan};
use crate::pipeline::sense;
use crate::report::{Event, error_event};

/// Backs up each pipeline; one that fails doesn't stop the others.
pub fn run(session: &Session, arguments: &Backup) -> Outcome<Exit> {
    if arguments.pipelines.is_empty() && !arguments.all && session.config.pipelines.len() > 1 {
        let names: Vec<&str> = session.config.pipelines.keys().map(String::as_str).collect();
        return Err(Failure::usage("which pipeline?")
            .hint(format!("There are {}; `--all` takes them all.", names.join(", "))));
    }
    let mut plans = session.plans(&arguments.pipelines, &arguments.adhoc)?;
    if plans.is_empty() {
        return Err(Failure::usage("there is nothing to back up")
            .hint("Write a config with `windlass init URL`, or name a source URL and `--storage`."));
    }
    for plan in &mut plans {
        sense::can_be_stored(&plan.pipeline, &plan.storages)?;
        plan.tags.extend(arguments.tags.iter().cloned());
        plan.wait_lock = arguments.wait_lock.unwrap_or_default();
    }
    let engine = session.engine()?;
    let tell = |failure: Failure| -> Exit {
        failure.all().for_each(|failure| engine.report.event(&error_event(failure)));
        failure.exit
    };
    let one = |plan: Plan| -> Exit {
        let outcome = if arguments.dry_run { plan_only(&engine, &plan) } else { store(&engine, plan) };
        outcome.unwrap_or_else(tell)
    };
    let (plans, exit) = with_items(plans, &engine, tell);
    Ok(exit.and(in_parallel(plans, usize::from(arguments.jobs), &engine, one)))
}

/// The plans, one for each item where there is an `each`; and the gravest of what went wrong in finding those.
fn with_items(plans: Vec<Plan>, engine: &Arc<Engine>, tell: impl Fn(Failure) -> Exit) -> (Vec<Plan>, Exit) {
    let (mut all, mut exit) = (Vec::new(), Exit::Ok);
    let found =
        plans.into_iter().flat_map(|plan| expand(engine, plan).unwrap_or_else(|failure| vec![Err(failure)]));
    for plan in found {
        match plan {
            Ok(plan) => all.push(plan),
            Err(failure) => exit = exit.and(tell(Failure { exit: of_backup(&failure), ..failure })),
        }
    }
    (all, exit)
}

fn plan_only(engine: &Arc<Engine>, plan: &Plan) -> Outcome<Exit> {
    let planned = dry_run(engine, plan).map_err(|failure| failure.in_pipeline(&plan.pipeline))?;
    let exit = if planned.storages_left_out.is_empty() { Exit::Ok } else { Exit::Incomplete };
    engine.report.event(&Event::Planned(planned));
    Ok(exit)
}

fn store(engine: &Arc<Engine>, plan: Plan) -> Outcome<Exit> {
    let stored = backup(engine, &Arc::new(plan))
        .map_err(|failure| Failure { exit: of_backup(&failure), ..failure })?;
    let is_whole = stored.left_out == 0 && stored.storages_left_out.is_empty();
    let exit = if is_whole { Exit::Ok } else { Exit::Incomplete };
    engine.report.event(&Event::Stored(stored));
    Ok(exit)
}

/// A backup finds no damage and refuses nothing: whatever kept it from storing is a failure.
fn of_backup(failure: &Failure) -> Exit {
    match failure.exit {
        Exit::Damaged | Exit::Refused => Exit::Failed,
        exit => exit,
    }
}

/// Runs `work` on each of `plans`, `jobs` at a time and of one source no more than it bears; the gravest exit. Nothing new
/// begins once the process is cancelled.
fn in_parallel(plans: Vec<Plan>, jobs: usize, engine: &Engine, work: impl Fn(Plan) -> Exit + Sync) -> Exit {
    let jobs = jobs.min(plans.len());
    let queue =
        Queue { state: Mutex::new(Waiting { plans, running: BTreeMap::new() }), freed: Condvar::new() };
    let worst = Mutex::new(Exit::Ok);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while let Some((plan, _slot)) = queue.take() {
                    if engine.cancel.cancelled() {
                        break;
                    }
                    let exit = work(plan);
                    let mut worst = worst.lock().unwrap_or_else(PoisonError::into_inner);
                    *worst = worst.and(exit);
                }
            });
        }
    });
    let worst = *worst.lock().unwrap_or_else(PoisonError::into_inner);
    engine.cancel.reason().map_or(worst, |reason| worst.and(reason.failure().exit))
}

/// Plans that wait for a thread, and for their source.
struct Queue {
    state: Mutex<Waiting>,
    freed: Condvar,
}

struct Waiting {
    plans: Vec<Plan>,
    /// How many runs read each source now, by its name.
    running: BTreeMap<String, u32>,
}

impl Waiting {
    /// The first whose source bears one more.
    fn next(&mut self) -> Option<Plan> {
        let count = |plan: &Plan| self.running.get(&plan.source.name).copied().unwrap_or(0);
        let place = self.plans.iter().position(|plan| plan.max_runs.is_none_or(|most| count(plan) < most))?;
        let plan = self.plans.remove(place);
        *self.running.entry(plan.source.name.clone()).or_default() += 1;
        Some(plan)
    }
}

impl Queue {
    /// The next plan; waits while every source that is left is busy. `None`: there is no more.
    fn take(&self) -> Option<(Plan, Slot<'_>)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(plan) = state.next() {
                let source = plan.source.name.clone();
                return Some((plan, Slot { queue: self, source }));
            }
            if state.plans.is_empty() {
                return None;
            }
            state = self.freed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// One run of a source; dropped, it lets the next begin.
struct Slot<'a> {
    queue: &'a Queue,
    source: String,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.entry(self.source.clone()).and_modify(|count| *count -= 1);
        self.queue.freed.notify_all();
    }
}
