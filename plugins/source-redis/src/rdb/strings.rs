//! Lengths and strings: a number of bytes, a small integer in place of its decimal text, or LZF.

use std::io::Read;

use windlass_plugin_api::Result;

use super::Input;

/// A key is at most as long as a string value.
const LONGEST: u64 = 512 << 20;

/// What stands where a length is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// A length.
    Plain(u64),
    /// The string that follows isn't plain; the number says how it is encoded.
    Encoded(u8),
}

/// Reads a length or an encoding.
pub fn length_or_encoding<R: Read>(input: &mut Input<R>) -> Result<Length> {
    let first = input.byte()?;
    Ok(match first >> 6 {
        0 => Length::Plain(first.into()),
        1 => Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(input.byte()?)),
        2 if first == 0x80 => Length::Plain(u32::from_be_bytes(input.array()?).into()),
        2 if first == 0x81 => Length::Plain(u64::from_be_bytes(input.array()?)),
        3 => Length::Encoded(first & 0x3f),
        _ => return Err(input.damaged("an unknown form of length")),
    })
}

/// Reads a length.
pub fn length<R: Read>(input: &mut Input<R>) -> Result<u64> {
    match length_or_encoding(input)? {
        Length::Plain(length) => Ok(length),
        Length::Encoded(_) => Err(input.damaged("a string where a length should stand")),
    }
}

/// Passes a string.
pub fn skip<R: Read>(input: &mut Input<R>) -> Result<()> {
    match length_or_encoding(input)? {
        Length::Plain(length) => input.skip(length),
        Length::Encoded(encoding @ 0..=2) => input.skip(1 << encoding),
        Length::Encoded(3) => {
            let packed = length(input)?;
            length(input)?;
            input.skip(packed)
        }
        Length::Encoded(_) => Err(input.damaged("an unknown form of string")),
    }
}

/// Reads a string: a key's name.
pub fn read<R: Read>(input: &mut Input<R>) -> Result<Vec<u8>> {
    match length_or_encoding(input)? {
        Length::Plain(length) => input.bytes(length),
        Length::Encoded(0) => Ok(i8::from_le_bytes(input.array()?).to_string().into_bytes()),
        Length::Encoded(1) => Ok(i16::from_le_bytes(input.array()?).to_string().into_bytes()),
        Length::Encoded(2) => Ok(i32::from_le_bytes(input.array()?).to_string().into_bytes()),
        Length::Encoded(3) => {
            let (packed, whole) = (length(input)?, length(input)?);
            let packed = input.bytes(packed)?;
            let unpacked = if whole <= LONGEST { unpack(&packed, whole as usize) } else { None };
            unpacked.ok_or_else(|| input.damaged("a compressed string that can't be unpacked"))
        }
        Length::Encoded(_) => Err(input.damaged("an unknown form of string")),
    }
}

/// LZF: a control byte below 32 announces that many bytes and one more as they are; any other is a back reference of
/// three bits of length (7: another byte adds to it) and thirteen of distance. `None` if that doesn't give `whole` bytes.
fn unpack(mut packed: &[u8], whole: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some((&control, rest)) = packed.split_first() {
        packed = rest;
        let high = usize::from(control >> 5);
        if high == 0 {
            let (literal, rest) = packed.split_at_checked(usize::from(control) + 1)?;
            bytes.extend_from_slice(literal);
            packed = rest;
        } else {
            let mut next = || {
                let (&byte, rest) = packed.split_first()?;
                packed = rest;
                Some(usize::from(byte))
            };
            let count = high + 2 + if high == 7 { next()? } else { 0 };
            let distance = (usize::from(control & 0x1f) << 8) + next()? + 1;
            let from = bytes.len().checked_sub(distance)?;
            // One by one: a reference may reach into what it makes.
            (from..from + count).for_each(|at| bytes.push(bytes[at]));
        }
        if bytes.len() > whole {
            return None;
        }
    }
    (bytes.len() == whole).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Result<Vec<u8>> {
        let mut skipped = Input::new(bytes);
        let read = read(&mut Input::new(bytes));
        assert_eq!(skip(&mut skipped).is_ok(), read.is_ok());
        read
    }

    #[test]
    fn each_form_of_a_string_is_read() {
        assert_eq!(string(b"\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\x40\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\x80\0\0\0\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\x81\0\0\0\0\0\0\0\x03abc").unwrap(), b"abc");
        assert_eq!(string(b"\xc0\xff").unwrap(), b"-1");
        assert_eq!(string(b"\xc1\x00\x01").unwrap(), b"256");
        assert_eq!(string(b"\xc2\x00\x00\x01\x00").unwrap(), b"65536");
        // `a` once as it is, then 19 times by reference to the byte before.
        assert_eq!(string(b"\xc3\x05\x14\x00a\xe0\x0a\x00").unwrap(), b"a".repeat(20));
    }

    #[test]
    fn a_string_that_is_cut_or_announces_too_much_is_an_error() {
        assert!(string(b"\x04abc").is_err());
        assert!(string(b"\x81\x7f\xff\xff\xff\xff\xff\xff\xffabc").is_err());
        assert!(read(&mut Input::new(&b"\xc3\x05\x13\x00a\xe0\x0a\x00"[..])).is_err());
        assert!(read(&mut Input::new(&b"\xc3\x02\x04\x20\x05"[..])).is_err());
    }
}
