//! What a restore has put into each database that it prepares, kept in that database itself: one key, written in the same
//! transaction as the keys that it counts. A restore that was killed is known by it, and told from what others wrote.
//!
//! Only reads, counts and judges: who sends and removes keys is `load`, `staging` and `leftovers`.

use std::collections::{BTreeMap, BTreeSet};

use crate::rdb::Key;

/// The key. It goes in the transaction that swaps a prepared database in, so nobody sees it where data belong.
pub const MARK: &str = "windlass:restore-in-progress";

/// What a connection that restores is called, in front of the run.
const NAME: &str = "windlass-restore:";

/// The first word of the key's value.
const FORM: &str = "windlass-restore/1";

/// How much lies in one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The run that put it there.
    pub run: String,
    /// Keys, without the mark.
    pub keys: u64,
    /// Those of them that expire.
    pub expiring: u64,
}

impl Entry {
    /// The key's value.
    pub fn text(&self) -> String {
        format!("{FORM} {} {} {}", self.run, self.keys, self.expiring)
    }

    /// Reads the key's value; none if it isn't of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix(FORM)?.strip_prefix(' ')?.split(' ');
        let (run, keys, expiring) = (words.next()?, words.next()?, words.next()?);
        let entry = Self { run: run.to_owned(), keys: keys.parse().ok()?, expiring: expiring.parse().ok()? };
        (words.next().is_none() && entry.expiring <= entry.keys).then_some(entry)
    }

    /// Whether a database with so many keys, the mark among them, holds what was put there and nothing else. Keys that
    /// expired may be missing. Where some did and some didn't, one that expires could be somebody else's: then it is no.
    pub fn is_all_of(&self, keys: u64, expiring: u64) -> bool {
        let lasting = keys.checked_sub(expiring);
        lasting == Some(self.keys - self.expiring + 1) && (expiring == self.expiring || expiring == 0)
    }
}

/// What `run` calls its connection.
pub fn connection_name(run: &str) -> String {
    format!("{NAME}{run}")
}

/// Whether a key of a snapshot is the mark: the snapshot was taken during a restore, or after one that was killed.
pub fn is_mark(key: &Key) -> bool {
    key.name == MARK.as_bytes()
}

/// The entries of all databases that a restore prepares.
#[derive(Clone, Debug)]
pub struct Ledger {
    run: String,
    entries: BTreeMap<u32, Entry>,
    changed: BTreeSet<u32>,
}

impl Ledger {
    /// Nothing is prepared yet.
    pub fn new(run: &str) -> Self {
        Self { run: run.to_owned(), entries: BTreeMap::new(), changed: BTreeSet::new() }
    }

    /// Counts a key in `database`.
    pub fn count(&mut self, database: u32, expires: bool) {
        let entry = self.entry(database);
        entry.keys += 1;
        entry.expiring += u64::from(expires);
        self.changed.insert(database);
    }

    /// What the mark of `database` says.
    pub fn text(&mut self, database: u32) -> String {
        self.entry(database).text()
    }

    /// The databases that were counted in since this was last asked.
    pub fn changed(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.changed)
    }

    fn entry(&mut self, database: u32) -> &mut Entry {
        let new = || Entry { run: self.run.clone(), ..Entry::default() };
        self.entries.entry(database).or_insert_with(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else_is() {
        let entry = Entry { run: "20250101T000000Z-abcd".into(), keys: 7, expiring: 2 };
        assert_eq!(Entry::parse(&entry.text()), Some(entry));
        for text in [
            "",
            "x",
            "windlass-restore/1",
            "windlass-restore/1 r 1",
            "windlass-restore/1 r 1 2",
            "windlass-restore/2 r 2 1",
        ] {
            assert_eq!(Entry::parse(text), None, "{text}");
        }
    }

    #[test]
    fn one_key_more_or_less_is_somebody_elses() {
        let of = |keys, expiring| Entry { run: String::new(), keys, expiring };
        assert!(of(5, 0).is_all_of(6, 0) && of(0, 0).is_all_of(1, 0));
        assert!(of(5, 2).is_all_of(6, 2) && of(5, 2).is_all_of(4, 0), "what expired is gone");
        for (keys, expiring) in [(7, 0), (5, 0), (6, 1), (7, 1), (0, 0), (1, 2)] {
            assert!(!of(5, 0).is_all_of(keys, expiring), "{keys} {expiring}");
        }
        assert!(!of(5, 2).is_all_of(5, 1), "one expired, or two did and somebody wrote one");
    }
}
