//! Events for people: results on standard output, everything else on standard error.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::progress::Progress;
use super::{
    Checked, CopyRow, CopyView, Event, Planned, PluginRow, PruneRow, Pruned, Report, SnapshotRow, Stored,
    TargetView, units,
};
use crate::catalog::Manifest;
use crate::config::Secrets;
use crate::exit::Exit;

/// Prints events as text.
pub struct Text {
    secrets: Arc<Secrets>,
    progress: Progress,
    quiet: bool,
    /// Warnings of a quiet run: printed if it doesn't end well.
    held: Mutex<Vec<String>>,
}

impl Text {
    /// Hides what `secrets` knows; with `quiet` only errors, warnings and results that were asked for.
    pub fn new(secrets: Arc<Secrets>, progress: Progress, quiet: bool) -> Self {
        Self { secrets, progress, quiet, held: Mutex::default() }
    }

    fn out(&self, text: &str) {
        let text = self.secrets.redact(text);
        // Whoever reads may have gone (`| head`); the run goes on.
        self.progress.aside(|| {
            let _ = std::io::stdout().lock().write_all(units::printable(&text).as_bytes());
        });
    }

    fn err(&self, text: &str) {
        let text = self.secrets.redact(text);
        self.progress.aside(|| {
            let _ = writeln!(std::io::stderr().lock(), "{}", units::printable(&text));
        });
    }
}

impl Report for Text {
    fn event(&self, event: &Event) {
        self.progress.show(event);
        match event {
            Event::Started { .. } | Event::Bytes { .. } | Event::Progress { .. } | Event::Ended { .. } => {}
            Event::Warning { pipeline, message } => {
                let line = format!("warning: {}{message}", before(pipeline));
                if self.quiet { self.held().push(line) } else { self.err(&line) }
            }
            Event::Error { hint, .. } => {
                self.err(&format!("error: {}", error_line(event)));
                if let Some(hint) = hint {
                    self.err(&format!("hint: {hint}"));
                }
            }
            Event::Verified { .. } => self.verified(event),
            Event::Checked(checked) if !self.quiet || !checked.ok => self.out(&checked_text(checked)),
            Event::Snapshots { snapshots } => self.out(&table(snapshots)),
            Event::Shown { manifest, storages, .. } => self.out(&shown(manifest, storages)),
            Event::Plugins { plugins } => self.out(&plugin_table(plugins)),
            Event::Text { text } => self.out(text),
            Event::Document { document, .. } => {
                self.out(&format!("{}\n", serde_json::to_string_pretty(document).unwrap_or_default()));
            }
            Event::Config { values } => {
                for row in values {
                    self.out(&format!("{} = {}  # {}\n", row.key, row.value, row.origin));
                }
            }
            event if !self.quiet => self.told(event),
            _ => {}
        }
    }

    fn end(&self, exit: Exit) {
        let held = std::mem::take(&mut *self.held());
        if exit != Exit::Ok {
            held.iter().for_each(|line| self.err(line));
        }
    }
}

impl Text {
    fn held(&self) -> MutexGuard<'_, Vec<String>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What isn't worth a line with `-q`.
    fn told(&self, event: &Event) {
        match event {
            Event::Note { pipeline, message } => self.err(&format!("note: {}{message}", before(pipeline))),
            Event::Stored(stored) => self.out(&stored_line(stored)),
            Event::Copied(copied) => self.out(&copied_line(copied)),
            Event::Removed(row) => self.out(&removed_line(row)),
            Event::Kept(row) => self.out(&kept_line(row)),
            Event::Pruned(pruned) => self.out(&pruned_line(pruned)),
            Event::Planned(planned) => self.out(&planned_text(planned)),
            Event::Resolved { snapshot, host, storage, time, age_seconds, .. } => {
                let local = time.parse().map(units::local).unwrap_or_default();
                let age = units::age(*age_seconds);
                self.err(&format!("{snapshot} of host {host} in {storage}: {time} ({local} here, {age})"));
            }
            Event::Target(target) => self.err(&target_text(target)),
            Event::Restored { snapshot, place, plain_bytes, seconds } => self.out(&format!(
                "Restored {snapshot} to {place} ({}) in {}\n",
                units::bytes(*plain_bytes),
                units::seconds(*seconds)
            )),
            Event::Wrote { what, path, bytes, seconds } => self.out(&format!(
                "Wrote {what} to {path} ({}) in {}\n",
                units::bytes(*bytes),
                units::seconds(*seconds)
            )),
            _ => {}
        }
    }

