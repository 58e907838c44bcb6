//! QuickXorHash, the one checksum that every kind of drive gives: each byte is mixed into 160 bits, 11 further than the one before,
//! and the length into the last 64. It proves that bytes arrived as they were sent, nothing more.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

const BYTES: usize = 20;

/// The checksum, as the service writes it.
pub fn quick_xor(bytes: &[u8]) -> String {
    let mut state = [0u8; BYTES];
    for (at, byte) in bytes.iter().enumerate() {
        let bit = at * 11 % (BYTES * 8);
        let wide = u16::from(*byte) << (bit % 8);
        state[bit / 8] ^= wide as u8;
        state[(bit / 8 + 1) % BYTES] ^= (wide >> 8) as u8;
    }
    for (place, byte) in state[12..].iter_mut().zip((bytes.len() as u64).to_le_bytes()) {
        *place ^= byte;
    }
    BASE64.encode(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_known_one() {
        for (bytes, hash) in [
            (&b""[..], "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            (b"\x4a", "SgAAAAAAAAAAAAAAAQAAAAAAAAA="),
            (b"\xb5\xb4", "taAFAAAAAAAAAAAAAgAAAAAAAAA="),
            (b"\xd2\x96\x4f", "0rDEEwAAAAAAAAAAAwAAAAAAAAA="),
        ] {
            assert_eq!(quick_xor(bytes), hash, "{bytes:?}");
        }
    }

    #[test]
    fn bits_that_leave_at_the_end_come_back_at_the_beginning() {
        // The 15th byte begins at bit 154, so that two of its bits are the first ones.
        let mut bytes = [0; 15];
        bytes[14] = 0xff;
        let state = BASE64.decode(quick_xor(&bytes)).unwrap();
        assert_eq!((state[19], state[0]), (0xfc, 0x03));
    }
}
