//! A proxy before the server that fails requests as it is told, and remembers what it was asked.
//!
//! Each request has a connection of its own to the server. What the client signed is passed on as it came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It is passed on.
    None,
    /// The server never sees it; the answer is this status with S3's code.
    Refuse(u16, &'static str),
    /// The connection ends before an answer, and the server never sees it.
    Cut,
    /// The server does as it was asked, and the connection ends before the answer.
    LoseAnswer,
    /// The answer ends after so many bytes of its body.
    CutAnswer(usize),
    /// A byte of the body changes on its way.
    Garble,
    /// The server never sees it; the answer is this status without a body, as to HEAD, with these lines in its head.
    Bare(u16, &'static str),
    /// It is accepted and never answered; the server never sees it.
    Hang,
    /// After so many bytes of the answer's body nothing comes any more, and the connection stays.
    HangAnswer(usize),
    /// The answer says that it is this time.
    Clock(&'static str),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// `PUT /bucket/key?partNumber=1&…`
    pub line: String,
    /// Its headers, in lower case.
    pub head: String,
}

type Rule = Box<dyn FnMut(&Seen) -> Fault + Send>;

/// A running proxy. Its thread ends with the process.
pub struct Proxy {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Proxy {
    /// Before `upstream`, which is a port of this machine. `rule` judges each request.
    pub fn before(upstream: u16, rule: impl FnMut(&Seen) -> Fault + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (rule, all): (Arc<Mutex<Rule>>, _) = (Arc::new(Mutex::new(Box::new(rule))), seen.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (rule, all) = (rule.clone(), all.clone());
                thread::spawn(move || serve(client, upstream, &rule, &all));
            }
        });
        Self { port, seen }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests had `text` in their first line.
    pub fn count(&self, text: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line.contains(text)).count()
    }
}

fn serve(client: TcpStream, upstream: u16, rule: &Mutex<Rule>, all: &Mutex<Vec<Seen>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (head, mut body) = request(&mut reader)?;
    let line = head.lines().next()?.to_owned();
    let seen = Seen { line, head: head.to_lowercase() };
    all.lock().unwrap().push(seen.clone());
    let fault = (rule.lock().unwrap())(&seen);
    let mut client = client;
    match fault {
        Fault::Cut => return None,
        Fault::Hang => return left(&mut reader),
        Fault::Bare(status, lines) => {
            let head = format!("HTTP/1.1 {status} No\r\n{lines}Connection: close\r\n\r\n");
            return client.write_all(head.as_bytes()).ok();
        }
        Fault::Refuse(status, code) => {
            let region = if code == "AuthorizationHeaderMalformed" { "eu-proxy-1" } else { "" };
            let body = format!(
                "<Error><Code>{code}</Code><Message>by the proxy</Message><Region>{region}</Region></Error>"
            );
            let head = format!(
                "HTTP/1.1 {status} No\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            client.write_all((head + &body).as_bytes()).ok()?;
            return Some(());
        }
        Fault::Garble if !body.is_empty() => {
            let middle = body.len() / 2;
            body[middle] ^= 1;
        }
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
    let head = head.trim_end().to_owned() + "\r\nConnection: close\r\n\r\n";
    server.write_all(head.as_bytes()).ok()?;
    server.write_all(&body).ok()?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer).ok()?;
    if let Fault::Clock(time) = fault {
        answer = said_at(&answer, time)?;
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let length = match fault {
        Fault::LoseAnswer => 0,
        Fault::CutAnswer(length) | Fault::HangAnswer(length) => (end + length).min(answer.len()),
        _ => answer.len(),
    };
    client.write_all(&answer[..length]).ok()?;
    if matches!(fault, Fault::HangAnswer(_)) {
        return left(&mut reader);
    }
    client.shutdown(Shutdown::Both).ok()
}

/// Waits until the client has enough of waiting.
fn left(client: &mut impl Read) -> Option<()> {
    std::io::copy(client, &mut std::io::sink()).ok().map(drop)
}

/// The answer with another time in its head.
fn said_at(answer: &[u8], time: &str) -> Option<Vec<u8>> {
    let from = answer.windows(8).position(|text| text.eq_ignore_ascii_case(b"\r\ndate: "))? + 8;
    let length = answer[from..].iter().position(|byte| *byte == b'\r')?;
    Some([&answer[..from], time.as_bytes(), &answer[from + length..]].concat())
}

/// Head and body; `None` at the end of the connection.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push_str(&line);
        if line.trim_end().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}
