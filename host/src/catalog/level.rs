//! What several storages lack of each other's snapshots.
//!
//! It compares listings and manifests only: whether the bytes of an object are what they were is proved when it is copied, or by a
//! verify. A snapshot without a manifest is none, and nothing that is there is ever said to be in the way of itself.

use std::collections::BTreeMap;

use windlass_plugin_api::{Error, ErrorKind};

use super::list::Found;
use super::manifest::Manifest;
use super::snapshot::{MANIFEST, SnapshotKey};

/// What a storage holds of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// Its snapshots.
    pub found: Vec<Found>,
    /// The size of every object by its key.
    pub objects: BTreeMap<String, u64>,
}

impl Shelf {
    /// One of its snapshots, if it can be restored as far as manifests and listings tell; else what is wrong with it.
    pub fn whole<'f>(&self, found: &'f Found) -> Result<&'f Manifest, Error> {
        let manifest = found.manifest.as_ref().map_err(Error::clone)?;
        let own = found.key.object(MANIFEST);
        if !self.objects.contains_key(&own) {
            return Err(Error::new(ErrorKind::NotFound, format!("`{own}` went while it was looked at")));
        }
        if let Some(key) = missing_object(manifest, self) {
            return Err(Error::damaged(format!("`{key}` is missing")));
        }
        match wrong_size(manifest, self) {
            Some(error) => Err(Error { kind: ErrorKind::Damaged, ..error }),
            None => Ok(manifest),
        }
    }

    /// The keys of everything that lies where the snapshot does, and how many bytes that is.
    pub fn all_of(&self, key: &SnapshotKey) -> (Vec<String>, u64) {
        let prefix = key.prefix();
        let objects = self.objects.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix));
        let (keys, bytes): (Vec<String>, Vec<u64>) = objects.map(|(key, bytes)| (key.clone(), bytes)).unzip();
        (keys, bytes.into_iter().sum())
    }
}

/// What a comparison found; storages are numbers, in the order in which they were given.
#[derive(Clone, Debug)]
pub enum Difference {
    /// The storage `at` lacks the snapshot, or some of its objects.
    Lacks {
        /// Its manifest.
        manifest: Box<Manifest>,
        /// Who has that manifest too, the best first.
        origins: Vec<usize>,
        /// Who lacks something.
        at: usize,
    },
    /// Nothing can be copied to the storage `at`, because something else is there.
    InTheWay {
        /// The snapshot.
        key: SnapshotKey,
        /// Where.
        at: usize,
        /// What it is.
        error: Error,
    },
    /// No storage has a manifest of it that can be read.
    Lost {
        /// The snapshot.
        key: SnapshotKey,
        /// Where it is.
        at: usize,
        /// What is wrong with it.
        error: Error,
    },
}

/// What keeps the storages from being level, the oldest snapshot first.
pub fn differences(shelves: &[Shelf]) -> Vec<Difference> {
    let mut snapshots: BTreeMap<&SnapshotKey, Vec<Option<&Found>>> = BTreeMap::new();
    for (at, shelf) in shelves.iter().enumerate() {
        // One whose manifest went meanwhile is none.
        for found in
            shelf.found.iter().filter(|found| shelf.objects.contains_key(&found.key.object(MANIFEST)))
        {
            snapshots.entry(&found.key).or_insert_with(|| vec![None; shelves.len()])[at] = Some(found);
        }
    }
    snapshots.into_iter().flat_map(|(key, found)| of_one(key, &found, shelves)).collect()
}

fn of_one(key: &SnapshotKey, found: &[Option<&Found>], shelves: &[Shelf]) -> Vec<Difference> {
    let manifests = found.iter().map(|found| found.map(|found| &found.manifest));
    let manifests: Vec<Option<&Result<Manifest, Error>>> = manifests.collect();
    let Some(good) = manifests.iter().flatten().find_map(|manifest| manifest.as_ref().ok()) else {
        let first =
            manifests.iter().enumerate().find_map(|(at, found)| Some((at, (*found)?.as_ref().err()?)));
        let lost = first.map(|(at, error)| Difference::Lost { key: key.clone(), at, error: error.clone() });
        return lost.into_iter().collect();
    };
    let has = |at: usize| matches!(manifests[at], Some(Ok(manifest)) if manifest == good);
    let mut all = Vec::new();
    for (at, manifest) in manifests.iter().enumerate() {
        let error = match manifest {
            None => None,
            Some(Ok(manifest)) if manifest == good => wrong_size(good, &shelves[at]),
            Some(Ok(_)) => {
                Some(Error::damaged(format!("the manifest of `{key}` differs from that in another storage")))
            }
            Some(Err(error)) => Some(error.clone()),
        };
        if let Some(error) = error {
            all.push(Difference::InTheWay { key: key.clone(), at, error });
        } else if manifest.is_none() || missing_object(good, &shelves[at]).is_some() {
            let origins = (0..found.len()).filter(|&other| other != at && has(other)).collect();
            all.push(Difference::Lacks { manifest: Box::new(good.clone()), origins, at });
        }
    }
    all
}

