//! Wrappers that implement the same trait as what they wrap, so that plugins stay naive.

mod clock;
pub mod limit;
pub mod retry;
