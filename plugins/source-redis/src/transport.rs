//! The bytes to and from a server: TCP, TLS over TCP, or a Unix socket, with time limits, and closed from another thread.
//!
//! Knows nothing of the protocol.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{Address, Place};
use crate::options::Options;
use crate::tls;

/// An open connection without a protocol.
pub trait Transport: Read + Write + Send {}

impl<T: Read + Write + Send> Transport for T {}

/// The socket below a transport: sets limits, and ends every call that blocks in it.
pub enum Socket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Socket {
    /// A second handle.
    pub fn again(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }

    /// Ends both directions; whoever blocks in a read or write returns.
    pub fn close(&self) {
        // It may be closed already.
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(Shutdown::Both),
            Self::Unix(socket) => socket.shutdown(Shutdown::Both),
        };
    }

    /// How long a read or write may block.
    pub fn set_patience(&self, patience: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => {
                socket.set_read_timeout(Some(patience))?;
                socket.set_write_timeout(Some(patience))
            }
            Self::Unix(socket) => {
                socket.set_read_timeout(Some(patience))?;
                socket.set_write_timeout(Some(patience))
            }
        }
    }
}

/// Connects within the options' `connect_timeout`; without TLS for now. Each read and write has that limit too.
pub fn connect(options: &Options, address: &Address) -> Result<Socket> {
    let patience = options.connect_patience();
    let doing = || format!("can't connect to `{address}`");
    let socket = match &address.place {
        Place::Unix(path) => {
            Socket::Unix(UnixStream::connect(path).map_err(|error| unreachable(error).during(doing()))?)
        }
        Place::Tcp(host, port) => {
            Socket::Tcp(tcp(host, *port, patience).map_err(|error| unreachable(error).during(doing()))?)
        }
    };
    socket.set_patience(patience)?;
    Ok(socket)
}

/// The transport over `socket`; with TLS the certificate is judged here.
pub fn open(options: &Options, address: &Address, socket: &Socket) -> Result<Box<dyn Transport>> {
    match socket.again()? {
        Socket::Unix(socket) => Ok(Box::new(socket)),
        Socket::Tcp(socket) if !address.tls => Ok(Box::new(socket)),
        Socket::Tcp(mut socket) => {
            let mut session: ClientConnection = tls::session(options, address)?;
            while session.is_handshaking() {
                session.complete_io(&mut socket).map_err(tls::refused)?;
            }
            Ok(Box::new(StreamOwned::new(session, socket)))
        }
    }
}

fn tcp(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn unreachable(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::PermissionDenied => ErrorKind::Denied,
        io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Unavailable,
    };
    Error { kind, ..Error::from(error) }.hint("Is the server running, and is the address right?")
}
