//! Memory stays the same however long a stream is. Alone in its file: peak memory is a process's.

mod common;

use std::io::{Read, Write};

use common::{Gpg, PUBLIC, SECRET, openpgp};
use serde_json::json;
use windlass_plugin_api::{Context, Filter, Finished, Result, Sink};
use windlass_testkit::noise::noise;

/// Hands everything to a reader on another thread.
struct Pipe(std::io::PipeWriter);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink for Pipe {
    fn finish(&mut self) -> Result<Finished> {
        Ok(Finished::default())
    }
}

fn peak_kibibytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn neither_a_long_stream_nor_a_bomb_takes_more_memory_than_a_short_one() {
    let (reader, writer) = std::io::pipe().unwrap();
    let piece = noise(1, 1 << 20);
    // What a first stream loads isn't a stream's.
    let (stored, params) = common::encode(&openpgp(json!({ "recipients": [PUBLIC] })), b"hello");
    common::decode(&openpgp(json!({ "identities": [SECRET] })), &params, &stored).unwrap();
    let before = peak_kibibytes();
    let decoding = std::thread::spawn(move || {
        let filter = openpgp(json!({ "identities": [SECRET] }));
        let mut plain =
            filter.decode(&Context::default(), "data", &Default::default(), Box::new(reader)).unwrap();
        let (mut buffer, mut total) = (vec![0; 1 << 16], 0);
        loop {
            match plain.read(&mut buffer).unwrap() {
                0 => return total,
                count => total += count,
            }
        }
    });
    let filter = openpgp(json!({ "recipients": [PUBLIC] }));
    let mut sink = filter.encode(&Context::default(), "data", Box::new(Pipe(writer))).unwrap();
    for _ in 0..48 {
        sink.write_all(&piece).unwrap();
    }
    sink.finish().unwrap();
    drop(sink);
    assert_eq!(decoding.join().unwrap(), 48 << 20);
    let grown = peak_kibibytes() - before;
    assert!(grown < 3 * 1024, "both together took {grown} KiB");

    // A quarter of a GiB of zeros, compressed to a thousandth by `gpg`.
    let gpg = Gpg::new();
    gpg.run("--import", PUBLIC.as_bytes());
    let bomb = "head -c 268435456 /dev/zero | gpg --batch -q --trust-model always -e -r nobody@example.org";
    let bomb = gpg.sh(bomb, b"");
    assert!(bomb.len() < 1 << 20);
    let before = peak_kibibytes();
    let filter = openpgp(json!({ "identities": [SECRET] }));
    let input = Box::new(std::io::Cursor::new(bomb));
    let mut plain = filter.decode(&Context::default(), "data", &Default::default(), input).unwrap();
    assert_eq!(std::io::copy(&mut plain, &mut std::io::sink()).unwrap(), 256 << 20);
    let grown = peak_kibibytes() - before;
    assert!(grown < 1024, "the bomb took {grown} KiB");
}
