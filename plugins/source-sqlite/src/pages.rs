//! The pages of a database into a stream: from a read transaction, or as bytes of the file.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use rusqlite::Connection;
use rustix::fs::{Advice, fadvise};
use windlass_plugin_api::{Context, Error, Result};

use crate::errors::Sql;

/// The stream is written in pieces of about this many bytes: what the stages behind it like best.
pub const PIECE: usize = 1 << 20;

/// After so many bytes the kernel is told to begin writing a new file to the disk: it then does so while the rest comes and
/// while the file is checked, and making it durable has little left to wait for.
const WRITEBACK: u64 = 8 << 20;

const DOING: &str = "can't read the database's pages";

/// Writes every page that the transaction of `conn` sees, in order, and returns how many bytes that was. The page that
/// holds SQLite's lock bytes comes as zeros, so the stream is exactly page count times page size bytes long.
pub fn of_transaction(cx: &Context, conn: &Connection, sink: &mut dyn Write) -> Result<u64> {
    let mut statement = conn.prepare("SELECT data FROM sqlite_dbpage ORDER BY pgno").sql(DOING)?;
    let mut rows = statement.query([]).sql(DOING)?;
    let mut piece = Vec::with_capacity(PIECE + (1 << 16));
    let mut written = 0;
    while let Some(row) = rows.next().sql(DOING)? {
        let page = row.get_ref(0).sql(DOING)?;
        piece.extend_from_slice(
            page.as_blob().map_err(|_| Error::damaged("a page has no bytes").during(DOING))?,
        );
        if piece.len() >= PIECE {
            written += emit(cx, &mut piece, sink)?;
        }
    }
    Ok(written + emit(cx, &mut piece, sink)?)
}

fn emit(cx: &Context, piece: &mut Vec<u8>, sink: &mut dyn Write) -> Result<u64> {
    cx.go_on()?;
    sink.write_all(piece)?;
    let count = piece.len() as u64;
    piece.clear();
    Ok(count)
}

/// Writes `bytes` bytes that `read` fetches: it fills a piece from a place on.
pub fn of_shelf(
    cx: &Context,
    bytes: u64,
    sink: &mut dyn Write,
    read: impl Fn(&mut [u8], u64) -> Result<()>,
) -> Result<()> {
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        cx.go_on()?;
        let want = usize::try_from(bytes - at).unwrap_or(PIECE).min(PIECE);
        let part = &mut piece[..want];
        read(part, at)?;
        sink.write_all(part)?;
        at += want as u64;
    }
    Ok(())
}

/// Reads `input` to its end-of-file into `file`, and returns how many bytes came.
pub fn into_file(cx: &Context, input: &mut dyn Read, file: &File) -> Result<u64> {
    let mut piece = vec![0; PIECE];
    let (mut at, mut begun) = (0, 0);
    loop {
        cx.go_on()?;
        let count = match input.read(&mut piece) {
            Ok(0) => return Ok(at),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        file.write_all_at(&piece[..count], at)?;
        at += count as u64;
        if let Some(length) = NonZeroU64::new(at - begun).filter(|length| length.get() >= WRITEBACK) {
            // For pages that aren't on the disk yet this begins to write them, and no more; a refusal costs speed only.
            let _ = fadvise(file, begun, Some(length), Advice::DontNeed);
            begun = at;
        }
    }
}