    fn verified(&self, event: &Event) {
        let Event::Verified { snapshot, storage, depth, damage, unproved, stored_bytes } = event else {
            return;
        };
        if damage.is_empty() && unproved.is_empty() {
            if !self.quiet {
                let read = if *stored_bytes > 0 {
                    format!(", {} read", units::bytes(*stored_bytes))
                } else {
                    String::new()
                };
                self.out(&format!("Verified {snapshot} in {storage} ({depth}{read}): good\n"));
            }
            return;
        }
        for what in damage {
            self.out(&format!("Damaged {snapshot} in {storage}: {what}\n"));
        }
        for what in unproved {
            self.out(&format!("Unproved {snapshot} in {storage}: {what}\n"));
        }
    }
}

fn before(pipeline: &Option<String>) -> String {
    pipeline.as_ref().map(|name| format!("{name}: ")).unwrap_or_default()
}

fn error_line(event: &Event) -> String {
    let Event::Error { pipeline, stage, plugin, message, .. } = event else { return String::new() };
    let mut line = before(pipeline);
    if let Some(stage) = stage {
        line += stage;
        if let Some(plugin) = plugin {
            let _ = write!(line, " ({plugin})");
        }
        line += ": ";
    }
    line + message
}

fn stored_line(stored: &Stored) -> String {
    let mut line = format!(
        "Stored {} ({} → {}) in {}",
        stored.snapshot,
        units::bytes(stored.plain_bytes),
        units::bytes(stored.stored_bytes),
        units::seconds(stored.seconds)
    );
    if !stored.storages_left_out.is_empty() {
        let (there, out) = (stored.storages.join(", "), stored.storages_left_out.join(", "));
        let _ = write!(line, "; it is in {there}, left out: {out}");
    }
    line + "\n"
}

fn copied_line(copied: &CopyView) -> String {
    let CopyView { snapshot, to, stored_bytes, seconds, dry_run, .. } = copied;
    let (from, bytes) = (copied.from.join(", "), units::bytes(*stored_bytes));
    if *dry_run {
        return format!("Would copy {snapshot} from {from} to {to} ({bytes})\n");
    }
    format!("Copied {snapshot} from {from} to {to} ({bytes}) in {}\n", units::seconds(*seconds))
}

fn removed_line(row: &PruneRow) -> String {
    let verb = if row.dry_run { "Would remove" } else { "Removed" };
    format!("{verb} {} from {} ({})\n", row.snapshot, row.storage, units::bytes(row.stored_bytes))
}

fn kept_line(row: &PruneRow) -> String {
    format!("Kept {} in {}: {}\n", row.snapshot, row.storage, row.why.join(", "))
}

fn pruned_line(pruned: &Pruned) -> String {
    let Pruned { pipeline, storage, removed, removed_bytes, kept, dry_run, .. } = pruned;
    let (bytes, verb) = (units::bytes(*removed_bytes), if *dry_run { "Would prune" } else { "Pruned" });
    format!("{verb} {pipeline} in {storage}: {removed} removed ({bytes}), {kept} kept\n")
}

fn planned_text(planned: &Planned) -> String {
    let mut chain = vec![planned.source.clone()];
    chain.extend(planned.filters.iter().cloned());
    let mut storages = planned.storages.join(" + ");
    if planned.least_storages < planned.storages.len() {
        let _ = write!(storages, " (at least {})", planned.least_storages);
    }
    chain.push(storages);
    let estimate = planned.estimate_bytes.map(|bytes| format!(", about {}", units::bytes(bytes)));
    format!(
        "{}: {}{}\n  would store {}\n",
        planned.pipeline,
        chain.join(" → "),
        estimate.unwrap_or_default(),
        planned.prefix
    )
}

fn target_text(target: &TargetView) -> String {
    let mut text = format!("{} → {}: ", target.snapshot, target.place);
    if target.empty {
        text += "empty";
        return text;
    }
    let size = target.size_bytes.map(|bytes| format!("{} there", units::bytes(bytes)));
    let modified = target.modified.as_ref().map(|time| format!("last changed {time}"));
    let parts: Vec<String> = size.into_iter().chain(modified).collect();
    text += if parts.is_empty() { "not empty" } else { "" };
    text += &parts.join(", ");
    for session in &target.sessions {
        let _ = write!(text, "\n  in use by {session}");
    }
    for effect in &target.effects {
        let _ = write!(text, "\n  {effect}");
    }
    text
}

