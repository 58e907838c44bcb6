//! A server that plays a part: it answers as Redis 7 does, and sends what the test says in place of an RDB.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use serde_json::{Value, json};

/// What it does.
#[derive(Clone)]
enum Part {
    /// Sends these bytes, framed by a length or by a mark, with these in front of and behind everything.
    Serve(Vec<u8>, Option<usize>, Vec<u8>),
    /// Answers everything but `PSYNC`.
    Silent,
    /// Repeats every command in its error.
    Repeating,
}

/// A server on a port of its own. Its threads end with the connections.
pub struct Fake {
    port: u16,
}

impl Fake {
    /// It sends `rdb` in single bytes at first; `length` says what it announces, and none that it ends it by a mark. `life`
    /// comes where signs of life may.
    pub fn serve(rdb: &[u8], length: Option<usize>, life: &[u8]) -> Self {
        Self::start(Part::Serve(rdb.to_vec(), length, life.to_vec()))
    }

    /// It never sends an RDB.
    pub fn silent() -> Self {
        Self::start(Part::Silent)
    }

    /// It understands nothing and says so with all arguments.
    pub fn repeating() -> Self {
        Self::start(Part::Repeating)
    }

    pub fn options(&self) -> Value {
        json!({ "host": "127.0.0.1", "port": self.port })
    }

    fn start(part: Part) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let part = part.clone();
                thread::spawn(move || part.play(socket));
            }
        });
        Self { port }
    }
}

impl Part {
    fn play(&self, mut socket: TcpStream) -> Option<()> {
        socket.set_nodelay(true).ok()?;
        let mut from = BufReader::new(socket.try_clone().ok()?);
        while let Some(command) = command(&mut from) {
            let name = command[0].to_uppercase();
            let answer = match (self, name.as_str()) {
                (Self::Repeating, _) => format!("-ERR unknown command, with args: {command:?}\r\n"),
                (_, "INFO") => bulk("redis_version:7.0.15\r\ndb0:keys=2,expires=0\r\n"),
                (_, "FUNCTION") => "$-1\r\n".into(),
                (_, "CONFIG") => format!("*2\r\n{}{}", bulk(&command[2]), bulk("7")),
                (_, "MODULE") => "*0\r\n".into(),
                (_, "PSYNC") if command[2] == "none" => {
                    "-ERR value is not an integer or out of range\r\n".into()
                }
                (Self::Serve(rdb, length, life), "PSYNC") => {
                    send(&mut socket, rdb, *length, life)?;
                    // A real server keeps the connection open behind a mark.
                    let mut rest = [0; 1];
                    return if length.is_none() { from.read_exact(&mut rest).ok() } else { None };
                }
                (Self::Silent, "PSYNC") => continue,
                _ => "+OK\r\n".into(),
            };
            socket.write_all(answer.as_bytes()).ok()?;
        }
        None
    }
}

fn send(socket: &mut TcpStream, rdb: &[u8], length: Option<usize>, life: &[u8]) -> Option<()> {
    let mark = b"0123456789abcdef0123456789abcdef01234567";
    let mut bytes = life.to_vec();
    bytes.extend(b"+FULLRESYNC 8371445b0e2e9dd7f8b2f9f6c1f5a7e2b3c4d5e6 42\r\n");
    bytes.extend(life);
    match length {
        Some(length) => bytes.extend(format!("${length}\r\n").bytes()),
        None => {
            bytes.extend(b"$EOF:");
            bytes.extend(mark);
            bytes.extend(b"\r\n");
        }
    }
    bytes.extend(rdb);
    if length.is_none() {
        bytes.extend(mark);
        bytes.extend(life);
    }
    bytes.chunks(7).try_for_each(|chunk| socket.write_all(chunk).ok())
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

fn command(from: &mut impl BufRead) -> Option<Vec<String>> {
    let mut number = |sign: char| {
        let mut line = String::new();
        from.read_line(&mut line).ok()?;
        let count = line.trim_end().strip_prefix(sign)?.parse::<usize>().ok()?;
        if sign == '*' {
            return Some((count, String::new()));
        }
        let mut bytes = vec![0; count + 2];
        from.read_exact(&mut bytes).ok()?;
        Some((count, String::from_utf8_lossy(&bytes[..count]).into_owned()))
    };
    let (count, _) = number('*')?;
    (0..count).map(|_| number('$').map(|(_, text)| text)).collect()
}

/// An RDB of version 10 with two keys: `a` and, of a module's type if `module`, `m`. With a checksum.
pub fn rdb_with(module: bool) -> Vec<u8> {
    let mut bytes = b"REDIS0010\xfe\x00\xfb\x02\x00\x00\x01a\x05first".to_vec();
    match module {
        // Its number, a marked integer, the end.
        true => bytes.extend(b"\x07\x01m\x81\x01\x02\x03\x04\x05\x06\x07\x08\x02\x05\x00"),
        false => bytes.extend(b"\x00\x01m\x06second"),
    }
    bytes.push(0xff);
    let sum = crc::Crc::<u64>::new(&crc::CRC_64_REDIS).checksum(&bytes);
    bytes.extend(sum.to_le_bytes());
    bytes
}

/// An RDB with two strings.
pub fn rdb() -> Vec<u8> {
    rdb_with(false)
}
