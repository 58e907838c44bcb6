//! `windlass plugins test`: the conformance suite on a storage of the user's own.
//!
//! Everything happens below a prefix that nobody else has, and is removed after each proof: a storage that would keep it is
//! refused, and where that shows only later what stays is told. The suite tells what isn't so by
//! panicking, as tests do; here that is caught and told as an answer.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use windlass_plugin_api::{Context, Kind, Storage};
use windlass_testkit::Below;
use windlass_testkit::storage::{PROOFS, Subject};

use super::session::Session;
use crate::catalog::snapshot::SnapshotId;
use crate::config::{Located, Selection};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::plan::{Chosen, Engine};
use crate::report::{Checked, Event};
use crate::run::cancel::Cancel;

/// Tests the storage of that name or URL.
pub fn storage(session: &Session, name: &str) -> Outcome<Exit> {
    session.judge(Selection::Pipelines(&[]))?;
    let chosen = session.named(Kind::Storage, &Located::from_command_line(name.to_owned()), "storage")?;
    if chosen.info.read_only {
        return Err(Failure::usage(format!("the storage {} can only be read", chosen.described()))
            .hint("The test stores objects of its own: there is nothing that it could prove here."));
    }
    if let Some(option) = locking(&chosen) {
        let storage = chosen.described();
        return Err(Failure::usage(format!("the storage {storage} makes its objects undeletable (`{option}`)")).hint(
            "The test's own objects would stay: test another storage of the config without that option, in another bucket \
             or below another prefix.",
        ));
    }
    let engine = session.engine()?;
    let cx = session.context(&engine);
    // Opened once before: what is wrong with its options is no matter of the suite.
    let storage = engine.open_storage(&chosen, &cx)?.storage;
    let trial = Trial {
        prefix: format!("windlass-test-{}/", SnapshotId::new(Timestamp::now())),
        engine,
        chosen,
        storage,
        cx,
    };
    // Only a storage that has deleted something knows. One whose check fails is told by its proof.
    let keeps = trial.storage.check(&trial.cx).is_ok_and(|report| report.keeps_deleted);
    let told = trial.run();
    trial.clear()?;
    let exit = told?;
    if keeps {
        trial.tell_kept();
    }
    Ok(if keeps { exit.and(Exit::Incomplete) } else { exit })
}

/// The option by which the storage makes what it stores undeletable, if one is set: the schema marks it.
fn locking(chosen: &Chosen) -> Option<&str> {
    let properties = chosen.info.options["properties"].as_object()?;
    let is_set = |name: &str| !chosen.options[name].is_null();
    let found = properties.iter().find(|(name, schema)| schema["format"] == "lock" && is_set(name));
    found.map(|(name, _)| name.as_str())
}

struct Trial {
    engine: Arc<Engine>,
    chosen: Chosen,
    storage: Arc<dyn Storage>,
    cx: Context,
    prefix: String,
}

impl Trial {
    fn run(&self) -> Outcome<Exit> {
        let mut exit = Exit::Ok;
        for (number, (sentence, prove)) in PROOFS.iter().enumerate() {
            // Each has its own: some servers keep the folders of what was removed for a while.
            let problem = caught(|| prove(&self.subject(&format!("{}{number}/", self.prefix))));
            // A proof that was interrupted has proved nothing.
            if let Some(reason) = self.engine.cancel.reason() {
                return Err(reason.failure());
            }
            let what = format!("{}: {sentence}", self.chosen.name);
            let checked = Checked { what, ok: problem.is_none(), details: problem.into_iter().collect() };
            exit = if checked.ok { exit } else { Exit::Failed };
            self.engine.report.event(&Event::Checked(checked));
            self.clear()?;
        }
        Ok(exit)
    }

    fn subject(&self, prefix: &str) -> Subject {
        let (engine, chosen, cx) = (self.engine.clone(), self.chosen.clone(), self.cx.clone());
        let open = move || match engine.open_storage(&chosen, &cx) {
            Ok(open) => open.storage,
            Err(failure) => panic!("can't be opened: {}", failure.error.one_line()),
        };
        Subject::below(prefix, self.chosen.info.as_ref().clone(), self.cx.clone(), open)
    }

    fn tell_kept(&self) {
        let message = format!(
            "storage {} keeps what is deleted: what this test stored below `{}` isn't listed any more, and stays until a rule \
             or the end of a lock removes it",
            self.chosen.described(),
            self.prefix
        );
        self.engine.report.event(&Event::Warning { pipeline: None, message });
    }

    /// Removes what the proofs have left, after a cancel too.
    fn clear(&self) -> Outcome<()> {
        let cx = self.engine.context("", &Cancel::new());
        Below::new(self.storage.clone(), &self.prefix).clear(&cx).map_err(|error| {
            let failure =
                Failure::from(error.during(format!("can't remove what lies below `{}`", self.prefix)));
            failure.at(self.chosen.stage()).hint("Those are the test's own objects: remove them by hand.")
        })
    }
}

/// What `prove` panics with: the first thing that is told, which may be another thread's.
fn caught(prove: impl FnOnce()) -> Option<String> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let (before, keep) = (panic::take_hook(), told.clone());
    panic::set_hook(Box::new(move |info| {
        let message = info.payload_as_str().unwrap_or("it panicked").to_owned();
        keep.lock().unwrap_or_else(PoisonError::into_inner).push(message);
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(prove));
    panic::set_hook(before);
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    result.is_err().then(|| told.drain(..).next().unwrap_or_default())
}
