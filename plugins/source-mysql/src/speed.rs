//! How fast a dump is screened: the restore of a database must not wait for it. Measured in release builds alone.

use std::io::{self, Read};
use std::time::Instant;

use crate::judge::{Part, Wanted};
use crate::screen::Screen;
/// What a dump writes of a table with numbers, short texts and hex blobs: some 1 MiB an `INSERT`, again and again.
struct Rows {
    head: &'static [u8],
    insert: Vec<u8>,
    at: usize,
    left: usize,
}

impl Read for Rows {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.head.is_empty() {
            return self.head.read(buffer);
        }
        if self.at == self.insert.len() {
            (self.at, self.left) = (0, self.left.saturating_sub(1));
        }
        if self.left == 0 {
            return Ok(0);
        }
        let count = (&self.insert[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

fn rows(row: &str, times: usize) -> Rows {
    let values = vec![row; (1 << 20) / row.len()].join(",\n");
    let insert = format!("INSERT INTO `t` VALUES\n{values};\n").into_bytes();
    Rows { head: b"CREATE TABLE `t` (`id` int);\n", insert, at: 0, left: times }
}

fn megabytes_a_second(row: &str) -> f64 {
    const TIMES: usize = 256;
    let wanted =
        Wanted { parts: vec![Part { to: "shop".to_owned(), ..Part::default() }], ..Wanted::default() };
    let mut screen = Screen::new(rows(row, TIMES), wanted);
    let begun = Instant::now();
    let bytes = io::copy(&mut screen, &mut io::sink()).unwrap();
    assert!(bytes > (TIMES as u64) << 19);
    bytes as f64 / 1e6 / begun.elapsed().as_secs_f64()
}

#[test]
fn a_dump_is_screened_faster_than_any_server_takes_it() {
    let blob = format!("(1,'a name',NULL,0x{})", "00FF27".repeat(700));
    let texts = "(123456,'Anna O\\'Neill','anna@example.com','2026-01-02 03:04:05',12.50,NULL,'some words in a note')";
    for (what, row) in [("blobs", blob.as_str()), ("texts", texts), ("numbers", "(123456,7,12,0,1,2.5,99)")] {
        let speed = megabytes_a_second(row);
        println!("{what}: {speed:.0} MB/s");
        assert!(speed > 400.0, "{what}: {speed:.0} MB/s");
    }
}
