//! A double of an HTTP service: it answers as a test says, for what no server that can be run does: refusals, lost answers,
//! identities of a cloud. What it says must come from the service's documentation.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a client asked.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `GET`, `PUT`, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The whole body, also of one that came chunked.
    pub body: Vec<u8>,
}

impl Asked {
    /// A header; empty if it isn't there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// What the server on that port of this machine answers: a double can stand before a real one.
    pub fn pass_on(&self, port: u16) -> Said {
        self.passed_on(port).unwrap_or_else(|_| Said::lost())
    }

    fn passed_on(&self, port: u16) -> io::Result<Said> {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        // Of this version answers come in one piece, and the connection ends behind them.
        let mut head =
            format!("{} {} HTTP/1.0\r\ncontent-length: {}\r\n", self.method, self.path, self.body.len());
        let ours = ["content-length", "transfer-encoding", "connection"];
        for (name, value) in self.headers.iter().filter(|(name, _)| !ours.contains(&name.as_str())) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        connection.write_all(format!("{head}\r\n").as_bytes())?;
        connection.write_all(&self.body)?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer)?;
        let end =
            answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        let mut said = Said::status(status).body(&answer[end + 4..]);
        for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(':')) {
            let name = name.to_lowercase();
            // Of an answer to HEAD the length is that of what isn't sent.
            let is_ours =
                ours.contains(&name.as_str()) && (name != "content-length" || self.method != "HEAD");
            if !is_ours {
                said = said.header(&name, value.trim());
            }
        }
        Ok(said)
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Said {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_lost: bool,
    is_cut: bool,
    /// What is missing never comes, and the connection stays.
    is_silent: bool,
}

impl Said {
    /// An answer without a body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// No answer: the connection is closed in its place.
    pub fn lost() -> Self {
        Self { is_lost: true, ..Self::default() }
    }

    /// No answer, and the connection stays: it ends when the client leaves it.
    pub fn silence() -> Self {
        Self { is_silent: true, ..Self::lost() }
    }

    /// Where it would break off, nothing more comes and the connection stays.
    #[must_use]
    pub fn silent(self) -> Self {
        Self { is_silent: true, ..self }
    }

    /// With a body that breaks off in the middle, unless it is small or nobody asked for one.
    #[must_use]
    pub fn cut_in_half(self, method: &str) -> Self {
        let half = self.body.len() / 2;
        if method == "GET" && half > 150_000 { self.cut_at(half) } else { self }
    }

    /// With a body that breaks off after so many bytes.
    #[must_use]
    pub fn cut_at(mut self, length: usize) -> Self {
        let whole = self.body.len();
        self.body.truncate(length);
        self.headers.retain(|(name, _)| name != "content-length");
        self.headers.push(("content-length".to_owned(), whole.to_string()));
        self.is_cut = true;
        self
    }

    /// With `to` in place of `from` in its headers: a server before which something stands names itself in them.
    #[must_use]
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        self.headers.iter_mut().for_each(|(_, value)| *value = value.replace(from, to));
        self
    }

    /// With a body that breaks off in the middle, however small; without one, no answer at all.
    #[must_use]
    pub fn broken(self) -> Self {
        let length = self.body.len();
        Self { is_lost: length == 0, ..self.cut_at(length / 2) }
    }

    /// With this header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

/// A service on a port of its own. It answers until the process ends.
pub struct Double {
    endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    /// Starts one that answers by `answer`.
    pub fn start(answer: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (answer, asked) = (Arc::new(answer), Arc::new(Mutex::new(Vec::new())));
        let known = asked.clone();
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let (answer, known) = (answer.clone(), known.clone());
                // A client that goes away in the middle is no failure of the double.
                thread::spawn(move || converse(connection, &*answer, &known));
            }
        });
        Self { endpoint, asked }
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Everything that it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn converse(
    connection: TcpStream,
    answer: &dyn Fn(&Asked) -> Said,
    known: &Mutex<Vec<Asked>>,
) -> io::Result<()> {
    // Head and body are written one after the other: together they would wait for each other.
    connection.set_nodelay(true)?;
    let mut writer = connection.try_clone()?;
    let mut reader = BufReader::new(connection);
    while let Some((asked, is_last)) = read(&mut reader)? {
        let said = answer(&asked);
        let is_head = asked.method == "HEAD";
        known.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        if said.is_lost {
            return end(&said, &mut reader);
        }
        let mut head = format!("HTTP/1.1 {} x\r\n", said.status);
        let has_length = said.headers.iter().any(|(name, _)| name == "content-length");
        if !has_length {
            head.push_str(&format!("content-length: {}\r\n", said.body.len()));
        }
        if !said.headers.iter().any(|(name, _)| name == "date") {
            head.push_str(&format!("date: {}\r\n", date()));
        }
        for (name, value) in &said.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        writer.write_all(head.as_bytes())?;
        if !is_head {
            writer.write_all(&said.body)?;
        }
        if said.is_cut {
            return end(&said, &mut reader);
        }
        if is_last {
            return Ok(());
        }
    }
    Ok(())
}

/// Now, as every service says it with each answer: `Sun, 22 Nov 2026 18:59:03 GMT`.
fn date() -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (days, second) = (now / 86_400, now % 86_400);
    // Years are counted from March, so that the day more comes last: four of them have 1461 days, until 2100.
    let since_march_1968 = days + 671;
    let (year, day) = ((since_march_1968 * 4 + 3) / 1461, ((since_march_1968 * 4 + 3) % 1461) / 4);
    let month = (day * 5 + 2) / 153;
    let (day, month) = (day - (month * 153 + 2) / 5 + 1, (month + 2) % 12);
    let year = 1968 + year + u64::from(month < 2);
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        DAYS[(days % 7) as usize],
        MONTHS[month as usize],
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// The end of a connection in the middle of an answer: at once, or when the client has enough of waiting.
fn end(said: &Said, reader: &mut impl Read) -> io::Result<()> {
    if said.is_silent {
        io::copy(reader, &mut io::sink())?;
    }
    Ok(())
}

/// The next request, and whether the client awaits the end of the connection behind the answer; `None` at the end of the connection.
fn read(reader: &mut BufReader<TcpStream>) -> io::Result<Option<(Asked, bool)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let is_last = line.trim_end().ends_with("HTTP/1.0");
    let mut asked = Asked {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        ..Asked::default()
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        asked.headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    if asked.header("transfer-encoding") == "chunked" {
        asked.body = chunks(reader)?;
    } else {
        asked.body = vec![0; asked.header("content-length").parse().unwrap_or_default()];
        reader.read_exact(&mut asked.body)?;
    }
    Ok(Some((asked, is_last)))
}

fn chunks(reader: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let length = usize::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::InvalidData)?;
        let from = body.len();
        body.resize(from + length, 0);
        reader.read_exact(&mut body[from..])?;
        let mut end = [0; 2];
        reader.read_exact(&mut end)?;
        if length == 0 {
            return Ok(body);
        }
    }
}
