//! What dead runs have left that no record of this machine names: another machine made it, or its state folder is lost.
//!
//! It is only taken for that where nobody can be working on it any more: a later run has made a snapshot since, no object has changed
//! and no upload was begun for a week. A time that the storage doesn't tell is none that has passed. Where RESTORE.txt is, everything
//! else is too: such a folder may be a snapshot that has lost its manifest, or waits for it, and is left to people.

use std::collections::BTreeSet;

use jiff::Timestamp;
use windlass_plugin_api::{Context, Leftover, Object, Result, Storage};

use super::landed;
use crate::catalog::level::Shelf;
use crate::catalog::snapshot::{MANIFEST, RESTORE_TXT, SnapshotId, SnapshotKey, pipeline_prefix};

/// So many seconds must have passed since the last change: longer than any upload takes.
const LONG_SECONDS: i64 = 7 * 24 * 3600;

/// What may go.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Abandoned {
    /// Objects of what never became a snapshot.
    pub keys: Vec<String>,
    /// Uploads that were never finished.
    pub half: Vec<Leftover>,
}

impl Abandoned {
    /// What has been abandoned of a pipeline in `storage`, which holds what `shelf` says; `newest` is its last good snapshot.
    pub fn find(
        storage: &dyn Storage,
        cx: &Context,
        shelf: &Shelf,
        newest: &SnapshotKey,
        now: Timestamp,
    ) -> Result<Self> {
        let prefix = pipeline_prefix(&newest.host, &newest.pipeline);
        let id_of = |key: &str| -> Option<SnapshotId> {
            let id = key.strip_prefix(&prefix)?.split_once('/')?.0.parse().ok()?;
            Some(id).filter(|id| *id < newest.id)
        };
        let is_old = |time: Option<i64>| time.is_some_and(|time| now.as_second() - time > LONG_SECONDS);
        let mut half = storage.leftovers(cx, &prefix)?;
        half.retain(|half| id_of(&half.key).is_some());
        let (half, young): (Vec<_>, Vec<_>) = half.into_iter().partition(|half| is_old(half.started));
        let busy: BTreeSet<SnapshotId> = young.iter().filter_map(|half| id_of(&half.key)).collect();
        let ids: BTreeSet<SnapshotId> = shelf.objects.keys().filter_map(|key| id_of(key)).collect();
        let mut keys = Vec::new();
        for id in ids.difference(&busy) {
            let key = SnapshotKey { id: id.clone(), ..newest.clone() };
            let (manifest, text) = (key.object(MANIFEST), key.object(RESTORE_TXT));
            if shelf.objects.contains_key(&manifest) {
                continue;
            }
            // Anew: it may have become a snapshot since.
            let there = landed::below(storage, &key.prefix(), cx)?;
            let is_dead = |object: &Object| object.key != text && is_old(object.modified);
            if there.iter().all(is_dead) && storage.stat(cx, &manifest)?.is_none() {
                keys.extend(there.into_iter().map(|object| object.key));
            }
        }
        Ok(Self { keys, half })
    }

    /// How many things those are.
    pub fn count(&self) -> usize {
        self.keys.len() + self.half.len()
    }

    /// Removes them.
    pub fn remove(&self, storage: &dyn Storage, cx: &Context) -> Result<()> {
        if !self.half.is_empty() {
            storage.discard(cx, &self.half)?;
        }
        if self.keys.is_empty() {
            return Ok(());
        }
        storage.delete(cx, &self.keys)?.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use windlass_plugin_api::CreateOptions;
    use windlass_testkit::{Memory, TestHost};

    use super::*;

    const NEWEST: &str = "20261122T185903Z-k3f9";
    const DEAD: &str = "20261101T000000Z-dead";
    const LOST: &str = "20261102T000000Z-lost";
    const LATER: &str = "20261123T000000Z-late";

    fn key(id: &str) -> SnapshotKey {
        SnapshotKey { host: "web1".into(), pipeline: "shop".into(), id: id.parse().unwrap() }
    }

    /// What is found so many days after everything was stored.
    fn found(storage: &Memory, days: i64) -> Abandoned {
        let objects = storage.objects().into_iter().map(|(key, bytes)| (key, bytes.len() as u64));
        let shelf = Shelf { found: Vec::new(), objects: objects.collect::<BTreeMap<_, _>>() };
        let now = Timestamp::now().checked_add(jiff::Span::new().hours(24 * days)).unwrap();
        Abandoned::find(storage, &TestHost::new().context(), &shelf, &key(NEWEST), now).unwrap()
    }

    fn begun(storage: &Memory, key: &str) -> Box<dyn windlass_plugin_api::Upload> {
        storage.create(&TestHost::new().context(), key, &CreateOptions::default()).unwrap()
    }

    #[test]
    fn only_what_is_older_than_the_newest_and_untouched_for_a_week_is_abandoned() {
        let storage = Memory::default();
        let dead = key(DEAD).object("data");
        for planted in [
            dead.clone(),
            key(LATER).object("data"),
            key(NEWEST).object("data"),
            key(LOST).object("data"),
            key(LOST).object("RESTORE.txt"),
            format!("web1/shop-2/{DEAD}/data"),
            format!("web2/shop/{DEAD}/data"),
            "web1/shop/notes".to_owned(),
            "web1/shop/notes/x".to_owned(),
        ] {
            storage.plant(&planted, b"x");
        }
        let _halves = [DEAD, LATER].map(|id| begun(&storage, &key(id).object("data-0001")));
        assert_eq!(found(&storage, 6), Abandoned::default());
        let old = found(&storage, 8);
        assert_eq!(old.keys, std::slice::from_ref(&dead));
        let half: Vec<&str> = old.half.iter().map(|half| half.key.as_str()).collect();
        assert_eq!(half, [key(DEAD).object("data-0001")]);
        old.remove(&storage, &TestHost::new().context()).unwrap();
        assert!(!storage.objects().contains_key(&dead) && storage.objects().len() == 8);
        assert_eq!(found(&storage, 8), Abandoned::default());
    }

    #[test]
    fn what_has_a_manifest_is_a_snapshot_even_if_the_listing_came_too_early() {
        let storage = Memory::default();
        storage.plant(&key(DEAD).object("data"), b"x");
        let early = Shelf { objects: [(key(DEAD).object("data"), 1)].into(), ..Shelf::default() };
        storage.plant(&key(DEAD).object(MANIFEST), b"x");
        assert_eq!(found(&storage, 99), Abandoned::default());
        let now = Timestamp::now().checked_add(jiff::Span::new().hours(999)).unwrap();
        let found = Abandoned::find(&storage, &TestHost::new().context(), &early, &key(NEWEST), now).unwrap();
        assert_eq!(found, Abandoned::default());
    }
}
