//! How many threads compress a stream, and in jobs of which size.
//!
//! Both decide about memory: each worker holds its tables, and each job in flight its input and its output. The library's
//! own choice at level 3 is jobs of 8 MiB, 70 MiB in all with two workers. The figures here were measured as peak memory of
//! a process that compresses a mixture of programs and text.

use zstd::zstd_safe::{CCtx, CParameter};

use windlass_plugin_api::Result;

use crate::encode::failed;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;
/// The format's largest block.
const FULL_BLOCK: u32 = 128 * KIB;

/// Parameters of one stream's encoder.
pub struct Tuning {
    level: i32,
    workers: u32,
    /// Bytes of a job; 0 leaves it to the library.
    job_bytes: u32,
}

impl Tuning {
    /// For `level`, with `threads` asked for; 0: as many as are good.
    pub fn new(level: i32, threads: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let workers = if threads == 0 { cores.min(most_workers(level)) } else { threads };
        Self { level, workers, job_bytes: job_bytes(level, workers) }
    }

    /// Sets the parameters.
    pub fn apply(&self, context: &mut CCtx<'_>) -> Result<()> {
        let mut set = |parameter| context.set_parameter(parameter).map(drop).map_err(failed);
        set(CParameter::CompressionLevel(self.level))?;
        set(CParameter::ChecksumFlag(true))?;
        set(CParameter::NbWorkers(self.workers))?;
        set(CParameter::JobSize(self.job_bytes))?;
        if self.level == 3 {
            // A table half as large stays in the second-level cache, and a job that begins with 64 KiB of the one before
            // rather than 256 KiB has an eighth less to do: together 5 to 9 % less work, for 0.1 to 0.9 % more bytes.
            set(CParameter::HashLog(16))?;
            set(CParameter::OverlapSizeLog(7))?;
            // A dump writes binary columns as hex digits, where matches of five of them are many and gain nothing: without
            // them 36 % less work and 2.6 % fewer bytes for a PostgreSQL dump with attachments; elsewhere 0.5 to 2.4 % more bytes.
            set(CParameter::MinMatch(6))?;
            // Since 1.5.7 the library looks into each full block for a place to split it: 17 % more work, for 0.3 % fewer
            // bytes of a database. A block that is never full isn't looked into.
            set(CParameter::MaxBlockSize(FULL_BLOCK - 1))?;
        }
        Ok(())
    }
}

/// How many workers stay below about 40 MiB at `level`. Each takes 1 MiB at level 3, 2.5 at 8, 10 at 9, 40 at 12.
fn most_workers(level: i32) -> u32 {
    match level {
        ..=4 => 16,
        5..=8 => 4,
        9..=11 => 2,
        _ => 1,
    }
}

/// Small jobs where there are many, for two to three of them a worker are in memory at a time; but a job has a cost of its
/// own, and under 512 KiB the library doesn't go.
fn job_bytes(level: i32, workers: u32) -> u32 {
    match level {
        ..=4 => (8 * MIB / workers.max(1)).clamp(512 * KIB, 2 * MIB),
        5..=12 => 2 * MIB,
        // The window of the highest levels is larger than any of these: jobs must be, too, or most work is done twice.
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_workers_get_small_jobs() {
        assert_eq!((job_bytes(3, 1), job_bytes(3, 2), job_bytes(3, 16)), (2 * MIB, 2 * MIB, 512 * KIB));
    }

    #[test]
    fn a_number_that_was_asked_for_is_taken() {
        assert_eq!(Tuning::new(19, 8).workers, 8);
        assert_eq!(Tuning::new(19, 0).workers, 1);
    }
}
