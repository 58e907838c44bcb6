//! `windlass reconcile`.

use std::collections::BTreeSet;
use std::sync::Arc;

use windlass_plugin_api::Context;

use super::args::Reconcile;
use super::session::Session;
use crate::catalog::level::{Difference, Shelf, differences};
use crate::catalog::{Catalog, Manifest, Reference};
use crate::config::Selection;
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::copies::Held;
use crate::pipeline::copy::{Request, copy, lock};
use crate::pipeline::outputs::OpenStorage;
use crate::pipeline::plan::Engine;
use crate::report::Event;

/// Brings the storages of each pipeline level.
pub fn run(session: &Session, arguments: &Reconcile) -> Outcome<Exit> {
    let engine = session.engine()?;
    let names: Vec<String> = match arguments.pipelines.as_slice() {
        [] => session.config.pipelines.keys().cloned().collect(),
        named => named.to_vec(),
    };
    if names.is_empty() {
        return Err(Failure::usage("there is no pipeline to reconcile")
            .hint("Without a config `windlass copy SNAPSHOT --from URL --to URL` copies one snapshot."));
    }
    let wanted = session.whole_pipelines(&names, "reconcile")?;
    session.judge(Selection::Pipelines(&[]))?;
    let work = Leveller { session, engine: &engine, cx: session.context(&engine), arguments };
    let mut exit = Exit::Ok;
    for reference in wanted {
        let done = work.pipeline(&reference);
        exit = exit.and(done.or_else(|failure| session.left_out(failure, &reference.pipeline))?);
    }
    Ok(exit)
}

struct Leveller<'a> {
    session: &'a Session,
    engine: &'a Arc<Engine>,
    cx: Context,
    arguments: &'a Reconcile,
}

impl Leveller<'_> {
    /// One pipeline, or all items of its `each`.
    fn pipeline(&self, reference: &Reference) -> Outcome<Exit> {
        let host = reference.host.as_ref().unwrap_or(&self.engine.host);
        let (mut open, mut exit) = (Vec::new(), Exit::Ok);
        for opened in self.session.where_it_lies(self.engine, reference, None)? {
            match opened {
                Ok(both) => open.push(both),
                Err(failure) => exit = exit.and(self.session.left_out(failure, &reference.pipeline)?),
            }
        }
        let (names, open): (Vec<_>, Vec<OpenStorage>) = open.into_iter().unzip();
        for name in names.into_iter().flatten().collect::<BTreeSet<String>>() {
            exit = exit.and(match self.level(host, &name, &open) {
                Ok(exit) => exit,
                Err(failure) => self.session.left_out(failure, &name)?,
            });
        }
        Ok(exit)
    }

    fn level(&self, host: &str, name: &str, open: &[OpenStorage]) -> Outcome<Exit> {
        let wait = self.arguments.wait_lock.unwrap_or_default();
        let _locks = match self.arguments.dry_run {
            true => Vec::new(),
            false => lock(self.engine, &format!("{host}/{name}"), open.iter(), "reconcile", wait)?,
        };
        let shelf = |open: &OpenStorage| -> Outcome<Shelf> {
            let shelf = Catalog::new(open.storage.as_ref(), &self.cx).shelf(host, name);
            shelf.map_err(|error| Failure::from(error).at(open.stage.clone()))
        };
        let (mut shelves, mut there, mut exit) = (Vec::new(), Vec::new(), Exit::Ok);
        for storage in open {
            match shelf(storage) {
                Ok(shelf) => {
                    shelves.push(shelf);
                    there.push(storage.clone());
                }
                Err(failure) => exit = exit.and(self.session.left_out(failure, name)?),
            }
        }
        let all = differences(&shelves);
        if all.is_empty() && exit == Exit::Ok {
            let count = shelves.first().map_or(0, |shelf| shelf.found.len());
            let names: Vec<&str> = there.iter().map(|open| open.name.as_str()).collect();
            self.engine.note(name, format!("nothing to do: {count} snapshots are in {}", names.join(", ")));
        }
        for difference in all {
            exit = exit.and(match self.settle(difference, &there) {
                Ok(()) => Exit::Ok,
                Err(failure) => self.session.left_out(failure, name)?,
            });
        }
        Ok(exit)
    }

    fn settle(&self, difference: Difference, storages: &[OpenStorage]) -> Outcome<()> {
        let told = |exit, error, at: usize| Failure::new(exit, error).at(storages[at].stage.clone());
        match difference {
            Difference::Lacks { manifest, origins, at } => self.copy(*manifest, &origins, at, storages),
            Difference::InTheWay { key, at, error } => {
                let error = error.during(format!("nothing of `{key}` is overwritten there"));
                Err(told(Exit::Incomplete, error, at).hint(
                    "If another storage has it whole, remove what is there, its `manifest.json` first.",
                ))
            }
            Difference::Lost { at, error, .. } => Err(told(Exit::of_kind(error.kind), error, at)),
        }
    }

    fn copy(
        &self,
        manifest: Manifest,
        origins: &[usize],
        at: usize,
        storages: &[OpenStorage],
    ) -> Outcome<()> {
        let copies: Vec<OpenStorage> = origins.iter().map(|&origin| storages[origin].clone()).collect();
        let to = storages[at].clone();
        if copies.is_empty() {
            let what = format!("`{}` lacks objects, and no other storage has it", manifest.key());
            return Err(Failure::from(windlass_plugin_api::Error::damaged(what)).at(to.stage));
        }
        let held = Held { manifest, copies };
        let copied = copy(self.engine, &Request { held, to, dry_run: self.arguments.dry_run })?;
        copied.into_iter().for_each(|copied| self.engine.report.event(&Event::Copied(copied)));
        Ok(())
    }
}
