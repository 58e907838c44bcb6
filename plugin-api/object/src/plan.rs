//! How large parts are: chosen so that the service's number of parts holds the object, and so that memory stays small as
//! long as the object does.

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::service::Limits;

const MIB: u64 = 1024 * 1024;

/// Beyond what was planned for, parts grow with the object: by e^8, 3,000-fold, with the parts that are left.
const GROWTH: u64 = 8;

/// The sizes of an object's parts.
#[derive(Clone, Debug)]
pub struct Parts {
    size: u64,
    /// Up to here all parts have that size.
    planned: u64,
    /// From there on a part is no larger than this share of what was written before it.
    share: u64,
    limits: Limits,
}

impl Parts {
    /// Parts of at least `wanted` bytes for an object of about `hint` bytes, or else of at most about `most`. What is only known
    /// to be at most so large gets larger parts only where they can't grow later.
    pub fn plan(limits: &Limits, wanted: u64, hint: Option<u64>, most: Option<u64>) -> Result<Self> {
        if let Some(hint) = hint.filter(|hint| *hint > limits.object_bytes) {
            return Err(too_large(limits, hint));
        }
        let most = most.filter(|_| limits.equal_parts).map(|most| most.min(limits.object_bytes));
        let hint = hint.or(most).unwrap_or_default();
        // A hint is an estimate: it may be short by an eighth, and by more if the last fifth of the parts grows.
        let planned = hint + hint / 8;
        let needed = planned.div_ceil(limits.parts * 4 / 5).next_multiple_of(MIB);
        let size = wanted.max(needed).clamp(limits.part_min.min(limits.part_max), limits.part_max);
        let left = limits.parts.saturating_sub(planned / size);
        Ok(Self { size, planned, share: (left / GROWTH).max(1), limits: limits.clone() })
    }

    /// The size of the part that begins at `offset`.
    pub fn size_at(&self, offset: u64) -> u64 {
        if self.limits.equal_parts || offset < self.planned {
            return self.size;
        }
        self.size.max((offset / self.share).next_multiple_of(MIB)).min(self.limits.part_max)
    }

    /// Whether there may be a part `number` (from 1) that ends at `end`.
    pub fn judge(&self, number: u64, end: u64) -> Result<()> {
        if end > self.limits.object_bytes {
            return Err(too_large(&self.limits, end));
        }
        if number > self.limits.parts {
            let held = format!("{} parts of {} MiB hold no more", self.limits.parts, self.size / MIB);
            return Err(Error::new(ErrorKind::Unsupported, held).hint("Set a larger `part_size`."));
        }
        Ok(())
    }
}

fn too_large(limits: &Limits, bytes: u64) -> Error {
    let largest = limits.object_bytes / MIB;
    let message =
        format!("an object of {} MiB is larger than the {largest} MiB that the service takes", bytes / MIB);
    Error::new(ErrorKind::Unsupported, message)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn limits() -> Limits {
        Limits {
            key_bytes: 1024,
            object_bytes: 5 * MIB * MIB,
            put_bytes: 5 * 1024 * MIB,
            part_min: 5 * MIB,
            part_max: 5 * 1024 * MIB,
            parts: 10_000,
            equal_parts: false,
            in_order: false,
            delete_batch: 1000,
            page: 1000,
        }
    }

    /// How many parts an object of `bytes` takes, and the size of the largest.
    fn taken(parts: &Parts, bytes: u64) -> (u64, u64) {
        let (mut number, mut offset, mut largest) = (0, 0, 0);
        while offset < bytes {
            number += 1;
            let size = parts.size_at(offset).min(bytes - offset);
            largest = largest.max(parts.size_at(offset));
            offset += size;
            parts.judge(number, offset).unwrap();
        }
        (number, largest)
    }

    #[test]
    fn an_estimate_fits_with_an_eighth_to_spare() {
        for (hint, size) in [(0, 8), (1, 8), (56_000, 8), (80_000, 12), (1_000_000, 141), (4_000_000, 563)] {
            let parts = Parts::plan(&limits(), 8 * MIB, Some(hint * MIB), None).unwrap();
            assert_eq!(parts.size_at(0), size * MIB, "{hint} MiB");
            assert_eq!(taken(&parts, (hint + hint / 8) * MIB).1, if hint == 0 { 0 } else { size * MIB });
            // And one that was far too low still does no harm.
            taken(&parts, limits().object_bytes);
        }
    }

    #[test]
    fn an_object_of_unknown_length_may_become_as_large_as_any() {
        let parts = Parts::plan(&limits(), 8 * MIB, None, None).unwrap();
        let (number, largest) = taken(&parts, limits().object_bytes);
        assert!(number < 9500, "{number}");
        assert!(largest < limits().part_max);
        // And memory is small for what isn't huge.
        assert_eq!(taken(&parts, 10_000 * MIB).1, 8 * MIB);
        assert!(taken(&parts, 100_000 * MIB).1 <= 80 * MIB);
    }

    #[test]
    fn equal_parts_stay_equal_and_their_end_is_told_with_what_to_do() {
        let parts = Parts::plan(&Limits { equal_parts: true, ..limits() }, 8 * MIB, None, None).unwrap();
        assert_eq!(parts.size_at(70_000 * MIB), 8 * MIB);
        let error = parts.judge(10_001, 80_000 * MIB).unwrap_err();
        assert!(error.hint.unwrap().contains("part_size"));
    }

    #[test]
    fn what_may_become_smaller_gets_larger_parts_only_where_they_can_not_grow() {
        let equal = Limits { equal_parts: true, ..limits() };
        let most = Some(1_000_000 * MIB);
        assert_eq!(Parts::plan(&equal, 8 * MIB, None, most).unwrap().size_at(0), 141 * MIB);
        assert_eq!(Parts::plan(&limits(), 8 * MIB, None, most).unwrap().size_at(0), 8 * MIB);
        // The object may become small enough.
        let parts = Parts::plan(&equal, 8 * MIB, None, Some(u64::MAX)).unwrap();
        assert_eq!(taken(&parts, limits().object_bytes).1, parts.size_at(0));
    }

    #[test]
    fn what_is_larger_than_any_object_is_refused_before_the_first_byte() {
        let error = Parts::plan(&limits(), 8 * MIB, Some(6 * MIB * MIB), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    }

    #[test]
    fn a_part_is_never_smaller_or_larger_than_the_service_takes() {
        assert_eq!(Parts::plan(&limits(), MIB, None, None).unwrap().size_at(0), 5 * MIB);
        assert_eq!(Parts::plan(&limits(), u64::MAX, None, None).unwrap().size_at(0), 5 * 1024 * MIB);
    }
}
