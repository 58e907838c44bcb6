//! Wrappers that implement the same trait as what they wrap, so that plugins stay naive.

pub mod limit;
