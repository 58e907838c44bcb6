//! A connection with its user signed in: questions, deeds and transfers, each by absolute paths.
//!
//! Codes differ little between servers and their texts much: where a code has several meanings (550 mostly has), whoever asks
//! looks what is there.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::control::{Control, Reply, lost};
use super::facts::{Facts, Kind, of_list, of_mlsd, time};
use super::tls::Tls;
use super::transfer::{Data, Lines};
use super::{Fault, control::Wire};

/// After a transfer has broken, the reason is awaited for so long.
const REASON: std::time::Duration = std::time::Duration::from_secs(3);

/// What a server can do, as it says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `MLST` and `MLSD`.
    pub machine_listings: bool,
    /// `REST` before `RETR` and `STOR`.
    pub restart: bool,
    pub utf8: bool,
    /// `EPSV` was refused.
    pub no_extended_passive: bool,
    /// `MDTM`.
    pub times: bool,
}

impl Features {
    pub fn of(reply: &Reply) -> Self {
        let has = |wanted: &str| {
            reply.lines.iter().any(|line| line.trim().to_ascii_uppercase().starts_with(wanted))
        };
        Self {
            machine_listings: has("MLST") || has("MLSD"),
            restart: has("REST STREAM"),
            utf8: has("UTF8"),
            no_extended_passive: false,
            times: has("MDTM"),
        }
    }
}

pub struct Session {
    pub(crate) control: Control,
    pub(crate) features: Features,
    /// Whose data connections go there too, whatever address it names.
    pub(crate) peer: SocketAddr,
    /// Of the data connections.
    pub(crate) tls: Option<Tls>,
    /// Where it begins: what relative paths are relative to.
    pub(crate) home: String,
}

impl Session {
    /// It can be asked something new.
    pub fn is_clean(&self) -> bool {
        self.control.is_clean()
    }

    pub fn features(&self) -> Features {
        self.features
    }

    /// Whether anybody still answers.
    pub async fn is_alive(&mut self) -> bool {
        matches!(self.control.ask("NOOP").await, Ok(Reply { code: 200..300 | 500..503, .. }))
    }

    /// `path` as the server is told it, whatever folder it is in at the moment.
    fn at(&self, path: &str) -> String {
        match self.home.trim_end_matches('/') {
            _ if path.starts_with('/') => path.to_owned(),
            home if path == "." => if home.is_empty() { "/" } else { home }.to_owned(),
            home => format!("{home}/{path}"),
        }
    }

    /// What is at `path`; `None` if nothing is.
    pub async fn look(&mut self, path: &str) -> Result<Option<Facts>, Fault> {
        let path = self.at(path);
        if !self.features.machine_listings {
            return self.look_twice(&path).await;
        }
        let reply = self.control.ask(&format!("MLST {path}")).await?;
        if is_absent(&reply) {
            return Ok(None);
        }
        let reply = reply.expect(&[250])?;
        let facts = reply.lines.iter().find_map(|line| of_mlsd(line.trim_start()));
        facts
            .map(|(_, facts)| Some(facts))
            .ok_or_else(|| Fault::Odd("its answer to MLST has no facts".to_owned()))
    }

    /// Only a file has a size, and only into a folder can one go.
    async fn look_twice(&mut self, path: &str) -> Result<Option<Facts>, Fault> {
        let reply = self.control.ask(&format!("SIZE {path}")).await?;
        if reply.code == 213 {
            let size = reply.text().trim().parse();
            let size_bytes = size.map_err(|_| Fault::Odd("its answer to SIZE is no number".to_owned()))?;
            return Ok(Some(Facts { kind: Kind::File, size_bytes, modified: None }));
        }
        if !is_absent(&reply) {
            reply.expect(&[213])?;
        }
        let reply = self.control.ask(&format!("CWD {path}")).await?;
        match reply.code {
            200 | 250 => Ok(Some(Facts { kind: Kind::Folder, size_bytes: 0, modified: None })),
            _ if is_absent(&reply) => Ok(None),
            _ => reply.expect(&[250]).map(|_| None),
        }
    }

    /// When `path` was changed last, as far as the server can tell.
    pub async fn modified(&mut self, path: &str) -> Result<Option<i64>, Fault> {
        if !self.features.times {
            return Ok(None);
        }
        let reply = self.control.ask(&format!("MDTM {}", self.at(path))).await?;
        Ok((reply.code == 213).then(|| time(reply.text().trim())).flatten())
    }

