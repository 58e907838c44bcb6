//! The snapshots of several storages, each once, with what every storage has of it.

use std::collections::{BTreeMap, BTreeSet};

use windlass_plugin_api::{Error, ErrorKind};

use super::session::same;
use crate::catalog::{Found, Manifest, SnapshotKey};

/// What was found in the storages that could be read.
#[derive(Default)]
pub struct Merged {
    storages: Vec<String>,
    found: BTreeMap<SnapshotKey, Vec<(String, Found)>>,
}

/// A snapshot, and what each storage has of it: `NotFound` where it should be and isn't.
pub struct Copies {
    best: (String, Found),
    /// By storage, in the order in which they were read.
    pub all: Vec<(String, Result<Manifest, Error>)>,
}

impl Merged {
    /// Adds all that a storage has.
    pub fn add(&mut self, storage: &str, found: Vec<Found>) {
        self.storages.push(storage.to_owned());
        for found in found {
            self.found.entry(found.key.clone()).or_default().push((storage.to_owned(), found));
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Every snapshot once, by host and pipeline the oldest first; `wants` names the storages that should have it.
    pub fn snapshots(self, wants: impl Fn(&SnapshotKey) -> Vec<String>) -> Vec<Copies> {
        let storages = self.storages;
        let one = |(key, found): (SnapshotKey, Vec<(String, Found)>)| {
            let wanted: BTreeSet<String> = wants(&key).into_iter().collect();
            Copies::new(&key, found, &storages, &wanted)
        };
        let mut all: Vec<Copies> = self.found.into_iter().filter_map(one).collect();
        all.sort_by(|one, other| one.order().cmp(&other.order()));
        all
    }
}

impl Copies {
    fn new(
        key: &SnapshotKey,
        found: Vec<(String, Found)>,
        storages: &[String],
        wanted: &BTreeSet<String>,
    ) -> Option<Self> {
        let good = found.iter().find(|(_, found)| found.manifest.is_ok());
        let best = good.or(found.first())?.clone();
        let of = |storage: &String| found.iter().find(|(name, _)| name == storage);
        let mut all = Vec::new();
        for storage in storages {
            let manifest = match (of(storage), &best.1.manifest) {
                (Some((_, found)), Ok(best)) => {
                    found.manifest.clone().and_then(|manifest| same(best, manifest))
                }
                (Some((_, found)), Err(_)) => found.manifest.clone(),
                (None, _) if wanted.contains(storage) => {
                    Err(Error::new(ErrorKind::NotFound, format!("no snapshot `{key}`")))
                }
                (None, _) => continue,
            };
            all.push((storage.clone(), manifest));
        }
        Some(Self { best, all })
    }

    /// It, as it was found in the best storage.
    pub fn found(&self) -> &Found {
        &self.best.1
    }

    /// The best storage.
    pub fn storage(&self) -> &str {
        &self.best.0
    }

    /// Damaged ones are ordered by their id alone.
    fn order(&self) -> (&str, &str, u64, &str) {
        let found = self.found();
        let sequence = found.manifest.as_ref().map_or(0, |manifest| manifest.sequence);
        (&found.key.host, &found.key.pipeline, sequence, found.key.id.as_str())
    }
}
