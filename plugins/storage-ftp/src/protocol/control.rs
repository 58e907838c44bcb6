//! The control connection: a line out, a reply in.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::Fault;

/// The longest reply: a server can't fill our memory.
const REPLY_BYTES: u64 = 64 * 1024;

/// A connection, with TLS or without.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What a server answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub code: u16,
    /// Without the codes of the first and of the last line.
    pub lines: Vec<String>,
}

impl Reply {
    pub fn text(&self) -> String {
        self.lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
    }

    /// The reply if its code is one of `wanted`.
    pub fn expect(self, wanted: &[u16]) -> Result<Self, Fault> {
        match wanted.contains(&self.code) {
            true => Ok(self),
            false => Err(Fault::Reply { code: self.code, text: self.text() }),
        }
    }
}

/// The connection that commands go over.
pub struct Control {
    wire: BufReader<Box<dyn Wire>>,
    patience: Duration,
    /// Every command has its reply. False while one is under way, and for ever if that was dropped: then nobody knows
    /// what the next line answers.
    is_clean: bool,
}

impl Control {
    pub fn new(wire: Box<dyn Wire>, patience: Duration) -> Self {
        Self { wire: BufReader::new(wire), patience, is_clean: true }
    }

    /// The connection itself, for TLS to begin on it. What the server has sent ahead would be read as if it had come over TLS:
    /// it is refused.
    pub fn into_wire(self) -> Result<Box<dyn Wire>, Fault> {
        match self.wire.buffer().is_empty() {
            true => Ok(self.wire.into_inner()),
            false => Err(Fault::Odd("it sends more before TLS has begun".to_owned())),
        }
    }

    pub fn patience(&self) -> Duration {
        self.patience
    }

    pub fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// Sends a command and waits for its last reply.
    pub async fn ask(&mut self, command: &str) -> Result<Reply, Fault> {
        self.send(command).await?;
        loop {
            let reply = self.reply().await?;
            if reply.code >= 200 {
                return Ok(reply);
            }
        }
    }

    /// Sends a command.
    pub async fn send(&mut self, command: &str) -> Result<(), Fault> {
        if command.contains(['\r', '\n', '\0']) {
            return Err(Fault::Odd("a name with a line's end can't be sent".to_owned()));
        }
        self.is_clean = false;
        let line = format!("{command}\r\n");
        let sent = async {
            self.wire.write_all(line.as_bytes()).await?;
            self.wire.flush().await
        };
        let sent = timeout(self.patience, sent).await;
        sent.map_err(|_| Fault::Silent(self.patience))?.map_err(|error| lost(&error))
    }

    /// The next reply, preliminary or not.
    pub async fn reply(&mut self) -> Result<Reply, Fault> {
        let limit = self.patience;
        let reply = timeout(limit, self.read()).await.map_err(|_| Fault::Silent(limit))??;
        // After 421 it closes the connection.
        self.is_clean = reply.code >= 200 && reply.code != 421;
        Ok(reply)
    }

    async fn read(&mut self) -> Result<Reply, Fault> {
        let mut left = REPLY_BYTES;
        let first = self.line(&mut left).await?;
        let (code, rest) = first.split_at_checked(3).unwrap_or_default();
        let is_code = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_digit());
        let number = code.parse().ok().filter(|_| is_code);
        let Some(number) = number.filter(|number| (100..600).contains(number)) else {
            return Err(Fault::Odd("what answers there isn't an FTP server".to_owned()));
        };
        let mut lines = vec![rest.get(1..).unwrap_or_default().to_owned()];
        if rest.starts_with('-') {
            let end = format!("{code} ");
            loop {
                let line = self.line(&mut left).await?;
                if line == code || line.starts_with(&end) {
                    lines.push(line.get(4..).unwrap_or_default().to_owned());
                    break;
                }
                lines.push(line);
            }
        }
        Ok(Reply { code: number, lines })
    }

    async fn line(&mut self, left: &mut u64) -> Result<String, Fault> {
        let mut bytes = Vec::new();
        let read = (&mut self.wire).take(*left).read_until(b'\n', &mut bytes).await;
        let count = read.map_err(|error| lost(&error))?;
        *left -= count as u64;
        match bytes.ends_with(b"\n") {
            true => Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned()),
            false if *left == 0 => Err(Fault::Odd("its reply is too long to be one".to_owned())),
            false => Err(Fault::Lost("the server closed it".to_owned())),
        }
    }
}

pub fn lost(error: &std::io::Error) -> Fault {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => Fault::Lost("the server closed it".to_owned()),
        _ => Fault::Lost(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replies(text: &str) -> Vec<Result<Reply, Fault>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (mut server, client) = tokio::io::duplex(1 << 20);
            server.write_all(text.as_bytes()).await.unwrap();
            drop(server);
            let mut control = Control::new(Box::new(client), Duration::from_secs(60));
            let mut replies = Vec::new();
            loop {
                let reply = control.reply().await;
                let is_end = reply.is_err();
                replies.push(reply);
                if is_end {
                    return replies;
                }
            }
        })
    }

    #[test]
    fn a_reply_of_many_lines_ends_where_its_code_stands_before_a_space() {
        let read =
            replies("211-Features:\r\n UTF8\r\n211-not the end\r\n2111\r\n211 End\r\n220 ready\n230\r\n");
        let lines = ["Features:", " UTF8", "211-not the end", "2111", "End"].map(str::to_owned).to_vec();
        assert_eq!(read[0], Ok(Reply { code: 211, lines }));
        assert_eq!(read[1], Ok(Reply { code: 220, lines: vec!["ready".to_owned()] }));
        assert_eq!(read[2], Ok(Reply { code: 230, lines: vec![String::new()] }));
        assert!(matches!(&read[3], Err(Fault::Lost(_))));
    }

    #[test]
    fn what_is_no_reply_is_told_and_one_without_end_is_not_kept() {
        for text in ["SSH-2.0-x\r\n", "99 a\r\n", "2é\r\n", "+20 a\r\n", "HTTP/1.1 400\r\n", "\r\n"] {
            assert!(matches!(replies(text)[0], Err(Fault::Odd(_))), "{text}");
        }
        assert!(matches!(&replies(&format!("220-{}", "x".repeat(200_000)))[0], Err(Fault::Odd(_))));
        assert!(matches!(&replies(&"220-x\r\n".repeat(20_000))[0], Err(Fault::Odd(_))));
        assert!(matches!(&replies("220 half")[0], Err(Fault::Lost(_))));
    }
}
