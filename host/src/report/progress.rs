//! How far a run is: bars on a terminal, plain lines now and then elsewhere. All on standard error.

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{Event, units};

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Shows progress, and lets lines be printed past it.
pub enum Progress {
    /// Bars.
    Bars(MultiProgress, Mutex<HashMap<String, ProgressBar>>),
    /// Lines.
    Lines(Mutex<HashMap<String, (String, Instant)>>),
    /// Nothing.
    Silent,
}

impl Progress {
    /// Bars if standard error is a terminal, lines if it isn't.
    pub fn for_stderr(is_terminal: bool) -> Self {
        if is_terminal {
            Self::Bars(MultiProgress::new(), Mutex::default())
        } else {
            Self::Lines(Mutex::default())
        }
    }

    /// Shows what `event` says of progress, if anything.
    pub fn show(&self, event: &Event) {
        match self {
            Self::Bars(all, bars) => show_bar(all, &mut lock(bars), event),
            Self::Lines(runs) => show_line(&mut lock(runs), event),
            Self::Silent => {}
        }
    }

    /// Runs `print` while no bar is in the way.
    pub fn aside(&self, print: impl FnOnce()) {
        match self {
            Self::Bars(all, _) => all.suspend(print),
            _ => print(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show_bar(all: &MultiProgress, bars: &mut HashMap<String, ProgressBar>, event: &Event) {
    match event {
        Event::Started { name, run, estimate_bytes, .. } => {
            let template = if estimate_bytes.is_some_and(|bytes| bytes > 0) {
                "{prefix} {bar:30} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} {msg}"
            } else {
                "{prefix} {spinner} {binary_bytes} {binary_bytes_per_sec} {msg}"
            };
            let style =
                ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = all.add(ProgressBar::new(estimate_bytes.unwrap_or(0)).with_style(style));
            bar.set_prefix(name.clone());
            bars.insert(run.clone(), bar);
        }
        Event::Bytes { run, plain_bytes, stored_bytes } => {
            if let Some(bar) = bars.get(run) {
                bar.set_position((*plain_bytes).max(*stored_bytes));
            }
        }
        Event::Progress { run, progress } => {
            if let Some(bar) = bars.get(run) {
                bar.set_message(said(progress));
            }
        }
        Event::Ended { run } => {
            if let Some(bar) = bars.remove(run) {
                bar.finish_and_clear();
            }
        }
        _ => {}
    }
}

fn said(progress: &windlass_plugin_api::Progress) -> String {
    match (progress.message.as_str(), progress.done) {
        ("", 0) => String::new(),
        ("", done) => format!("{done} {}", progress.unit),
        (message, _) => units::printable(message).into_owned(),
    }
}

fn show_line(runs: &mut HashMap<String, (String, Instant)>, event: &Event) {
    match event {
        Event::Started { name, run, .. } => {
            runs.insert(run.clone(), (name.clone(), Instant::now()));
        }
        Event::Bytes { run, plain_bytes, stored_bytes } => {
            let Some((name, last)) = runs.get_mut(run) else { return };
            if last.elapsed() >= LINE_EVERY {
                *last = Instant::now();
                let (plain, stored) = (units::bytes(*plain_bytes), units::bytes(*stored_bytes));
                let _ = writeln!(std::io::stderr().lock(), "{name}: {plain} plain, {stored} stored so far");
            }
        }
        Event::Ended { run } => {
            runs.remove(run);
        }
        _ => {}
    }
}
