//! `windlass prune`.

use std::sync::Arc;

use super::args::Prune;
use super::session::{Session, base};
use crate::catalog::Reference;
use crate::config::{Retention, Selection};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::copy::lock;
use crate::pipeline::plan::Engine;
use crate::pipeline::prune::{Request, prune};

/// Prunes each pipeline in each of its storages.
pub fn run(session: &Session, arguments: &Prune) -> Outcome<Exit> {
    let engine = session.engine()?;
    let names: Vec<String> = match arguments.pipelines.as_slice() {
        [] => {
            let all = session.config.pipelines.values().filter(|pipeline| pipeline.retention.is_some());
            all.map(|pipeline| pipeline.name.clone()).collect()
        }
        named => named.to_vec(),
    };
    if names.is_empty() {
        return Err(no_policy(session, "no pipeline has a `retention`".to_owned()));
    }
    let mut wanted = Vec::new();
    for reference in session.whole_pipelines(&names, "prune")? {
        let policy = session.config.pipelines.get(base(&reference.pipeline));
        let policy = policy.and_then(|pipeline| pipeline.retention.clone());
        let lacks = || no_policy(session, format!("pipeline `{}` has no `retention`", reference.pipeline));
        wanted.push((policy.ok_or_else(lacks)?, reference));
    }
    let mut exit = Exit::Ok;
    for (policy, reference) in wanted {
        exit = exit.and(pipeline(session, &engine, arguments, &policy, &reference)?);
    }
    Ok(exit)
}

/// One pipeline, or all items of its `each`, in every storage.
fn pipeline(
    session: &Session,
    engine: &Arc<Engine>,
    arguments: &Prune,
    policy: &Retention,
    reference: &Reference,
) -> Outcome<Exit> {
    let host = reference.host.as_ref().unwrap_or(&engine.host);
    let (mut exit, mut is_any_done) = (Exit::Ok, false);
    for opened in session.where_it_lies(engine, reference, arguments.storage.as_deref())? {
        let (names, open) = match opened {
            Ok(both) => both,
            Err(failure) => {
                exit = exit.and(session.left_out(failure, &reference.pipeline)?);
                continue;
            }
        };
        for name in names {
            let request = Request {
                host: host.clone(),
                pipeline: name.clone(),
                open: open.clone(),
                policy: policy.clone(),
                dry_run: arguments.dry_run,
                explain: arguments.explain,
            };
            let done = one(engine, arguments, &request);
            is_any_done |= done.is_ok();
            exit = exit.and(done.or_else(|failure| session.left_out(failure, &name))?);
        }
    }
    // Where nothing at all could be done, nothing was left out.
    Ok(if exit == Exit::Incomplete && !is_any_done { Exit::Failed } else { exit })
}

fn one(engine: &Arc<Engine>, arguments: &Prune, request: &Request) -> Outcome<Exit> {
    let what = format!("{}/{}", request.host, request.pipeline);
    let wait = arguments.wait_lock.unwrap_or_default();
    let _locks = match arguments.dry_run {
        true => Vec::new(),
        false => lock(engine, &what, std::iter::once(&request.open), "prune", wait)?,
    };
    prune(engine, request)
}

/// It may be there and wrong.
fn no_policy(session: &Session, what: String) -> Failure {
    let judged = session.judge(Selection::Pipelines(&[]));
    judged
        .err()
        .unwrap_or_else(|| Failure::usage(what))
        .hint("Say what is kept: `[pipeline.NAME.retention]` with `keep_daily = 7`, say.")
}
