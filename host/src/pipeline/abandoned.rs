//! What dead runs have left that no record of this machine names: another machine made it, or its state folder is lost.
//!
//! It is only taken for that where nobody can be working on it any more: a later run has made a snapshot since, no object has changed
//! and no upload was begun for a week. A time that the storage doesn't tell is none that has passed. Where RESTORE.txt is, everything
//! else is too: such a folder may be a snapshot that has lost its manifest, or waits for it, and is left to people.

use std::collections::BTreeSet;

use jiff::Timestamp;
use windlass_plugin_api::{Context, Leftover, Object, Result, Storage};

use super::landed;
use super::leftovers::{delete, discard};
use crate::catalog::level::Shelf;
use crate::catalog::snapshot::{MANIFEST, RESTORE_TXT, SnapshotId, SnapshotKey, pipeline_prefix};

/// So many seconds must have passed since the last change: longer than any upload takes.
const LONG_SECONDS: i64 = 7 * 24 * 3600;

/// Where to look.
pub struct Abandoned<'a> {
    /// What the storage holds of the pipeline.
    pub shelf: &'a Shelf,
    /// Its last good snapshot.
    pub newest: &'a SnapshotKey,
    /// What time it is.
    pub now: Timestamp,
}

impl Abandoned<'_> {
    /// Removes what has been abandoned in `storage`, or only looks (`dry_run`). Gives how many objects and uploads that is.
    pub fn clear(&self, storage: &dyn Storage, cx: &Context, dry_run: bool) -> Result<usize> {
        let mut half = storage.leftovers(cx, &pipeline_prefix(&self.newest.host, &self.newest.pipeline))?;
        half.retain(|half| self.id_of(&half.key).is_some());
        let (half, young): (Vec<Leftover>, Vec<Leftover>) =
            half.into_iter().partition(|half| self.is_old(half.started));
        let busy: BTreeSet<SnapshotId> = young.iter().filter_map(|half| self.id_of(&half.key)).collect();
        let ids: BTreeSet<SnapshotId> = self.shelf.objects.keys().filter_map(|key| self.id_of(key)).collect();
        if !dry_run {
            discard(storage, &half, cx)?;
        }
        let mut count = half.len();
        for id in ids.difference(&busy) {
            let key = SnapshotKey { id: id.clone(), ..self.newest.clone() };
            // Each is looked at just before: it may have become a snapshot since.
            let dead = self.dead(storage, cx, &key)?;
            count += dead.len();
            if !dry_run {
                delete(storage, &dead, cx)?;
            }
        }
        Ok(count)
    }

    /// All objects of what never became a snapshot, if it is that.
    fn dead(&self, storage: &dyn Storage, cx: &Context, key: &SnapshotKey) -> Result<Vec<String>> {
        let (manifest, text) = (key.object(MANIFEST), key.object(RESTORE_TXT));
        if self.shelf.objects.contains_key(&manifest) || self.shelf.objects.contains_key(&text) {
            return Ok(Vec::new());
        }
        let there = landed::below(storage, &key.prefix(), cx)?;
        let is_dead = |object: &Object| object.key != text && self.is_old(object.modified);
        if !there.iter().all(is_dead) || storage.stat(cx, &manifest)?.is_some() {
            return Ok(Vec::new());
        }
        Ok(there.into_iter().map(|object| object.key).collect())
    }

    /// The id of a run that began before the newest snapshot's.
    fn id_of(&self, key: &str) -> Option<SnapshotId> {
        let prefix = pipeline_prefix(&self.newest.host, &self.newest.pipeline);
        let id = key.strip_prefix(&prefix)?.split_once('/')?.0.parse().ok()?;
        Some(id).filter(|id| *id < self.newest.id)
    }

    fn is_old(&self, time: Option<i64>) -> bool {
        time.is_some_and(|time| self.now.as_second() - time > LONG_SECONDS)
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

    /// Clears, or only looks, so many days after everything was stored.
    fn cleared(storage: &Memory, shelf: &Shelf, days: i64, dry_run: bool) -> usize {
        let now = Timestamp::now().checked_add(jiff::Span::new().hours(24 * days)).unwrap();
        let work = Abandoned { shelf, newest: &key(NEWEST), now };
        work.clear(storage, &TestHost::new().context(), dry_run).unwrap()
    }

    fn shelf(storage: &Memory) -> Shelf {
        let objects = storage.objects().into_iter().map(|(key, bytes)| (key, bytes.len() as u64));
        Shelf { found: Vec::new(), objects: objects.collect::<BTreeMap<_, _>>() }
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
        let before = storage.objects();
        assert_eq!(cleared(&storage, &shelf(&storage), 6, false), 0);
        assert_eq!(cleared(&storage, &shelf(&storage), 8, true), 2);
        assert_eq!(storage.objects(), before);
        assert_eq!(cleared(&storage, &shelf(&storage), 8, false), 2);
        let gone: Vec<&String> = before.keys().filter(|key| !storage.objects().contains_key(*key)).collect();
        assert_eq!(gone, [&dead]);
        let halves = storage.leftovers(&TestHost::new().context(), "").unwrap();
        assert!(halves.len() == 1 && halves[0].key.contains(LATER), "{halves:?}");
        assert_eq!(cleared(&storage, &shelf(&storage), 8, false), 0);
    }

    #[test]
    fn what_has_a_manifest_is_a_snapshot_even_if_the_listing_came_too_early() {
        let storage = Memory::default();
        storage.plant(&key(DEAD).object("data"), b"x");
        let early = shelf(&storage);
        storage.plant(&key(DEAD).object(MANIFEST), b"x");
        assert_eq!(cleared(&storage, &early, 99, false), 0);
        assert_eq!(cleared(&storage, &shelf(&storage), 99, false), 0);
        assert_eq!(storage.objects().len(), 2);
    }
}
