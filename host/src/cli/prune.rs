//! `windlass prune`.

use std::sync::Arc;

use super::args::Prune;
use super::session::{Session, base};
use crate::catalog::Reference;
use crate::config::{Pipeline, Retention, Selection};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::copy::lock;
use crate::pipeline::plan::Engine;
use crate::pipeline::prune::{Done, Request, prune};

/// Prunes each pipeline in each of its storages.
pub fn run(session: &Session, arguments: &Prune) -> Outcome<Exit> {
    let engine = session.engine()?;
    // A policy that is wrong in part would keep less than it should.
    session.judge(Selection::Pipelines(&[]))?;
    let names: Vec<String> = match arguments.pipelines.as_slice() {
        [] => with_policy(session, arguments.storage.as_deref()),
        named => named.to_vec(),
    };
    if names.is_empty() {
        let there = arguments.storage.as_ref().map(|storage| format!(" of `{storage}`")).unwrap_or_default();
        return Err(no_policy(format!("no pipeline{there} has a `retention`")));
    }
    let mut wanted = Vec::new();
    for reference in session.whole_pipelines(&names, "prune")? {
        let policy = session.config.pipelines.get(base(&reference.pipeline));
        let policy = policy.and_then(|pipeline| pipeline.retention.clone());
        let lacks = || no_policy(format!("pipeline `{}` has no `retention`", reference.pipeline));
        wanted.push((policy.ok_or_else(lacks)?, reference));
    }
    let work = Pruner { session, engine: &engine, arguments };
    let mut all = Done { exit: Exit::Ok, found: 0 };
    for ((policy, reference), name) in wanted.into_iter().zip(&names) {
        match work.pipeline(&policy, &reference) {
            Ok(done) if done.found == 0 && done.exit == Exit::Ok && !arguments.pipelines.is_empty() => {
                all.exit = all.exit.and(session.left_out(nothing_of(name, &engine.host), name)?);
            }
            Ok(done) => all = all.and(done),
            Err(failure) => all.exit = all.exit.and(session.left_out(failure, &reference.pipeline)?),
        }
    }
    if all.found == 0 && all.exit == Exit::Ok {
        return Err(nothing_of(&names.join(", "), &engine.host));
    }
    Ok(all.exit)
}

/// The pipelines that have a policy; with a storage, as the config writes it, those that are kept there.
fn with_policy(session: &Session, storage: Option<&str>) -> Vec<String> {
    let is_there = |pipeline: &&Pipeline| {
        storage.is_none_or(|storage| pipeline.storages.iter().any(|one| one.name.value == storage))
    };
    let all = session.config.pipelines.values().filter(|pipeline| pipeline.retention.is_some());
    all.filter(is_there).map(|pipeline| pipeline.name.clone()).collect()
}

struct Pruner<'a> {
    session: &'a Session,
    engine: &'a Arc<Engine>,
    arguments: &'a Prune,
}

impl Pruner<'_> {
    /// One pipeline, or all items of its `each`, in every storage.
    fn pipeline(&self, policy: &Retention, reference: &Reference) -> Outcome<Done> {
        let host = reference.host.as_ref().unwrap_or(&self.engine.host);
        let (mut all, mut is_any_done) = (Done { exit: Exit::Ok, found: 0 }, false);
        let storage = self.arguments.storage.as_deref();
        for opened in self.session.where_it_lies(self.engine, reference, storage)? {
            let (names, open) = match opened {
                Ok(both) => both,
                Err(failure) => {
                    all.exit = all.exit.and(self.session.left_out(failure, &reference.pipeline)?);
                    continue;
                }
            };
            is_any_done |= names.is_empty();
            for name in names {
                let request = Request {
                    host: host.clone(),
                    pipeline: name.clone(),
                    open: open.clone(),
                    policy: policy.clone(),
                    dry_run: self.arguments.dry_run,
                    explain: self.arguments.explain,
                };
                match self.one(&request) {
                    Ok(done) => (all, is_any_done) = (all.and(done), true),
                    Err(failure) => all.exit = all.exit.and(self.session.left_out(failure, &name)?),
                }
            }
        }
        // Where nothing at all could be done, nothing was left out.
        if all.exit == Exit::Incomplete && !is_any_done {
            all.exit = Exit::Failed;
        }
        Ok(all)
    }

    fn one(&self, request: &Request) -> Outcome<Done> {
        let what = format!("{}/{}", request.host, request.pipeline);
        let wait = self.arguments.wait_lock.unwrap_or_default();
        let _locks = match self.arguments.dry_run {
            true => Vec::new(),
            false => lock(self.engine, &what, std::iter::once(&request.open), "prune", wait)?,
        };
        prune(self.engine, request)
    }
}

/// Not well: of a host of another name nothing is ever pruned, and nobody would know.
fn nothing_of(names: &str, host: &str) -> Failure {
    Failure::not_found(format!("no snapshot of {names}; this host is `{host}`"))
        .hint("See what there is with `windlass list --all-hosts`.")
}

fn no_policy(what: String) -> Failure {
    Failure::usage(what).hint("Say what is kept: `[pipeline.NAME.retention]` with `keep_daily = 7`, say.")
}
