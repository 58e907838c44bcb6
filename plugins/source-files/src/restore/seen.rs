//! The members that a restore has met, by a keyed hash of their path: about 50 bytes of memory a member, whatever its
//! name's length.
//!
//! The keys are drawn anew for each restore, so nobody can prepare two paths of one hash.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// What stands at a path by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A folder that has no member of its own yet, only members in it.
    ImpliedFolder,
    /// A folder.
    Folder,
    /// A file or a symlink.
    Other,
    /// A member that wasn't restored: not asked for, or of a kind that can't be.
    PassedOver,
}

/// All paths met.
#[derive(Default)]
pub struct Seen {
    keys: (RandomState, RandomState),
    paths: HashMap<(u64, u64), State>,
}

impl Seen {
    fn key(&self, path: &[u8]) -> (u64, u64) {
        (self.keys.0.hash_one(path), self.keys.1.hash_one(path))
    }

    /// What stands at `path`.
    pub fn get(&self, path: &[u8]) -> Option<State> {
        self.paths.get(&self.key(path)).copied()
    }

    /// Notes `path`; returns what it was before.
    pub fn set(&mut self, path: &[u8], state: State) -> Option<State> {
        self.paths.insert(self.key(path), state)
    }

    /// Notes that `path` is a folder, if nothing is known of it.
    pub fn imply_folder(&mut self, path: &[u8]) {
        self.paths.entry(self.key(path)).or_insert(State::ImpliedFolder);
    }
}