fn checked_text(checked: &Checked) -> String {
    let mut text = format!("{} {}\n", if checked.ok { "ok  " } else { "FAIL" }, checked.what);
    for detail in &checked.details {
        let _ = writeln!(text, "       {detail}");
    }
    text
}

/// Columns as wide as their widest cell; the last one isn't padded.
fn columns(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([header[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let header: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

fn table(snapshots: &[SnapshotRow]) -> String {
    if snapshots.is_empty() {
        return "No snapshots.\n".to_owned();
    }
    let size = |bytes: Option<u64>| bytes.map(units::bytes).unwrap_or_else(|| "?".to_owned());
    let short = |name: &String| name.trim_start_matches("windlass/").to_owned();
    let rows: Vec<Vec<String>> = snapshots
        .iter()
        .map(|row| {
            let filters: Vec<String> = row.filters.iter().map(short).collect();
            let mut state = match (&row.problem, row.left_out) {
                (Some(problem), _) => format!("{}: {problem}", row.state),
                (None, 0) => row.state.to_owned(),
                (None, left_out) => format!("{}, {left_out} left out", row.state),
            };
            for told in row.storages.iter().filter(|_| row.storages.len() > 1).filter_map(CopyRow::told) {
                let _ = write!(state, ", {told}");
            }
            let there = row.storages.iter().filter(|copy| copy.state != "missing");
            let there: Vec<&str> = there.map(|copy| copy.storage.as_str()).collect();
            vec![
                row.snapshot.clone(),
                row.host.clone(),
                row.time.clone(),
                size(row.plain_bytes),
                size(row.stored_bytes),
                if filters.is_empty() { "-".to_owned() } else { filters.join("+") },
                there.join(", "),
                state,
            ]
        })
        .collect();
    columns(&["SNAPSHOT", "HOST", "TIME (UTC)", "PLAIN", "STORED", "FILTERS", "STORAGE", "STATE"], &rows)
}

fn plugin_table(plugins: &[PluginRow]) -> String {
    if plugins.is_empty() {
        return "No plugins. `windlass plugins path` says where they are looked for.\n".to_owned();
    }
    let rows: Vec<Vec<String>> = plugins
        .iter()
        .map(|row| {
            let note = match (&row.problem, &row.shadowed_by) {
                (Some(problem), _) => format!("unusable: {problem}"),
                (None, Some(by)) => format!("shadowed by {by}"),
                (None, None) => row.summary.clone(),
            };
            let version = row.version.clone().unwrap_or_else(|| "?".to_owned());
            vec![row.kind.clone(), row.name.clone(), version, note, row.path.clone()]
        })
        .collect();
    columns(&["KIND", "NAME", "VERSION", "WHAT IT DOES", "FILE"], &rows)
}

fn shown(manifest: &Manifest, storages: &[CopyRow]) -> String {
    let mut text = format!("snapshot     {}\n", manifest.key());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("host", manifest.host.clone());
    for copy in storages {
        line("storage", copy.told().unwrap_or_else(|| copy.storage.clone()));
    }
    line("begun", format!("{} ({} here)", units::utc(manifest.started), units::local(manifest.started)));
    line("finished", units::utc(manifest.finished));
    line("sequence", manifest.sequence.to_string());
    line("source", format!("{} {}", manifest.source.plugin, manifest.source.version));
    for (name, version) in &manifest.versions {
        line("version", format!("{name} {version}"));
    }
    if let Some(point) = &manifest.consistency_point {
        line("holds", point.clone());
    }
    for (name, value) in &manifest.tags {
        line("tag", format!("{name}={value}"));
    }
    if manifest.left_out > 0 {
        line("left out", manifest.left_out.to_string());
    }
    for stream in manifest.streams.iter().chain([&manifest.contents]) {
        let sizes = format!("{} → {}", units::bytes(stream.plain_bytes), units::bytes(stream.stored_bytes));
        line("object", format!("{} ({}, {sizes})", stream.object_name(), stream.stream_format));
        line("", format!("sha256 {}", stream.stored_sha256));
        for filter in &stream.filters {
            line("", format!("filter {} {}", filter.plugin, filter.version));
            for recipient in &filter.recipients {
                line("", format!("encrypted to {recipient}"));
            }
        }
    }
    text
}
