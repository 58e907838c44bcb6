//! Bytes to send through a chain, and bits to change.

use proptest::prelude::*;

/// Bytes that a chain gets.
#[derive(Clone, Debug)]
pub struct Plain {
    pub shape: Shape,
    pub length: usize,
}

/// What they are like to a codec.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Zeros,
    Text,
    Noise,
}

impl Plain {
    pub fn bytes(&self) -> Vec<u8> {
        let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ self.length as u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        match self.shape {
            Shape::Zeros => vec![0; self.length],
            Shape::Noise => (0..self.length).map(|_| next() as u8).collect(),
            Shape::Text => {
                const WORDS: [&str; 8] = ["order", "is", "paid", "by", "card", "\n", "17", "x"];
                let words = std::iter::repeat_with(|| WORDS[next() as usize % 8].bytes().chain([b' ']));
                words.flatten().take(self.length).collect()
            }
        }
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    prop::sample::select(vec![Shape::Zeros, Shape::Text, Shape::Noise])
}

/// Mostly a few hundred bytes.
pub fn short() -> impl Strategy<Value = Plain> {
    (shape(), prop_oneof![0..3_usize, 0..600_usize]).prop_map(|(shape, length)| Plain { shape, length })
}

/// Of every length, and often just at the border of a block of some codec or of a hop's buffer.
pub fn any_length() -> impl Strategy<Value = Plain> {
    const KIB: usize = 1024;
    let borders = vec![4 * KIB, 32 * KIB, 64 * KIB, 100_000, 128 * KIB, 256 * KIB, 512 * KIB];
    let border = (prop::sample::select(borders), 0..4_usize).prop_map(|(border, past)| border + past - 2);
    let length = prop_oneof![1 => 0..3_usize, 3 => 0..5_000_usize, 3 => border, 1 => 0..900_000_usize];
    (shape(), length).prop_map(|(shape, length)| Plain { shape, length })
}

/// `bytes` with one bit changed.
pub fn flipped(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bit / 8] ^= 1 << (bit % 8);
    changed
}
