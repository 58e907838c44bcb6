//! The 512 bytes of a tar header: fields out of bytes and bytes out of fields.
//!
//! Written in ustar form; read in ustar, GNU and the forms before. What doesn't fit is the business of pax records.

use windlass_plugin_api::Result;

use super::{BLOCK, broken};

/// A header block.
pub type Block = [u8; BLOCK];

const CHECKSUM: std::ops::Range<usize> = 148..156;

/// The largest number that 7 octal digits hold: uid and gid.
pub const MAX_ID: u64 = 0o777_7777;

/// The largest number that 11 octal digits hold: sizes and times.
pub const MAX_LONG: u64 = 0o777_7777_7777;

/// The fields of a ustar header that we write. Numbers that don't fit must be given as 0 and stand in a pax record.
pub struct Fields<'a> {
    /// At most 100 bytes, or such that [`split`] splits it. Longer ones are cut: a pax record has the whole.
    pub path: &'a [u8],
    /// The type's letter.
    pub letter: u8,
    /// Permission bits.
    pub mode: u32,
    /// At most [`MAX_ID`].
    pub uid: u64,
    /// At most [`MAX_ID`].
    pub gid: u64,
    /// At most [`MAX_LONG`].
    pub size: u64,
    /// At most [`MAX_LONG`].
    pub mtime: u64,
    /// Cut at 100 bytes.
    pub link: &'a [u8],
}

impl Fields<'_> {
    /// The header block.
    pub fn block(&self) -> Block {
        let mut block = [0; BLOCK];
        let (prefix, name) = split(self.path).unwrap_or((b"", &self.path[..self.path.len().min(100)]));
        block[..name.len()].copy_from_slice(name);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], self.uid);
        octal(&mut block[116..124], self.gid);
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.mtime);
        block[156] = self.letter;
        let link = &self.link[..self.link.len().min(100)];
        block[157..157 + link.len()].copy_from_slice(link);
        block[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut block[329..337], 0);
        octal(&mut block[337..345], 0);
        block[345..345 + prefix.len()].copy_from_slice(prefix);
        let sum = sum(&block);
        octal(&mut block[148..155], sum);
        block[155] = b' ';
        block
    }
}

/// `path` as a ustar prefix and name, if it fits.
pub fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= 100 {
        return Some((b"", path));
    }
    if path.len() > 256 {
        return None;
    }
    // A slash such that at most 155 bytes are before and 1 to 100 after it.
    let first = path.len() - 101;
    let last = path.len().saturating_sub(2).min(155);
    let at = (first..=last).find(|&at| path[at] == b'/' && at > 0)?;
    Some((&path[..at], &path[at + 1..]))
}

/// Digits with leading zeros and a closing NUL.
fn octal(field: &mut [u8], mut number: u64) {
    let digits = field.len() - 1;
    for digit in field[..digits].iter_mut().rev() {
        *digit = b'0' + (number & 7) as u8;
        number >>= 3;
    }
    field[digits] = 0;
}

/// The sum of all bytes, those of the sum itself taken as spaces.
fn sum(block: &Block) -> u64 {
    let all: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    let own: u64 = block[CHECKSUM].iter().map(|&byte| u64::from(byte)).sum();
    all - own + 8 * u64::from(b' ')
}

/// Proves the block's checksum. Some old programs summed signed bytes: that is taken too.
pub fn check(block: &Block) -> Result<()> {
    let said = number(&block[CHECKSUM])?;
    let signed: i64 = block
        .iter()
        .enumerate()
        .map(|(at, &byte)| if CHECKSUM.contains(&at) { i64::from(b' ') } else { i64::from(byte as i8) })
        .sum();
    if said == i128::from(sum(block)) || said == i128::from(signed) {
        return Ok(());
    }
    Err(broken("a header's checksum is wrong"))
}

/// A number: octal digits, or GNU's base 256 with the highest bit set.
pub fn number(field: &[u8]) -> Result<i128> {
    match field.first() {
        Some(&first) if first & 0x80 != 0 => {
            // Two's complement; 0x80 leads positive numbers, 0xff negative ones.
            let negative = first & 0x40 != 0;
            let start = if negative { -1 } else { 0 };
            let lead = if negative { first } else { first & 0x3f };
            let value = field[1..]
                .iter()
                .fold((start << 8) | i128::from(lead), |value, &byte| (value << 8) | i128::from(byte));
            Ok(value)
        }
        _ => {
            let text = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
            text.iter().try_fold(0i128, |value, &digit| match digit {
                b'0'..=b'7' => Ok(value * 8 + i128::from(digit - b'0')),
                _ => Err(broken("a header's number isn't one")),
            })
        }
    }
}

/// A number that can't be negative or beyond 64 bits.
pub fn unsigned(field: &[u8]) -> Result<u64> {
    u64::try_from(number(field)?).map_err(|_| broken("a header's number is out of range"))
}

/// The bytes of a text field, up to its NUL.
pub fn text(field: &[u8]) -> &[u8] {
    field.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// The path in the name and prefix fields.
pub fn path(block: &Block) -> Vec<u8> {
    let name = text(&block[..100]);
    let prefix = match &block[257..263] {
        // star keeps times behind a shorter prefix.
        b"ustar\0" if &block[508..512] == b"tar\0" => text(&block[345..476]),
        b"ustar\0" => text(&block[345..500]),
        // In GNU's own format other things stand here.
        _ => b"",
    };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_split_at_a_slash_and_put_together_again() {
        let long = [vec![b'd'; 150], b"/".to_vec(), vec![b'f'; 100]].concat();
        let fields =
            Fields { path: &long, letter: b'0', mode: 0o644, uid: 0, gid: 0, size: 1, mtime: 2, link: b"" };
        let block = fields.block();
        check(&block).unwrap();
        assert_eq!(path(&block), long);
        assert_eq!(split(&[b'x'; 101]), None);
        assert_eq!(split(&[vec![b'd'; 99], b"/".to_vec()].concat()).unwrap().1.len(), 100);
        // A folder's closing slash must not be what is split at.
        assert_eq!(split(&[vec![b'd'; 120], b"/".to_vec()].concat()), None);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let fields =
            Fields { path: b"a", letter: b'0', mode: 0, uid: 0, gid: 0, size: 0, mtime: 0, link: b"" };
        let mut block = fields.block();
        block[3] ^= 1;
        assert!(check(&block).is_err());
    }

    #[test]
    fn numbers_are_read_in_octal_and_base_256() {
        assert_eq!(number(b"0000644\0").unwrap(), 0o644);
        assert_eq!(number(b"   644 \0").unwrap(), 0o644);
        assert_eq!(number(b"\0\0\0\0\0\0\0\0").unwrap(), 0);
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x02\0\0\0\0").unwrap(), 2 << 32);
        assert_eq!(number(&[0xff; 12]).unwrap(), -1);
        assert!(number(b"12x").is_err());
        assert!(unsigned(&[0xff; 12]).is_err());
    }
}
