//! The storages of a run: which of them it can do without, and which it had to.
//!
//! A required storage that fails ends the run. An optional one works on threads of its own, so that nothing it does or fails to
//! do can hold the run longer than its patience: then it is left out, told as a warning, and the rest goes on as long as enough
//! storages are left. It moves no bytes itself: [`super::lane`] does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use windlass_plugin_api::{Context, Error, Result};

use super::busy::Busy;
use super::faults::Faults;
use super::lane::Lane;
use super::outputs::OpenStorage;
use super::plan::{Chosen, Engine, Plan};
use super::run::Run;
use super::watch::GRACE;
use crate::exit::{Failure, Outcome, Stage};
use crate::report::{Event, Report};
use crate::run::cancel::{Cancel, ChildGuard, Reason};

/// Which of a plan's storages a run can do without.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Of each storage, in order: how long it may hold the others back; `None`: it is required.
    pub patience: Vec<Option<Duration>>,
    /// So many storages must have the manifest.
    pub least: usize,
}

impl Rules {
    /// Each of `count` storages is required.
    pub fn all(count: usize) -> Self {
        Self { patience: vec![None; count], least: count }
    }

    /// With these; where all are needed anyway, each is required.
    pub fn new(patience: Vec<Option<Duration>>, least: usize) -> Self {
        if least >= patience.len() { Self::all(patience.len()) } else { Self { patience, least } }
    }

    /// What a plan says of the storage at `index`: its name, and whether a run can do without it.
    pub fn described(&self, index: usize, chosen: &Chosen) -> String {
        let text = chosen.described();
        if self.patience[index].is_none() { text } else { format!("{text}, optional") }
    }
}

/// A storage of a run.
pub struct Member {
    /// The storage.
    pub open: OpenStorage,
    /// What it gets. Of an optional one it is cancelled when that is left out.
    pub cx: Context,
    patience: Option<Duration>,
    cancel: Arc<Cancel>,
    _guard: Option<ChildGuard>,
    fault: OnceLock<Error>,
    lanes: Mutex<Vec<Weak<Lane>>>,
    busy: Arc<Busy>,
    has_begun: AtomicBool,
}

impl Member {
    /// Whether the run fails without it.
    pub fn is_required(&self) -> bool {
        self.patience.is_none()
    }

    /// How long it may hold the others back.
    pub fn patience(&self) -> Duration {
        self.patience.unwrap_or(Duration::MAX)
    }

    /// Whether the run goes on without it.
    pub fn is_out(&self) -> bool {
        self.fault.get().is_some()
    }

    /// Does `work` on it: a required one here, an optional one on another thread and for no longer than it may take.
    pub fn within<T: Send + 'static>(
        &self,
        work: impl FnOnce(OpenStorage, Context) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (open, cx) = (self.open.clone(), self.cx.clone());
        match self.patience {
            None => work(open, cx),
            Some(limit) => self.busy.within(limit, move || work(open, cx)),
        }
    }

    /// Does `work` on it even if it was left out, for `limit` at most.
    pub fn aside<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce(OpenStorage) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let open = self.open.clone();
        self.busy.aside(limit.min(self.patience()), move || work(open))
    }

    /// Notes that an upload was begun, of which something may stay.
    pub fn begun(&self) {
        self.has_begun.store(true, Ordering::Release);
    }

    /// Whether something of this run may be on it.
    pub fn may_hold(&self) -> bool {
        self.is_required() || self.has_begun.load(Ordering::Acquire)
    }

    /// A thread that [`settle`](Self::settle) waits for.
    pub fn spawn(&self, work: impl FnOnce() + Send + 'static) -> Result<()> {
        self.busy.spawn(work)
    }

    /// An upload that ends with the member.
    pub fn add(&self, lane: &Arc<Lane>) {
        let mut lanes = lock(&self.lanes);
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(lane));
    }

    /// Aborts what isn't published.
    pub fn abort(&self) {
        let lanes: Vec<Arc<Lane>> = lock(&self.lanes).iter().filter_map(Weak::upgrade).collect();
        lanes.iter().for_each(|lane| lane.abort());
    }

    /// Waits for its threads; false if one doesn't come back.
    pub fn settle(&self) -> bool {
        self.busy.is_over(GRACE / 2)
    }
}

/// The storages of a run.
pub struct Fan {
    /// Those that could be opened, in the order of the config.
    pub members: Vec<Arc<Member>>,
    least: usize,
    all: usize,
    left_out: Mutex<Vec<String>>,
    /// Why too few storages are left.
    lost: OnceLock<Error>,
    pipeline: String,
    report: Arc<dyn Report>,
    cancel: Arc<Cancel>,
    faults: Faults,
}

