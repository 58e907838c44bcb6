//! The other program in `make demo`: a shop that goes on selling while it is backed up, and the auditor who counts
//! afterwards.
//!
//! It knows nothing of Windlass. It reads and writes the database with SQLite's own library, so that what it says of a
//! restored one is proof.
#![allow(clippy::print_stdout, reason = "what it prints is what the demo reads")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, params};
use sha2::{Digest, Sha256};

const USAGE: &str = "usage: demo-writer sell DATABASE | count DATABASE | audit DATABASE UP-TO-ID";

/// It ends by itself if nobody ends it.
const LONGEST: Duration = Duration::from_secs(120);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["sell", database] => sell(Path::new(database)),
        ["count", database] => count(Path::new(database)),
        ["audit", database, up_to] => audit(Path::new(database), up_to.parse()?),
        _ => Err(USAGE.into()),
    }
}

/// Adds an order every millisecond, in WAL mode, until it is killed. Each transaction touches two tables, so that half a
/// one would show.
fn sell(database: &Path) -> Result<(), Box<dyn Error>> {
    let mut shop = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    shop.busy_timeout(Duration::from_secs(10))?;
    shop.pragma_update(None, "journal_mode", "wal")?;
    shop.pragma_update(None, "synchronous", "normal")?;
    let started = Instant::now();
    while started.elapsed() < LONGEST {
        let sale = shop.transaction()?;
        sale.execute("insert into orders(item, body) values ('sold live', randomblob(500))", [])?;
        sale.execute("update takings set orders = orders + 1", [])?;
        sale.commit()?;
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The number of the last order that is committed.
fn count(database: &Path) -> Result<(), Box<dyn Error>> {
    let last: i64 = look(database)?.query_row("select max(id) from orders", [], |row| row.get(0))?;
    println!("{last}");
    Ok(())
}

/// Proves that the database is sound and that its tables agree; prints the hash of all orders up to `up_to`.
fn audit(database: &Path, up_to: i64) -> Result<(), Box<dyn Error>> {
    let shop = look(database)?;
    let verdict: String = shop.query_row("pragma integrity_check", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(format!("integrity check: {verdict}").into());
    }
    let (orders, last): (i64, i64) =
        shop.query_row("select count(*), max(id) from orders", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let takings: i64 = shop.query_row("select orders from takings", [], |row| row.get(0))?;
    if orders != takings || orders != last || orders < up_to {
        return Err(format!("{orders} orders up to {last}, takings of {takings}, {up_to} wanted").into());
    }
    let mut hash = Sha256::new();
    let mut statement = shop.prepare("select id, item, body from orders where id <= ?1 order by id")?;
    let mut rows = statement.query(params![up_to])?;
    while let Some(row) = rows.next()? {
        hash.update(row.get::<_, i64>(0)?.to_le_bytes());
        hash.update(row.get_ref(1)?.as_bytes()?);
        hash.update(row.get_ref(2)?.as_bytes()?);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("{hex}");
    Ok(())
}

fn look(database: &Path) -> Result<Connection, rusqlite::Error> {
    Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
}
