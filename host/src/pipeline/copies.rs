//! The storages that a snapshot can be read from, and what was found to be wrong with them on the way.
//!
//! Which of them is read, and in what order, is the config's order; this only remembers what can't be read any more, so that it
//! is told once and not tried again. The reading itself is in [`super::failover`].

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_plugin_api::{Error, ErrorKind, Result};

use super::outputs::OpenStorage;
use super::plan::Engine;
use super::run::Run;
use crate::catalog::Manifest;
use crate::report::{Event, Report};

/// A snapshot, and the storages that hold it with the same manifest.
#[derive(Clone)]
pub struct Held {
    /// Its manifest.
    pub manifest: Manifest,
    /// The storages, the best first; at least one.
    pub copies: Vec<OpenStorage>,
}

/// The storages that an object can be read from, the best first.
#[derive(Clone)]
pub struct Copies {
    list: Vec<OpenStorage>,
    notes: Option<Arc<Notes>>,
}

/// An object's key, and one of its blocks.
pub type Place = (String, u64);

/// What has been found, shared by everything that reads a snapshot.
pub struct Notes {
    report: Arc<dyn Report>,
    name: String,
    /// By identity of the storage; no place: all of it.
    bad: Mutex<BTreeSet<(String, Option<Place>)>>,
}

impl Held {
    /// What is found while it is read is told under its name.
    pub fn notes(&self, engine: &Engine) -> Arc<Notes> {
        let name = self.manifest.key().to_string();
        Arc::new(Notes { report: engine.report.clone(), name, bad: Mutex::default() })
    }

    /// The storages in which `object` is there with its size. One that lacks it is told; where all do, that is the error.
    pub fn holding(
        &self,
        object: &str,
        bytes: u64,
        notes: &Arc<Notes>,
        run: &Run,
    ) -> std::result::Result<Copies, (Error, OpenStorage)> {
        let (mut list, mut gravest): (Vec<OpenStorage>, Option<(Error, OpenStorage)>) = (Vec::new(), None);
        for open in &self.copies {
            if notes.is_bad(open, None) {
                continue;
            }
            let Err(error) = presence(open, object, bytes, run) else {
                list.push(open.clone());
                continue;
            };
            if run.cancel.cancelled() {
                return Err((error, open.clone()));
            }
            if error.kind != ErrorKind::Damaged {
                notes.is_new(open, None);
            }
            if self.copies.len() > 1 {
                notes.tell(&format!("{}: {error}", open.stage));
            }
            // Damage is what must be told, if nothing can be read.
            let is_graver = |(other, _): &(Error, _)| is_damage(&error) && !is_damage(other);
            if gravest.as_ref().is_none_or(is_graver) {
                gravest = Some((error, open.clone()));
            }
        }
        if list.is_empty() {
            let nothing = || (Error::damaged(format!("no storage has `{object}`")), self.copies[0].clone());
            return Err(gravest.unwrap_or_else(nothing));
        }
        Ok(Copies { list, notes: Some(notes.clone()) })
    }
}

fn is_damage(error: &Error) -> bool {
    error.kind == ErrorKind::Damaged
}

fn presence(open: &OpenStorage, object: &str, bytes: u64, run: &Run) -> Result<()> {
    let found = open.storage.stat(&run.cx, object)?;
    if found.as_ref().map(|object| object.size_bytes) == Some(bytes) {
        return Ok(());
    }
    let what = if found.is_some() { "has another size than it should" } else { "is missing" };
    Err(Error::damaged(format!("`{object}` {what}")))
}

impl Copies {
    /// This one only.
    pub fn one(open: &OpenStorage) -> Self {
        Self { list: vec![open.clone()], notes: None }
    }

    /// The storages.
    pub fn list(&self) -> &[OpenStorage] {
        &self.list
    }

    /// The best of them.
    pub fn first(&self) -> &OpenStorage {
        &self.list[0]
    }

    /// Whether the `place` can't be read from the copy at `index`.
    pub fn is_bad(&self, index: usize, place: &Place) -> bool {
        self.notes.as_ref().is_some_and(|notes| {
            let open = &self.list[index];
            notes.is_bad(open, None) || notes.is_bad(open, Some(place))
        })
    }

    /// Notes that what is at `place` can't be read from the copy at `index`, for `error`. Whether that was news.
    pub fn note(&self, index: usize, place: &Place, error: &Error) -> bool {
        let Some(notes) = &self.notes else { return false };
        // A storage that breaks is done with; one that has kept a block badly may have kept the others well.
        let place = matches!(error.kind, ErrorKind::Damaged | ErrorKind::NotFound).then(|| place.clone());
        notes.is_new(&self.list[index], place)
    }

    /// Tells the user.
    pub fn tell(&self, message: &str) {
        if let Some(notes) = &self.notes {
            notes.tell(message);
        }
    }
}

impl Notes {
    fn is_bad(&self, open: &OpenStorage, place: Option<&Place>) -> bool {
        let bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        bad.contains(&(open.identity.clone(), place.cloned()))
    }

    fn is_new(&self, open: &OpenStorage, place: Option<Place>) -> bool {
        let mut bad = self.bad.lock().unwrap_or_else(PoisonError::into_inner);
        bad.insert((open.identity.clone(), place))
    }

    fn tell(&self, message: &str) {
        let pipeline = Some(self.name.clone());
        self.report.event(&Event::Warning { pipeline, message: message.to_owned() });
    }
}