impl Fan {
    /// Opens the storages of a plan. One that it can do without may fail here already.
    pub fn open(engine: &Arc<Engine>, plan: &Plan, run: &Run) -> Outcome<Arc<Self>> {
        let mut fan = Self {
            members: Vec::new(),
            least: plan.rules.least,
            all: plan.storages.len(),
            left_out: Mutex::default(),
            lost: OnceLock::new(),
            pipeline: plan.pipeline.clone(),
            report: engine.report.clone(),
            cancel: run.cancel.clone(),
            faults: run.faults.clone(),
        };
        let mut failed = 0;
        for (chosen, patience) in plan.storages.iter().zip(&plan.rules.patience) {
            match open_one(engine, chosen, *patience, run)? {
                Ok(member) => fan.members.push(Arc::new(member)),
                Err(error) => {
                    failed += 1;
                    fan.told(&chosen.name, &chosen.stage(), error, fan.all - failed)?;
                }
            }
        }
        Ok(Arc::new(fan))
    }

    /// Those that are still in it.
    pub fn in_it(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.members.iter().filter(|member| !member.is_out())
    }

    /// The names of those that it went on without.
    pub fn left_out(&self) -> Vec<String> {
        lock(&self.left_out).clone()
    }

    /// Goes on without `member`, whose fault is `error`; or doesn't, if too few are left or the run has ended.
    pub fn leave_out(&self, member: &Member, error: Error) -> Result<()> {
        if self.cancel.cancelled() {
            return Err(Error::cancelled());
        }
        let open = &member.open;
        if member.is_required() {
            self.faults.note(&open.stage, &error);
            return Err(error);
        }
        if member.fault.set(error.clone()).is_err() {
            return self.go_on();
        }
        member.cancel.cancel(Reason::Fault);
        member.abort();
        self.told(&open.name, &open.stage, error, self.in_it().count())
    }

    fn told(&self, name: &str, stage: &Stage, error: Error, left: usize) -> Result<()> {
        lock(&self.left_out).push(name.to_owned());
        if left < self.least {
            let (least, all) = (self.least, self.all);
            let what = format!("{left} of {all} storages are left, and {least} must succeed");
            let error = Error { message: format!("{}: {what}", error.message), ..error };
            self.faults.note(stage, &error);
            let _ = self.lost.set(error.clone());
            return Err(error);
        }
        let message = format!("{stage} is left out: {error}");
        self.report.event(&Event::Warning { pipeline: Some(self.pipeline.clone()), message });
        Ok(())
    }

    /// Does `work` on every member that is in it, in order; an optional one that fails at it is left out.
    pub fn each<T: Send + 'static>(
        &self,
        work: impl Fn(OpenStorage, Context) -> Result<T> + Clone + Send + 'static,
    ) -> Result<Vec<T>> {
        let mut all = Vec::new();
        for member in self.in_it() {
            match member.within(work.clone()) {
                Ok(value) => all.push(value),
                Err(error) => self.leave_out(member, error)?,
            }
        }
        Ok(all)
    }

    /// An error if the run has ended, or too few storages are left.
    pub fn go_on(&self) -> Result<()> {
        match self.lost.get() {
            _ if self.cancel.cancelled() => Err(Error::cancelled()),
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Aborts what isn't published, in every storage that works by itself.
    pub fn abort(&self) {
        self.members.iter().for_each(|member| member.abort());
    }
}

/// The outer error ends the run, the inner one leaves the storage out.
fn open_one(
    engine: &Arc<Engine>,
    chosen: &Chosen,
    patience: Option<Duration>,
    run: &Run,
) -> Outcome<Result<Member>> {
    let busy: Arc<Busy> = Arc::default();
    let member = |open, cancel, cx, guard| Member {
        open,
        cx,
        patience,
        cancel,
        _guard: guard,
        fault: OnceLock::new(),
        lanes: Mutex::default(),
        busy: busy.clone(),
        has_begun: AtomicBool::new(false),
    };
    let Some(limit) = patience else {
        let open = engine.open_storage(chosen, &run.cx)?;
        return Ok(Ok(member(open, run.cancel.clone(), run.cx.clone(), None)));
    };
    let (cancel, guard) = run.cancel.child();
    let cx = engine.context(run.id.as_str(), &cancel);
    let (engine, chosen, own) = (engine.clone(), chosen.clone(), cx.clone());
    let open = busy
        .within(limit, move || engine.open_storage(&chosen, &own).map_err(|failure: Failure| failure.error));
    Ok(open.map(|open| member(open, cancel, cx, Some(guard))))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
