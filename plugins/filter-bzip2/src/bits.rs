//! Bits one behind the other: blocks of bzip2 begin and end anywhere in a byte.

/// Bits that don't fill a byte yet, the first one highest.
#[derive(Debug, Default)]
pub struct Tail {
    byte: u8,
    count: usize,
}

impl Tail {
    /// Puts the first `bits` bits of `bytes` behind the tail. `bytes` becomes the whole bytes that there are now, and what
    /// is left is the tail.
    pub fn push(&mut self, bytes: &mut Vec<u8>, bits: usize) {
        bytes.truncate(bits.div_ceil(8));
        // One more, so that what is shifted out of the last has a place.
        bytes.push(0);
        if self.count > 0 {
            let mut before = self.byte;
            for byte in bytes.iter_mut() {
                let shifted = before | (*byte >> self.count);
                before = *byte << (8 - self.count);
                *byte = shifted;
            }
        }
        let all = self.count + bits;
        self.count = all % 8;
        // What stood behind the last bit is cleared.
        self.byte = bytes[all / 8] & !(u8::MAX >> self.count);
        bytes.truncate(all / 8);
    }

    /// The tail as a byte, filled up with zeros; none if there is nothing left.
    pub fn end(self) -> Option<u8> {
        (self.count > 0).then_some(self.byte)
    }
}

/// 48 bits at bit `at` of `bytes`, if there are so many.
pub fn forty_eight(bytes: &[u8], at: usize) -> Option<u64> {
    let count = (at % 8 + 48).div_ceil(8);
    let mut wide = [0; 8];
    wide[..count].copy_from_slice(bytes.get(at / 8..at / 8 + count)?);
    Some(u64::from_be_bytes(wide) << (at % 8) >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As text of zeros and ones.
    fn text(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:08b}")).collect()
    }

    #[test]
    fn pieces_of_any_length_are_joined_without_a_gap() {
        let source: Vec<u8> = (0..40_u32).map(|at| (at * 97 + 13) as u8).collect();
        let (mut tail, mut joined, mut wanted) = (Tail::default(), Vec::new(), String::new());
        for bits in (0..=33).chain([64, 71, 320]) {
            let mut piece = source.clone();
            tail.push(&mut piece, bits);
            joined.extend(piece);
            wanted.push_str(&text(&source)[..bits]);
        }
        joined.extend(tail.end());
        assert_eq!(text(&joined).strip_prefix(&wanted).map(|rest| rest.trim_matches('0')), Some(""));
        assert_eq!(joined.len(), wanted.len().div_ceil(8));
    }

    #[test]
    fn bits_are_read_from_anywhere() {
        let bytes: Vec<u8> = (1..=8).map(|at| at * 31).collect();
        for at in 0..=16 {
            let wanted = u64::from_str_radix(&text(&bytes)[at..at + 48], 2).unwrap();
            assert_eq!(forty_eight(&bytes, at), Some(wanted), "{at}");
        }
        assert_eq!(forty_eight(&bytes, 17), None);
    }
}
