//! A connection: TCP, the server's proof of who it is, signing in, SFTP. `hosts` judges the server, `auth` signs in.
//!
//! `~/.ssh/config` isn't read: what a backup does must stand in its own config. Nothing is tried again here.

pub mod auth;
pub mod hosts;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, DisconnectReason, Handle};
use russh::keys::{Algorithm, PublicKeyOrCertificate};
use russh::{Preferred, cipher};
use tokio::net::TcpStream;
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use self::hosts::Trust;
use crate::options::Settings;
use crate::protocol::{Fault, Session};

/// What the server may send before we have taken it in.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Messages between russh and us: a bound of memory, and enough that neither waits for the other.
const CHANNEL_MESSAGES: usize = 32;

/// A connection with SFTP on it.
pub struct Connection {
    pub sftp: Session,
    /// Keeps the connection open.
    _handle: Handle<Client>,
}

/// Connects and signs in, within the time for it.
pub async fn connect(cx: &Context, settings: &Settings) -> Result<Connection> {
    let limit = settings.connect_timeout;
    let place = format!("{}:{}", settings.host, settings.port);
    let connected = tokio::time::timeout(limit, attempt(cx, settings)).await;
    connected
        .unwrap_or_else(|_| Err(late(limit)))
        .map_err(|error| error.during(format!("can't connect to `{place}`")))
}

fn late(limit: Duration) -> Error {
    let message = format!("it took longer than {} seconds", limit.as_secs());
    Error::new(ErrorKind::TimedOut, message).hint("The option `connect_timeout` says how long to wait.")
}

async fn attempt(cx: &Context, settings: &Settings) -> Result<Connection> {
    let trust = Arc::new(Trust::of(settings)?);
    let (mut handle, why) = trusted(settings, &trust).await?;
    auth::sign_in(cx, &mut handle, settings).await?;
    let channel = handle.channel_open_session().await.map_err(|error| told(&error))?;
    let reason = move || lock(&why).clone().unwrap_or_default();
    let sftp = Session::begin(channel, settings.timeout, reason).await.map_err(no_sftp)?;
    Ok(Connection { sftp, _handle: handle })
}

/// Connects to a server that proves who it is. A fingerprint doesn't say of which kind its key is, and a server shows one key
/// only: then it is asked for one kind after the other.
async fn trusted(settings: &Settings, trust: &Arc<Trust>) -> Result<(Handle<Client>, Shared<String>)> {
    let mut kinds = trust.order(Preferred::DEFAULT.key.to_vec());
    let mut first = None;
    loop {
        let shown = Shared::default();
        let error = match shake_hands(settings, trust.clone(), kinds.clone(), &shown).await {
            Ok(connected) => return Ok(connected),
            Err(error) => error,
        };
        let is_refused = trust.is_fingerprint() && error.kind == ErrorKind::Denied;
        let shown = lock(&shown).take().filter(|_| is_refused);
        let error = first.get_or_insert(error);
        let Some(shown) = shown else { return Err(error.clone()) };
        kinds.retain(|kind| !hosts::is_same(kind, &shown));
        if kinds.is_empty() {
            return Err(error.clone());
        }
    }
}

type Shared<T> = Arc<Mutex<Option<T>>>;

fn lock<T>(shared: &Shared<T>) -> std::sync::MutexGuard<'_, Option<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Connects once. `shown` gets the kind of the key that it shows.
async fn shake_hands(
    settings: &Settings,
    trust: Arc<Trust>,
    kinds: Vec<Algorithm>,
    shown: &Shared<Algorithm>,
) -> Result<(Handle<Client>, Shared<String>)> {
    let socket = TcpStream::connect((settings.host.as_str(), settings.port)).await.map_err(unreachable)?;
    // Requests are whole packets: waiting for more to fill one only costs time.
    let _ = socket.set_nodelay(true);
    let why = Shared::default();
    let client = Client { trust, shown: shown.clone(), why: why.clone() };
    let handle = client::connect_stream(Arc::new(config(settings, kinds)), socket, client).await;
    Ok((handle.map_err(|failure| failure.0)?, why))
}

