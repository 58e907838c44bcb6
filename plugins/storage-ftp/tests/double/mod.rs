//! A small FTP server in memory that follows RFC 959 and RFC 3659, without TLS: a test may answer any command in its place, with
//! what servers do that can't be run here.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::{Value, json};

/// What a test says to a command.
pub enum Said {
    /// This reply, and nothing is done. Empty: the connection is closed.
    Instead(&'static str),
    /// It is done; then the connection is closed in place of the reply.
    DoneAndLost,
    /// The transfer begins, takes so many bytes, and ends with this reply.
    Breaks(usize, &'static str),
    /// What is listed, line by line.
    Lists(&'static str),
}

/// What the server holds.
#[derive(Default)]
pub struct Held {
    pub files: BTreeMap<String, Vec<u8>>,
    pub folders: BTreeSet<String>,
    pub asked: Vec<String>,
}

type Answer = dyn Fn(&str, &Held) -> Option<Said> + Send + Sync;

/// A server on a port of its own, until the process ends.
pub struct Double {
    port: u16,
    held: Arc<Mutex<Held>>,
}

impl Double {
    /// Starts one in which `answer` may answer commands.
    pub fn start(answer: impl Fn(&str, &Held) -> Option<Said> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let held = Arc::new(Mutex::new(Held::default()));
        held.lock().unwrap().folders.extend(["/".to_owned(), "/data".to_owned()]);
        let (answer, known): (Arc<Answer>, _) = (Arc::new(answer), held.clone());
        thread::spawn(move || {
            for control in listener.incoming().flatten() {
                let (answer, held) = (answer.clone(), known.clone());
                // A client that goes away in the middle is no failure of the double.
                thread::spawn(move || {
                    Talk { answer, held, data: None, from: 0, renamed: String::new() }.all(control)
                });
            }
        });
        Self { port, held }
    }

    pub fn options(&self) -> Value {
        json!({ "host": "127.0.0.1", "port": self.port, "user": "me", "password": "any", "path": "/data", "tls": "off" })
    }

    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Talk {
    answer: Arc<Answer>,
    held: Arc<Mutex<Held>>,
    data: Option<TcpListener>,
    from: usize,
    renamed: String,
}

impl Talk {
    fn all(mut self, control: TcpStream) -> io::Result<()> {
        let mut writer = control.try_clone()?;
        writer.write_all(b"220 ready\r\n")?;
        for line in BufReader::new(control).lines() {
            let line = line?;
            let said = {
                let mut held = self.held.lock().unwrap();
                held.asked.push(line.clone());
                (self.answer)(&line, &held)
            };
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let reply = match said {
                Some(Said::Instead(reply)) => reply.to_owned(),
                Some(Said::DoneAndLost) => {
                    self.done(verb, rest);
                    String::new()
                }
                said if matches!(verb, "STOR" | "RETR" | "MLSD") => {
                    writer.write_all(b"150 go\r\n")?;
                    self.transfer(verb, rest, said)?
                }
                _ => self.done(verb, rest),
            };
            if reply.is_empty() {
                return Ok(());
            }
            writer.write_all(format!("{reply}\r\n").as_bytes())?;
        }
        Ok(())
    }

    fn transfer(&mut self, verb: &str, path: &str, said: Option<Said>) -> io::Result<String> {
        let Some(listener) = self.data.take() else { return Ok("425 no data connection".to_owned()) };
        let (mut data, _) = listener.accept()?;
        let from = std::mem::take(&mut self.from);
        if let Some(Said::Lists(lines)) = said {
            data.write_all(lines.as_bytes())?;
            return Ok("226 done".to_owned());
        }
        let breaks = match said {
            Some(Said::Breaks(bytes, reply)) => Some((bytes, reply)),
            _ => None,
        };
        match verb {
            "STOR" => {
                let mut bytes = Vec::new();
                let limit = breaks.map_or(u64::MAX, |(bytes, _)| bytes as u64);
                (&mut data).take(limit).read_to_end(&mut bytes)?;
                let mut held = self.held.lock().unwrap();
                let file = held.files.entry(path.to_owned()).or_default();
                file.truncate(from);
                file.extend(bytes);
            }
            "RETR" => {
                let whole = self.held.lock().unwrap().files.get(path).cloned().unwrap_or_default();
                let end = breaks.map_or(whole.len(), |(bytes, _)| (from + bytes).min(whole.len()));
                data.write_all(&whole[from.min(end)..end])?;
            }
            _ => {
                let held = self.held.lock().unwrap();
                let base = format!("{}/", path.trim_end_matches('/'));
                let below = |path: &&String| {
                    path.strip_prefix(&base).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'))
                };
                for folder in held.folders.iter().filter(below) {
                    data.write_all(format!("type=dir; {}\r\n", &folder[base.len()..]).as_bytes())?;
                }
                for (file, bytes) in held.files.iter().filter(|(file, _)| below(file)) {
                    data.write_all(
                        format!("type=file;size={}; {}\r\n", bytes.len(), &file[base.len()..]).as_bytes(),
                    )?;
                }
            }
        }
        Ok(breaks.map_or("226 done", |(_, reply)| reply).to_owned())
    }

    fn done(&mut self, verb: &str, rest: &str) -> String {
        let mut held = self.held.lock().unwrap();
        let absent = "550 no such file".to_owned();
        match verb {
            "USER" => "331 password".to_owned(),
            "PASS" => "230 hello".to_owned(),
            "FEAT" => "211-has\r\n MLST type*;size*;\r\n REST STREAM\r\n211 end".to_owned(),
            "PWD" => "257 \"/\"".to_owned(),
            "EPSV" | "PASV" => {
                let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
                let port = listener.local_addr().unwrap().port();
                self.data = Some(listener);
                match verb {
                    "EPSV" => format!("229 here (|||{port}|)"),
                    // An address that leads nowhere.
                    _ => format!("227 here (192,0,2,1,{},{})", port / 256, port % 256),
                }
            }
            "REST" => {
                self.from = rest.parse().unwrap();
                "350 from there".to_owned()
            }
            "MLST" if held.folders.contains(rest) => format!("250-x\r\n type=dir; {rest}\r\n250 end"),
            "MLST" => held.files.get(rest).map_or(absent, |bytes| {
                format!("250-x\r\n type=file;size={}; {rest}\r\n250 end", bytes.len())
            }),
            "MKD" => if !held.folders.insert(rest.to_owned()) { "550 exists" } else { "257 made" }.to_owned(),
            "RMD" => {
                let base = format!("{rest}/");
                let is_used = held.files.keys().chain(&held.folders).any(|path| path.starts_with(&base));
                if is_used || !held.folders.remove(rest) { "550 no" } else { "250 gone" }.to_owned()
            }
            "DELE" => held.files.remove(rest).map_or(absent, |_| "250 gone".to_owned()),
            "RNFR" => {
                self.renamed = rest.to_owned();
                "350 and to?".to_owned()
            }
            "RNTO" => {
                let Some(bytes) = held.files.remove(&self.renamed) else { return absent };
                held.files.insert(rest.to_owned(), bytes);
                "250 renamed".to_owned()
            }
            "TYPE" | "NOOP" => "200 ok".to_owned(),
            _ => "502 what?".to_owned(),
        }
    }
}
