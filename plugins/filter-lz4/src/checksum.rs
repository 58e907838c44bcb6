//! The checksum of the format: xxHash of 32 bits without a seed.

use std::hash::Hasher;

use twox_hash::XxHash32;

/// Of bytes that come in pieces.
pub struct Checksum(XxHash32);

impl Checksum {
    pub fn new() -> Self {
        Self(XxHash32::with_seed(0))
    }

    /// Of all of `bytes`.
    pub fn of(bytes: &[u8]) -> u32 {
        XxHash32::oneshot(0, bytes)
    }

    pub fn add(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    pub fn sum(&self) -> u32 {
        self.0.finish_32()
    }
}