    pub async fn mkdir(&mut self, path: &str) -> Result<(), Fault> {
        self.done(&format!("MKD {}", self.at(path))).await
    }

    pub async fn rmdir(&mut self, path: &str) -> Result<(), Fault> {
        self.done(&format!("RMD {}", self.at(path))).await
    }

    pub async fn remove(&mut self, path: &str) -> Result<(), Fault> {
        self.done(&format!("DELE {}", self.at(path))).await
    }

    pub async fn rename(&mut self, from: &str, to: &str) -> Result<(), Fault> {
        self.control.ask(&format!("RNFR {}", self.at(from))).await?.expect(&[350])?;
        self.done(&format!("RNTO {}", self.at(to))).await
    }

    async fn done(&mut self, command: &str) -> Result<(), Fault> {
        // A folder that was made is told with 257.
        self.control.ask(command).await?.expect(&[200, 250, 257]).map(drop)
    }

    /// Begins to write the file `path`, from `offset` on, where it must have that many bytes.
    pub async fn store(&mut self, path: &str, offset: u64) -> Result<Data, Fault> {
        self.transfer(&format!("STOR {}", self.at(path)), offset).await
    }

    /// Begins to read the file `path` from `offset` on.
    pub async fn retrieve(&mut self, path: &str, offset: u64) -> Result<Data, Fault> {
        self.transfer(&format!("RETR {}", self.at(path)), offset).await
    }

    /// Begins to list the folder `path`.
    pub async fn list(&mut self, path: &str) -> Result<Lines, Fault> {
        let path = self.at(path);
        if self.features.machine_listings {
            return Ok(self.transfer(&format!("MLSD {path}"), 0).await?.lines());
        }
        // A path would be taken for a pattern, and of a folder that isn't there many list nothing.
        self.control.ask(&format!("CWD {path}")).await?.expect(&[200, 250])?;
        match self.transfer("LIST -a", 0).await {
            Err(fault) if matches!(fault.code(), Some(500..=504)) => {
                Ok(self.transfer("LIST", 0).await?.lines())
            }
            begun => Ok(begun?.lines()),
        }
    }

    /// The next name of a listing, with what is known of it; `None` at its end, which is proved.
    pub async fn next(&mut self, lines: &mut Option<Lines>) -> Result<Option<(String, Facts)>, Fault> {
        while let Some(running) = lines.as_mut() {
            let Some(line) = running.next().await? else {
                if let Some(lines) = lines.take() {
                    self.whole(lines.into_data()).await?;
                }
                break;
            };
            let read = if self.features.machine_listings { of_mlsd(&line) } else { of_list(&line) };
            match read {
                Some((name, facts)) => return Ok(Some((name.to_owned(), facts))),
                None if line.trim().is_empty() || line.starts_with("total ") => {}
                None => {
                    return Err(Fault::Odd("its listings are in a form that isn't known here".to_owned()));
                }
            }
        }
        Ok(None)
    }

    /// Waits for the server's word that what was read was all of it.
    pub async fn whole(&mut self, data: Data) -> Result<(), Fault> {
        drop(data);
        self.control.reply().await?.expect(&[226, 250]).map(drop)
    }

    /// Ends a file that was written, and waits for the server's word for it.
    pub async fn stored(&mut self, mut data: Data) -> Result<(), Fault> {
        if let Err(fault) = data.end().await {
            return Err(self.reason(fault).await);
        }
        // What TLS still says is read: a connection that is closed before would be reset, and take bytes with it. And among it is
        // the ticket by which the next data connection resumes the session.
        let mut drained = false;
        let mut rest = [0; 4096];
        let reply = self.control.reply();
        tokio::pin!(reply);
        let reply = loop {
            tokio::select! {
                biased;
                read = data.wire.read(&mut rest), if !drained => drained = !matches!(read, Ok(1..)),
                reply = &mut reply => break reply,
            }
        };
        reply?.expect(&[226, 250]).map(drop)
    }

    /// Why a transfer broke, if the server says so; otherwise `fault`.
    pub async fn reason(&mut self, fault: Fault) -> Fault {
        match timeout(REASON, self.control.reply()).await {
            Ok(Ok(reply)) if reply.code >= 400 => Fault::Reply { code: reply.code, text: reply.text() },
            _ => fault,
        }
    }

