//! Which names a snapshot has, in 8 bytes each.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

/// A set of names. It may take one for another, with a chance of one to 10¹² for a million names: then an object that isn't in
/// the snapshot stays where a restore would have removed it.
#[derive(Default)]
pub struct Seen {
    hasher: RandomState,
    names: HashSet<u64>,
}

impl Seen {
    pub fn add(&mut self, name: &str) {
        self.names.insert(self.hasher.hash_one(name));
    }

    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&self.hasher.hash_one(name))
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn a_name_is_known_once_it_was_added() {
        let mut seen = Seen::default();
        ["a", "a/b", "a"].iter().for_each(|name| seen.add(name));
        assert!(seen.has("a") && seen.has("a/b") && !seen.has("b"));
        assert_eq!(seen.len(), 2);
    }
}
