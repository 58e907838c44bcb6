//! What the tests share: a run that can be cancelled, shells, and a look at the process table.
#![allow(dead_code)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use windlass_plugin_api::{Context, Error, Progress, Result, Services, Storage};
#[allow(unused_imports, reason = "each test file uses its own part")]
pub use windlass_testkit::until;
use windlass_tool::Tool;

/// `sh -c script`.
pub fn sh(script: &str) -> Tool {
    Tool::new("sh").args(["-c", script])
}

/// A run that the test cancels.
#[derive(Clone, Default)]
pub struct Run(Arc<RunState>);

#[derive(Default)]
struct RunState {
    cancelled: AtomicBool,
    callbacks: Mutex<Vec<Option<Callback>>>,
}

type Callback = Box<dyn Fn() + Send + Sync>;

impl Run {
    pub fn cx(&self) -> Context {
        Context::new(self.0.clone())
    }

    pub fn cancel(&self) {
        let callbacks = self.0.callbacks.lock().unwrap();
        self.0.cancelled.store(true, Ordering::SeqCst);
        callbacks.iter().flatten().for_each(|callback| callback());
    }
}

impl Services for RunState {
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }
    fn on_cancel(&self, callback: Callback) -> u64 {
        let mut callbacks = self.callbacks.lock().unwrap();
        if self.cancelled() {
            callback();
        }
        callbacks.push(Some(callback));
        callbacks.len() as u64 - 1
    }
    fn forget(&self, callback: u64) {
        self.callbacks.lock().unwrap()[callback as usize] = None;
    }
    fn progress(&self, _: &Progress) {}
    fn reveal(&self, name: &str) -> Result<String> {
        Err(Error::failed(format!("no secret `{name}`")))
    }
    fn storage(&self, name: &str) -> Result<Arc<dyn Storage>> {
        Err(Error::failed(format!("no storage `{name}`")))
    }
    fn run(&self) -> String {
        "20260101T000000Z-test".to_owned()
    }
}

/// The numbers in a file that a shell wrote with `echo $$ >> file`, once there are `count`.
pub fn pids(file: &Path, count: usize) -> Vec<i32> {
    let read = || -> Vec<i32> {
        let text = fs::read_to_string(file).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    };
    until("the processes have started", || read().len() >= count);
    read()
}

/// Whether a process lives (a zombie doesn't).
pub fn lives(pid: i32) -> bool {
    // The state stands behind the name, which is in parentheses and may hold anything.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
