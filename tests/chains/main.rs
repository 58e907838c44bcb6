//! Random chains of filters, through the shared libraries: what went in comes out, and no changed bit goes unnoticed.
//!
//! [`alone`] looks at chains without the hashes of a snapshot, [`stored`] at snapshots. Most of it works inside of this
//! process on the engine, for thousands of runs of the binary would take minutes; a few go through the binary.
//!
//! A failure tells the seed of its random cases; the variable `WINDLASS_TEST_SEED` repeats them.

#[path = "../common/mod.rs"]
mod common;

mod alone;
mod bits;
mod engine;
mod stored;

use std::fmt::Debug;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseResult, TestRng, TestRunner};

/// Runs `test` on so many random values; of one that fails a small relative is shown.
fn random<S: Strategy<Value: Debug>>(cases: u32, values: S, test: impl Fn(S::Value) -> TestCaseResult) {
    let seed = match std::env::var("WINDLASS_TEST_SEED") {
        Ok(seed) => seed.parse().expect("`WINDLASS_TEST_SEED` is a number"),
        Err(_) => getrandom::u64().unwrap(),
    };
    let bytes: Vec<u8> = seed.to_le_bytes().repeat(4);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(&values, test) {
        panic!("WINDLASS_TEST_SEED={seed}: {failure}");
    }
}