fn missing_object(manifest: &Manifest, shelf: &Shelf) -> Option<String> {
    let objects = manifest.objects().into_iter();
    objects.map(|(key, _, _)| key).find(|key| !shelf.objects.contains_key(key))
}

/// An object that is there with another size than it should have.
fn wrong_size(manifest: &Manifest, shelf: &Shelf) -> Option<Error> {
    let objects = manifest.objects();
    let (key, bytes, _) =
        objects.iter().find(|(key, bytes, _)| shelf.objects.get(key).is_some_and(|found| found != bytes))?;
    let what = format!("`{key}` has {} bytes instead of {bytes}", shelf.objects[key]);
    Some(Error::new(ErrorKind::AlreadyExists, what))
}

#[cfg(test)]
mod tests {
    use super::super::manifest::tests::example;
    use super::*;

    fn shelf(manifest: &Manifest) -> Shelf {
        let found = Found { key: manifest.key(), manifest: Ok(manifest.clone()), is_recalled: false };
        let mut objects: BTreeMap<String, u64> =
            manifest.objects().into_iter().map(|(key, bytes, _)| (key, bytes)).collect();
        objects.insert(manifest.key().object(MANIFEST), 10);
        Shelf { found: vec![found], objects }
    }

    fn told(shelves: &[Shelf]) -> Vec<String> {
        let words = |difference: Difference| match difference {
            Difference::Lacks { origins, at, .. } => format!("{at} lacks it, {origins:?} have it"),
            Difference::InTheWay { at, .. } => format!("{at} has something in the way"),
            Difference::Lost { at, .. } => format!("lost, {at} is damaged"),
        };
        differences(shelves).into_iter().map(words).collect()
    }

    #[test]
    fn level_storages_have_no_difference() {
        let one = shelf(&example());
        assert_eq!(told(&[one.clone(), one.clone(), one]), [""; 0]);
        assert_eq!(told(&[Shelf::default(), Shelf::default()]), [""; 0]);
    }

    #[test]
    fn a_snapshot_that_is_missing_or_lacks_an_object_comes_from_those_that_have_it() {
        let whole = shelf(&example());
        assert_eq!(told(&[Shelf::default(), whole.clone(), whole.clone()]), ["0 lacks it, [1, 2] have it"]);
        let mut half = whole.clone();
        half.objects.pop_first();
        assert_eq!(told(&[half.clone(), whole]), ["0 lacks it, [1] have it"]);
        assert_eq!(told(&[half]), ["0 lacks it, [] have it"]);
    }

    #[test]
    fn a_snapshot_that_lacks_an_object_or_has_another_is_at_fault() {
        let whole = shelf(&example());
        let fault =
            |shelf: &Shelf| shelf.whole(&shelf.found[0]).err().map(|error| (error.kind, error.message));
        assert_eq!(fault(&whole), None);
        let mut half = whole.clone();
        half.objects.pop_first();
        let (kind, told) = fault(&half).unwrap();
        assert!(kind == ErrorKind::Damaged && told.ends_with("/RESTORE.txt` is missing"), "{told}");
        let mut larger = whole.clone();
        larger.objects.values_mut().for_each(|bytes| *bytes += 1);
        let (kind, told) = fault(&larger).unwrap();
        assert!(kind == ErrorKind::Damaged && told.contains(" bytes instead of "), "{told}");
        let mut gone = whole.clone();
        gone.objects.remove(&example().key().object(MANIFEST));
        assert_eq!(fault(&gone).unwrap().0, ErrorKind::NotFound);
        let mut unread = whole;
        unread.found[0].manifest = Err(Error::damaged("x"));
        assert_eq!(fault(&unread), Some((ErrorKind::Damaged, "x".to_owned())));
    }

    #[test]
    fn all_of_a_snapshot_is_what_lies_below_it() {
        let mut shelf = shelf(&example());
        let key = example().key();
        shelf.objects.insert(key.object("unknown/deeper"), 100);
        for near in
            ["web1/shop/20261122T185903Z-k3f", "web1/shop/20261122T185903Z-k3f9z/data", "web1/shop2/data"]
        {
            shelf.objects.insert(near.to_owned(), 1000);
        }
        let (keys, bytes) = shelf.all_of(&key);
        assert_eq!((keys.len(), bytes), (5, 3 + 3 + 1 + 10 + 100), "{keys:?}");
    }

    #[test]
    fn what_is_there_and_differs_is_in_the_way() {
        let whole = shelf(&example());
        let mut damaged = whole.clone();
        damaged.found[0].manifest = Err(Error::damaged("x"));
        let mut other = whole.clone();
        other.found[0].manifest = Ok(Manifest { sequence: 8, ..example() });
        let mut larger = whole.clone();
        larger.objects.values_mut().for_each(|bytes| *bytes += 1);
        let all = told(&[whole, damaged.clone(), other, larger]);
        assert_eq!(all, [1, 2, 3].map(|at| format!("{at} has something in the way")));
        assert_eq!(told(&[Shelf::default(), damaged]), ["lost, 1 is damaged"]);
    }
}