fn config(settings: &Settings, kinds: Vec<Algorithm>) -> client::Config {
    // With AES in hardware, which every server of today has, GCM is the fastest.
    const CIPHERS: &[cipher::Name] = &[
        cipher::AES_256_GCM,
        cipher::AES_128_GCM,
        cipher::CHACHA20_POLY1305,
        cipher::AES_256_CTR,
        cipher::AES_192_CTR,
        cipher::AES_128_CTR,
    ];
    let preferred =
        Preferred { key: Cow::Owned(kinds), cipher: Cow::Borrowed(CIPHERS), ..Preferred::DEFAULT };
    client::Config {
        window_size: WINDOW_BYTES,
        channel_buffer_size: CHANNEL_MESSAGES,
        keepalive_interval: settings.keepalive,
        keepalive_max: 3,
        preferred,
        ..client::Config::default()
    }
}

/// Our side of the connection.
pub struct Client {
    trust: Arc<Trust>,
    shown: Shared<Algorithm>,
    why: Shared<String>,
}

/// An error of ours on its way through russh.
#[derive(Debug)]
pub struct Failure(Error);

impl From<russh::Error> for Failure {
    fn from(error: russh::Error) -> Self {
        Self(told(&error))
    }
}

impl client::Handler for Client {
    type Error = Failure;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        let key = key.public_key();
        *lock(&self.shown) = Some(key.algorithm());
        self.trust.judge(&key).map_err(Failure)?;
        Ok(true)
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Failure>) -> Result<(), Failure> {
        let why = match &reason {
            DisconnectReason::ReceivedDisconnect(said) => format!("the server says: {}", said.message),
            DisconnectReason::Error(failure) => failure.0.one_line(),
        };
        *lock(&self.why) = Some(why);
        match reason {
            DisconnectReason::ReceivedDisconnect(_) => Ok(()),
            DisconnectReason::Error(failure) => Err(failure),
        }
    }
}

fn unreachable(error: std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        _ => error.to_string(),
    };
    let kind = if error.kind() == std::io::ErrorKind::TimedOut {
        ErrorKind::TimedOut
    } else {
        ErrorKind::Unavailable
    };
    Error::new(kind, message).hint("See `host` and `port`, and whether a firewall is in between.")
}

/// russh's errors in our words: most of them are the end of the connection.
pub fn told(error: &russh::Error) -> Error {
    let kind = match error {
        russh::Error::NoCommonAlgo { .. } | russh::Error::Version => ErrorKind::Unsupported,
        _ => ErrorKind::Unavailable,
    };
    let message = match error {
        russh::Error::IO(error) => format!("the connection broke: {error}"),
        russh::Error::HUP | russh::Error::Disconnect | russh::Error::SendError | russh::Error::RecvError => {
            "the server closed the connection".to_owned()
        }
        russh::Error::KeepaliveTimeout => "the server doesn't answer any more".to_owned(),
        russh::Error::Version => "what answers there isn't an SSH server".to_owned(),
        error => format!("SSH failed: {error}"),
    };
    Error::new(kind, message)
}

fn no_sftp(fault: Fault) -> Error {
    match fault {
        Fault::Odd(what) => Error::new(ErrorKind::Unsupported, format!("the server doesn't speak SFTP: {what}")).hint(
            "It needs `Subsystem sftp internal-sftp` in its `sshd_config`, and a shell that writes nothing on its own.",
        ),
        Fault::Lost(why) => Error::new(ErrorKind::Unavailable, format!("the server closed the connection: {why}")),
        Fault::Silent(limit) => late(limit),
        Fault::Status { code, message } => {
            Error::new(ErrorKind::Failed, format!("the server refuses SFTP: {message} (status {code})"))
        }
    }
}