    /// Opens a data connection and sends `command` for it.
    async fn transfer(&mut self, command: &str, offset: u64) -> Result<Data, Fault> {
        let wire = self.passive().await?;
        if offset > 0 {
            self.control.ask(&format!("REST {offset}")).await?.expect(&[350])?;
        }
        self.control.send(command).await?;
        self.control.reply().await?.expect(&[125, 150])?;
        let patience = self.control.patience();
        let wire: Box<dyn Wire> = match self.tls.clone() {
            None => Box::new(wire),
            Some(tls) => match tls.begin(wire, patience).await {
                Ok(wire) => wire,
                Err(fault) => return Err(self.reason(fault).await),
            },
        };
        Ok(Data::new(wire, patience))
    }

    /// A data connection. Whatever address the server names, it goes where the control connection goes: behind a translation of
    /// addresses it names its own, and a hostile one could name anybody's.
    async fn passive(&mut self) -> Result<TcpStream, Fault> {
        let port = self.port().await?;
        let to = SocketAddr::new(self.peer.ip(), port);
        let limit = self.control.patience();
        let connected = timeout(limit, TcpStream::connect(to)).await.map_err(|_| Fault::Silent(limit))?;
        let wire =
            connected.map_err(|error| Fault::Lost(format!("no data connection to port {port}: {error}")))?;
        wire.set_nodelay(true).map_err(|error| lost(&error))?;
        Ok(wire)
    }

    async fn port(&mut self) -> Result<u16, Fault> {
        let odd = || Fault::Odd("its answer to EPSV or PASV has no port".to_owned());
        if !self.features.no_extended_passive {
            let reply = self.control.ask("EPSV").await?;
            match reply.code {
                229 => return extended_port(&reply.text()).ok_or_else(odd),
                500..=504 | 522 => self.features.no_extended_passive = true,
                _ => return reply.expect(&[229]).map(|_| 0),
            }
        }
        passive_port(&self.control.ask("PASV").await?.expect(&[227])?.text()).ok_or_else(odd)
    }
}

/// Of `Entering Extended Passive Mode (|||6446|)`.
fn extended_port(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once('(')?;
    let mark = rest.chars().next()?;
    rest.split(mark).nth(3)?.parse().ok().filter(|port| *port > 0)
}

/// Of `Entering Passive Mode (10,0,0,1,25,46)`: some servers leave the brackets out.
fn passive_port(text: &str) -> Option<u16> {
    let numbers = text.split(|letter: char| !letter.is_ascii_digit() && letter != ',');
    let numbers: Vec<u8> = numbers
        .map(|part| part.split(',').map(str::parse).collect::<Result<Vec<u8>, _>>().unwrap_or_default())
        .find(|numbers| numbers.len() == 6)?;
    Some(u16::from_be_bytes([numbers[4], numbers[5]])).filter(|port| *port > 0)
}

/// Whether a reply says that nothing is there. Its code also stands for missing rights, which the text tells.
fn is_absent(reply: &Reply) -> bool {
    let text = reply.text().to_lowercase();
    matches!(reply.code, 450 | 550 | 553)
        && !["permission", "denied", "not allowed"].iter().any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_read_from_what_servers_write() {
        assert_eq!(extended_port("Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_port("ok (!!!21!)."), Some(21));
        for text in ["", "(|||", "(|||0|)", "(|||70000|)", "|||1|"] {
            assert_eq!(extended_port(text), None, "{text}");
        }
        assert_eq!(passive_port("Entering Passive Mode (10,0,0,1,25,46)."), Some(6446));
        assert_eq!(passive_port("Entering Passive Mode. 127,0,0,1,0,21"), Some(21));
        for text in ["", "(1,2,3,4,5)", "(1,2,3,4,0,0)", "(1,2,3,4,5,256)"] {
            assert_eq!(passive_port(text), None, "{text}");
        }
    }

    #[test]
    fn a_code_for_two_things_is_told_apart_by_its_text() {
        let says = |code, text: &str| is_absent(&Reply { code, lines: vec![text.to_owned()] });
        assert!(says(550, "No such file or directory.") && says(550, "Could not get file size."));
        assert!(!says(550, "Permission denied.") && !says(530, "No such user") && !says(250, ""));
    }

    #[test]
    fn what_a_server_can_do_is_read_without_regard_to_case() {
        let lines = ["Features:", " mlst type*;size*;", " REST STREAM", " SIZE", "End"].map(str::to_owned);
        let features = Features::of(&Reply { code: 211, lines: lines.to_vec() });
        assert!(features.machine_listings && features.restart && !features.utf8 && !features.times);
    }
}
