//! One connection to a server: signed in, bounded in time, closed when the run is cancelled.
//!
//! Commands and replies go through `resp`; a replication payload is read raw. Nothing is retried here.

use std::io::{self, Read, Write};
use std::sync::Arc;

use windlass_plugin_api::{CancelGuard, Context, Error, ErrorKind, Result};

use crate::address::Address;
use crate::errors;
use crate::options::Options;
use crate::resp::{self, Reply};
use crate::tls;
use crate::transport::{self, Socket, Transport};

/// Bytes that are read at once, and that are collected before they are sent.
pub const BUFFER_BYTES: usize = 256 << 10;

/// The longest line that any reply begins with.
const LONGEST_LINE: usize = 64 << 10;

/// A connection. Dropping it closes it.
pub struct Connection {
    transport: Box<dyn Transport>,
    socket: Arc<Socket>,
    input: Box<[u8]>,
    at: usize,
    end: usize,
    output: Vec<u8>,
    patience_seconds: u64,
    cx: Context,
    /// None where the connection outlives a cancelled run.
    guard: Option<CancelGuard>,
}

impl Connection {
    /// Connects and signs in. A cancelled run closes the connection.
    pub fn open(cx: &Context, options: &Options) -> Result<Self> {
        cx.go_on()?;
        Self::open_as(cx, options, true)
    }

    /// As [`open`](Self::open), also for a run that is cancelled: to tidy up.
    pub fn open_to_tidy_up(cx: &Context, options: &Options) -> Result<Self> {
        Self::open_as(cx, options, false)
    }

    fn open_as(cx: &Context, options: &Options, may_be_cancelled: bool) -> Result<Self> {
        let address = Address::of(options)?;
        let socket = Arc::new(transport::connect(options, &address)?);
        let closer = socket.clone();
        let guard = may_be_cancelled.then(|| cx.on_cancel(move || closer.close()));
        let transport = transport::open(options, &address, &socket)
            .map_err(|error| if guard.is_some() && cx.cancelled() { Error::cancelled() } else { error })?;
        let mut connection = Self {
            transport,
            socket: socket.clone(),
            input: vec![0; BUFFER_BYTES].into(),
            at: 0,
            end: 0,
            output: Vec::with_capacity(BUFFER_BYTES),
            patience_seconds: options.connect_patience().as_secs(),
            cx: cx.clone(),
            guard,
        };
        connection.sign_in(options, &address)?;
        // Whether it answers at all; what it answers to others is told there.
        connection.ask(&[b"PING"])?;
        socket.set_patience(options.patience())?;
        connection.patience_seconds = options.patience().as_secs();
        Ok(connection)
    }

    fn sign_in(&mut self, options: &Options, address: &Address) -> Result<()> {
        let password = match (&options.password, &address.password) {
            (Some(secret), _) => Some(self.cx.reveal(secret)?),
            (None, password) => password.clone(),
        };
        let reply = match (&address.user, password) {
            (None, None) => return Ok(()),
            (Some(user), password) => {
                self.ask(&[b"AUTH", user.as_bytes(), password.unwrap_or_default().as_bytes()])?
            }
            (None, Some(password)) => self.ask(&[b"AUTH", password.as_bytes()])?,
        };
        let Reply::Error(text) = reply else { return Ok(()) };
        // The text may repeat what was sent: only its first word is passed on.
        let code: String = text.split(' ').next().unwrap_or_default().chars().take(20).collect();
        let user = address.user.as_deref().unwrap_or("default");
        Err(Error::new(ErrorKind::Denied, format!("the server doesn't let `{user}` in ({code})"))
            .hint("Check `user` and `password`. A server without passwords refuses any."))
    }

    /// Sends a command and reads the reply; an error reply is an `Ok`.
    pub fn ask(&mut self, args: &[&[u8]]) -> Result<Reply> {
        self.send(args)?;
        self.flush()?;
        self.reply()
    }

