//! Stands between a client and a server.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use bson::Document;

/// Passes connections on to `port` and keeps what goes there. Lives as long as the test's process.
pub fn listening_in(port: u16) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, heard) = (door.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let kept = heard.clone();
    std::thread::spawn(move || {
        for client in door.incoming() {
            let (mut client, kept) = (client.unwrap(), kept.clone());
            let mut server = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || io::copy(&mut answers, &mut back));
            std::thread::spawn(move || {
                let mut bytes = [0; 65536];
                while let Ok(count @ 1..) = client.read(&mut bytes) {
                    kept.lock().unwrap().extend(&bytes[..count]);
                    if server.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    (own, heard)
}

/// Passes connections on to `port`, but answers the command `name` itself, with the document that `answer` makes of it. Lives
/// as long as the test's process.
pub fn answering(
    port: u16,
    name: &'static str,
    answer: impl Fn(&Document) -> Vec<u8> + Send + Sync + 'static,
) -> u16 {
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, answer) = (door.local_addr().unwrap().port(), Arc::new(answer));
    std::thread::spawn(move || {
        for client in door.incoming() {
            let (client, answer) = (client.unwrap(), answer.clone());
            std::thread::spawn(move || converse(client, port, name, &*answer));
        }
    });
    own
}

/// One connection: a question and its answer after the other, as the driver speaks.
fn converse(
    mut client: TcpStream,
    port: u16,
    name: &str,
    answer: &dyn Fn(&Document) -> Vec<u8>,
) -> Option<()> {
    let mut server = TcpStream::connect(("127.0.0.1", port)).ok()?;
    loop {
        let question = message(&mut client)?;
        // Behind the header (16), the flags (4) and the kind of the section (1).
        let body = Document::from_reader(&question[21..]).unwrap_or_default();
        let reply = match body.contains_key(name) {
            true => {
                let body = answer(&body);
                let length = (body.len() as i32 + 21).to_le_bytes();
                [&length[..], &[0; 4], &question[4..8], &2013_i32.to_le_bytes(), &[0; 5], &body].concat()
            }
            false => {
                server.write_all(&question).ok()?;
                message(&mut server)?
            }
        };
        client.write_all(&reply).ok()?;
    }
}

/// One message of the protocol, its length in front.
fn message(from: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 4];
    from.read_exact(&mut bytes).ok()?;
    let length = i32::from_le_bytes(bytes[..].try_into().unwrap()) as usize;
    bytes.resize(length, 0);
    from.read_exact(&mut bytes[4..]).ok()?;
    Some(bytes)
}
