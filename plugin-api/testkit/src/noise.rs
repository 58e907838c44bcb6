//! Bytes that don't compress, the same on every run.

use std::io::{self, Read};

/// An endless pseudo-random stream (xorshift64\*): the same seed gives the same bytes. No use in cryptography.
#[derive(Clone, Debug)]
pub struct Noise {
    state: u64,
    rest: u64,
    left: u32,
}

impl Noise {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        // A state of zero would stay zero.
        Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, rest: 0, left: 0 }
    }

    /// The next eight bytes as a number.
    pub fn number(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    fn byte(&mut self) -> u8 {
        if self.left == 0 {
            (self.rest, self.left) = (self.number(), 8);
        }
        let byte = self.rest as u8;
        self.rest >>= 8;
        self.left -= 1;
        byte
    }
}

/// Never ends and never fails; however it is read, the bytes are the same.
impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.iter_mut().for_each(|byte| *byte = self.byte());
        Ok(buffer.len())
    }
}

/// The first `length` bytes of the noise of `seed`.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut source = Noise::new(seed);
    bytes.iter_mut().for_each(|byte| *byte = source.byte());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_the_same_in_pieces_and_differs_by_seed() {
        let mut pieces = Vec::new();
        let mut source = Noise::new(7);
        for length in [1, 2, 3, 94] {
            let mut piece = vec![0; length];
            source.read_exact(&mut piece).unwrap();
            pieces.extend(piece);
        }
        assert_eq!(pieces, noise(7, 100));
        assert_ne!(pieces, noise(8, 100));
    }
}