    /// Sends a command and reads the reply; an error reply is an error.
    pub fn call(&mut self, args: &[&[u8]]) -> Result<Reply> {
        match self.ask(args)? {
            Reply::Error(text) => {
                let words: Vec<_> = args.iter().take(2).map(|arg| String::from_utf8_lossy(arg)).collect();
                Err(errors::from_reply(&words.join(" "), &text))
            }
            reply => Ok(reply),
        }
    }

    /// Collects a command; it is sent at [`flush`](Self::flush), or as soon as there is much.
    pub fn send(&mut self, args: &[&[u8]]) -> Result<()> {
        resp::write_command(&mut Collected(self), args).map_err(|error| self.failed(error))
    }

    /// Sends what was collected.
    pub fn flush(&mut self) -> Result<()> {
        let sent = self.transport.write_all(&self.output).and_then(|()| self.transport.flush());
        self.output.clear();
        sent.map_err(|error| self.failed(error))
    }

    /// Ends it: every further call fails.
    pub fn close(&self) {
        self.socket.close();
    }

    /// The next reply.
    pub fn reply(&mut self) -> Result<Reply> {
        resp::read_reply(self)
    }

    /// The next line, without its end. A lone `\n` ends one too: servers send such lines as signs of life.
    pub fn line(&mut self) -> Result<String> {
        let mut line = Vec::new();
        loop {
            if self.at == self.end && self.fill()? == 0 {
                return Err(errors::closed("instead of answering"));
            }
            let byte = self.input[self.at];
            self.at += 1;
            if byte == b'\n' {
                break;
            }
            line.push(byte);
            if line.len() > LONGEST_LINE {
                return Err(Error::new(ErrorKind::Unsupported, "the server's answer has no end"));
            }
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// The next bytes as they come; empty at the end of the connection. They must be given back by [`used`](Self::used).
    pub fn bytes(&mut self) -> Result<&[u8]> {
        if self.at == self.end {
            self.fill()?;
        }
        Ok(&self.input[self.at..self.end])
    }

    /// `count` of [`bytes`](Self::bytes) were taken.
    pub fn used(&mut self, count: usize) {
        self.at += count;
    }

    fn fill(&mut self) -> Result<usize> {
        let read = loop {
            match self.transport.read(&mut self.input) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // TLS without a farewell is an end like any other: whoever reads knows what should have come.
                Err(error) if is_end(&error) => break Ok(0),
                read => break read,
            }
        };
        (self.at, self.end) = (0, 0);
        self.end = read.map_err(|error| self.failed(error))?;
        if self.is_cancelled() {
            return Err(Error::cancelled());
        }
        Ok(self.end)
    }

    fn failed(&self, error: io::Error) -> Error {
        let error = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Error::new(
                ErrorKind::TimedOut,
                format!("the server gave no sign of life for {} s", self.patience_seconds),
            )
            .hint("If that can be right, raise `timeout`."),
            _ if tls::is_refusal(&error) => tls::refused(error),
            io::ErrorKind::BrokenPipe => errors::closed("while it was sent a command"),
            _ => Error::from(error).during("the connection to the server failed"),
        };
        // A connection that we closed ourselves fails because of that.
        if self.is_cancelled() { Error::cancelled() } else { error }
    }

    fn is_cancelled(&self) -> bool {
        self.guard.is_some() && self.cx.cancelled()
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.bytes()?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.used(count);
        Ok(count)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// Writes into the connection's buffer, and through it where there is much.
struct Collected<'c>(&'c mut Connection);

impl Write for Collected<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Connection { transport, output, .. } = &mut *self.0;
        if output.len() + bytes.len() > BUFFER_BYTES {
            transport.write_all(output)?;
            output.clear();
        }
        if bytes.len() > BUFFER_BYTES {
            transport.write_all(bytes)?;
        } else {
            output.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted
    )
}
