//! Sparse files: where a file has data, and the map of GNU's sparse form 1.0.

use std::io;

use rustix::fd::AsFd;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use windlass_plugin_api::Result;

use super::{BLOCK, Extent, broken, padding};

/// The most pieces that are kept of one file when it is written: 1 MiB of memory. Where a file has more, its smallest
/// holes are stored as zeros.
pub const MAX_WRITTEN: usize = 1 << 16;

/// The most pieces that are read of one file: 16 MiB of memory.
pub const MAX_READ: usize = 1 << 20;

/// Where the first `size` bytes of `file` have data; `None` where they have no hole.
pub fn extents(file: impl AsFd, size: u64) -> io::Result<Option<Vec<Extent>>> {
    let file = file.as_fd();
    let mut found: Vec<Extent> = Vec::new();
    let mut smallest = 1;
    let mut at = 0;
    while at < size {
        let offset = match seek(file, SeekFrom::Data(at)) {
            Ok(offset) if offset < size => offset,
            Ok(_) | Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = seek(file, SeekFrom::Hole(offset))?.min(size);
        add(&mut found, Extent { offset, length: end.saturating_sub(offset) }, smallest);
        if found.len() > MAX_WRITTEN {
            smallest = if smallest == 1 { 8192 } else { smallest * 4 };
            for extent in std::mem::take(&mut found) {
                add(&mut found, extent, smallest);
            }
        }
        at = end.max(offset + 1);
    }
    let whole = matches!(found[..], [Extent { offset: 0, length }] if length == size);
    Ok((!whole && size > 0).then_some(found))
}

/// Appends `extent`, or lengthens the last one where the hole between is smaller than `smallest`.
fn add(found: &mut Vec<Extent>, extent: Extent, smallest: u64) {
    match found.last_mut() {
        Some(last) if extent.offset - (last.offset + last.length) < smallest => {
            last.length = extent.offset + extent.length - last.offset;
        }
        _ => found.push(extent),
    }
}

/// How many bytes the pieces have.
pub fn stored(extents: &[Extent]) -> u64 {
    extents.iter().map(|extent| extent.length).sum()
}

/// The map as it stands before the data, padded to whole blocks.
pub fn map(extents: &[Extent], size: u64) -> Vec<u8> {
    let ends_in_hole = extents.last().is_none_or(|last| last.offset + last.length < size);
    let closing = ends_in_hole.then_some(Extent { offset: size, length: 0 });
    let mut text = format!("{}\n", extents.len() + usize::from(ends_in_hole)).into_bytes();
    for extent in extents.iter().chain(&closing) {
        text.extend_from_slice(format!("{}\n{}\n", extent.offset, extent.length).as_bytes());
    }
    text.resize(text.len() + padding(text.len() as u64), 0);
    text
}

/// Reads a map block by block through `next`; returns the pieces and how many bytes the map took.
pub fn read_map(mut next: impl FnMut(&mut [u8; BLOCK]) -> Result<()>) -> Result<(Vec<Extent>, u64)> {
    let mut block = [0; BLOCK];
    let mut at = BLOCK;
    let mut taken = 0;
    let mut number = || -> Result<(u64, u64)> {
        let mut value: u64 = 0;
        for _ in 0..21 {
            if at == BLOCK {
                next(&mut block)?;
                taken += BLOCK as u64;
                at = 0;
            }
            let byte = block[at];
            at += 1;
            value = match byte {
                b'\n' => return Ok((value, taken)),
                b'0'..=b'9' => value
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(u64::from(byte - b'0')))
                    .ok_or_else(|| broken("a sparse map's number is out of range"))?,
                _ => return Err(broken("a sparse map can't be read")),
            };
        }
        Err(broken("a sparse map can't be read"))
    };
    let (count, mut taken) = number()?;
    let count = usize::try_from(count).ok().filter(|&count| count <= MAX_READ);
    let count = count.ok_or_else(|| broken("a sparse map has too many pieces"))?;
    let mut extents = Vec::new();
    for _ in 0..count {
        let offset = number()?.0;
        let length;
        (length, taken) = number()?;
        extents.push(Extent { offset, length });
    }
    Ok((extents, taken))
}

/// Refuses pieces that overlap, go back or go beyond `size`, or that aren't `stored` bytes in all.
pub fn check(extents: &[Extent], size: u64, stored: u64) -> Result<()> {
    let mut end = 0u64;
    let mut sum = 0u64;
    for extent in extents {
        let next = extent.offset.checked_add(extent.length).filter(|&next| next <= size);
        end = match next {
            Some(next) if extent.offset >= end => next,
            _ => return Err(broken("a sparse map goes back or beyond its file")),
        };
        sum += extent.length;
    }
    if extents.len() > MAX_READ || sum != stored {
        return Err(broken("a sparse map doesn't fit the data"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<(Vec<Extent>, u64)> {
        let mut blocks = text.chunks_exact(BLOCK);
        read_map(|block| {
            block.copy_from_slice(blocks.next().ok_or_else(|| broken("short"))?);
            Ok(())
        })
    }

    #[test]
    fn a_map_of_several_blocks_is_read_back() {
        let extents: Vec<Extent> = (0..200).map(|n| Extent { offset: n * 1_000_000, length: 4096 }).collect();
        let text = map(&extents, 1_000_000_000);
        let (found, taken) = read(&text).unwrap();
        assert_eq!(found[..200], extents);
        assert_eq!(found[200..], [Extent { offset: 1_000_000_000, length: 0 }]);
        assert_eq!(taken, text.len() as u64);
        check(&found, 1_000_000_000, 200 * 4096).unwrap();
    }

    #[test]
    fn maps_that_overlap_or_leave_the_file_are_refused() {
        let extent = |offset, length| Extent { offset, length };
        assert!(check(&[extent(0, 10), extent(5, 10)], 100, 20).is_err());
        assert!(check(&[extent(95, 10)], 100, 10).is_err());
        assert!(check(&[extent(u64::MAX, 2)], 100, 2).is_err());
        assert!(check(&[extent(0, 10)], 100, 11).is_err());
        assert!(read(&[b'9'; BLOCK]).is_err() && read(&[b'x'; BLOCK]).is_err());
    }

    #[test]
    fn holes_that_are_too_small_to_keep_become_data() {
        let mut found = Vec::new();
        add(&mut found, Extent { offset: 0, length: 4096 }, 8192);
        add(&mut found, Extent { offset: 8192, length: 4096 }, 8192);
        assert_eq!(found, [Extent { offset: 0, length: 12288 }]);
    }
}
