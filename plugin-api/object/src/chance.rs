//! Chance for jitter and for names that nothing else has. Not for keys.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Some number: the standard library seeds its hash maps with the system's randomness.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A word of 16 hexadecimal digits.
pub fn random_word() -> String {
    format!("{:016x}", random())
}
