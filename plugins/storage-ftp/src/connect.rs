//! A connection: TCP, TLS, signing in, and what the server can do. Nothing is tried again here.

use std::time::Duration;

use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle, set_tcp_keepintvl};
use tokio::net::TcpStream;
use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::failure::told;
use crate::options::{Security, Settings};
use crate::protocol::tls::{Tls, Version};
use crate::protocol::{Control, Fault, Features, Reply, Session};

/// The detail of an error that says that the server wants no more connections.
pub const TOO_MANY: &str = "too_many_connections";

/// The detail of an error that says that another version of TLS may do.
const OTHER_VERSION: &str = "other_version";

/// Connects and signs in, within the time for it.
pub async fn connect(cx: &Context, settings: &Settings) -> Result<Session> {
    let limit = settings.connect_timeout;
    let place = format!("{}:{}", settings.host, settings.port);
    let both = async {
        match attempt(cx, settings, Version::Resumed).await {
            Err(error) if error.details.contains_key(OTHER_VERSION) => {
                attempt(cx, settings, Version::Newest).await
            }
            result => result,
        }
    };
    let connected = tokio::time::timeout(limit, both).await;
    connected
        .unwrap_or_else(|_| Err(late(limit)))
        .map_err(|error| error.during(format!("can't connect to `{place}`")))
}

fn late(limit: Duration) -> Error {
    let message = format!("it took longer than {} seconds", limit.as_secs());
    Error::new(ErrorKind::TimedOut, message).hint("The option `connect_timeout` says how long to wait.")
}

async fn attempt(cx: &Context, settings: &Settings, version: Version) -> Result<Session> {
    let tls = match settings.tls {
        Security::Off => None,
        _ => Some(Tls::new(&settings.host, settings.ca_file.as_deref(), version)?),
    };
    let wire = TcpStream::connect((settings.host.as_str(), settings.port)).await.map_err(unreachable)?;
    let peer = wire.peer_addr().map_err(unreachable)?;
    live(&wire, settings.keepalive);
    let patience = settings.timeout;
    let mut control = match (&tls, settings.tls) {
        (Some(tls), Security::Implicit) => {
            Control::new(tls.begin(wire, patience).await.map_err(no_tls)?, patience)
        }
        _ => Control::new(Box::new(wire), patience),
    };
    welcome(&mut control).await?;
    if let (Some(tls), Security::Explicit) = (&tls, settings.tls) {
        control = upgraded(control, tls, patience).await?;
    }
    sign_in(cx, &mut control, settings).await?;
    if tls.is_some() {
        protect(&mut control).await?;
    }
    let features = features(&mut control).await?;
    control.ask("TYPE I").await.and_then(|reply| reply.expect(&[200])).map_err(|fault| told(&fault))?;
    let home = home(&mut control).await?;
    Ok(Session { control, features, peer, tls, home })
}

/// While a large file goes over the data connection nothing goes over this one, and what is silent for long is cut by many
/// firewalls: so the system asks now and then.
fn live(wire: &TcpStream, keepalive: Option<Duration>) {
    let _ = wire.set_nodelay(true);
    if let Some(idle) = keepalive {
        let _ = set_socket_keepalive(wire, true);
        let _ = set_tcp_keepidle(wire, idle);
        let _ = set_tcp_keepintvl(wire, idle);
    }
}

async fn welcome(control: &mut Control) -> Result<()> {
    let mut greeting = control.reply().await.map_err(|fault| told(&fault))?;
    if greeting.code == 120 {
        greeting = control.reply().await.map_err(|fault| told(&fault))?;
    }
    match greeting.code {
        220 => Ok(()),
        _ => Err(crowded(&greeting).unwrap_or_else(|| refused(&greeting))),
    }
}

async fn upgraded(mut control: Control, tls: &Tls, patience: Duration) -> Result<Control> {
    let reply = control.ask("AUTH TLS").await.map_err(|fault| told(&fault))?;
    if reply.code != 234 {
        let message = format!("the server doesn't offer TLS ({}: {})", reply.code, reply.text());
        return Err(Error::new(ErrorKind::Unsupported, message).hint(
            "Switch it on there. Where the whole port speaks TLS set `tls = \"implicit\"`; with `tls = \"off\"` everybody \
             on the way can read the password and what no filter has encrypted.",
        ));
    }
    let wire = control.into_wire().map_err(|fault| told(&fault))?;
    Ok(Control::new(tls.begin(wire, patience).await.map_err(no_tls)?, patience))
}

async fn sign_in(cx: &Context, control: &mut Control, settings: &Settings) -> Result<()> {
    let ask = |fault: Fault| told(&fault);
    let mut reply = control.ask(&format!("USER {}", settings.user)).await.map_err(ask)?;
    if reply.code == 331 {
        let password = password(cx, settings).await?;
        if password.contains(['\r', '\n', '\0']) {
            return Err(Error::new(ErrorKind::Config, "`password` has more than one line"));
        }
        reply = control.ask(&format!("PASS {password}")).await.map_err(ask)?;
    }
    let user = &settings.user;
    match reply.code {
        230 | 202 => Ok(()),
        _ if crowded(&reply).is_some() => Err(crowded(&reply).unwrap_or_else(|| refused(&reply))),
        332 => Err(Error::new(ErrorKind::Unsupported, "the server asks for an account beside the password")),
        // Some servers repeat what they were sent: their text isn't told.
        430 | 530 | 532 | 331 => {
            let message = format!("the server refuses `{user}` with the password ({})", reply.code);
            Err(Error::new(ErrorKind::Denied, message).hint(
                "Look at `user` and `password`, and whether the server lets this user in by FTP, with or without TLS.",
            ))
        }
        code => Err(Error::failed(format!("the server lets nobody in like this ({code})"))
            .hint("Does it want TLS, or none? See `tls`.")),
    }
}

/// Asked of the host at the moment of use. It may be the output of a command that takes its time.
async fn password(cx: &Context, settings: &Settings) -> Result<String> {
    let Some(password) = settings.password.clone() else {
        // As the custom is where anybody may sign in.
        return Ok("anonymous@".to_owned());
    };
    let cx = cx.clone();
    let asked = tokio::task::spawn_blocking(move || cx.reveal(&password)).await;
    let value = asked.map_err(|error| Error::failed("`password` can't be had").because(&error))??;
    Ok(value.trim_end_matches(['\r', '\n']).to_owned())
}

/// From here on data connections speak TLS too. Without it the bytes would go in clear, so a server that can't is refused.
async fn protect(control: &mut Control) -> Result<()> {
    for command in ["PBSZ 0", "PROT P"] {
        let reply = control.ask(command).await.map_err(|fault| told(&fault))?;
        if reply.code != 200 {
            let message =
                format!("the server encrypts no data connections ({}: {})", reply.code, reply.text());
            return Err(Error::new(ErrorKind::Unsupported, message)
                .hint("Switch `PROT P` on there; with `tls = \"off\"` nothing is encrypted on the way."));
        }
    }
    Ok(())
}

async fn features(control: &mut Control) -> Result<Features> {
    let reply = control.ask("FEAT").await.map_err(|fault| told(&fault))?;
    // A server that doesn't know the question has none.
    let features = if reply.code == 211 { Features::of(&reply) } else { Features::default() };
    if features.utf8 {
        // Most do so anyway.
        control.ask("OPTS UTF8 ON").await.map_err(|fault| told(&fault))?;
    }
    Ok(features)
}

/// Where it begins.
async fn home(control: &mut Control) -> Result<String> {
    let reply = control.ask("PWD").await.map_err(|fault| told(&fault))?;
    let text = reply.text();
    // In quotes, and a quote in it doubled.
    let quoted = text.split_once('"').map(|(_, rest)| rest.replace("\"\"", "\0"));
    let home = quoted.and_then(|rest| rest.split_once('"').map(|(home, _)| home.replace('\0', "\"")));
    match home.filter(|home| reply.code == 257 && home.starts_with('/')) {
        Some(home) => Ok(home),
        None => {
            Err(Error::failed(format!("the server doesn't say where it begins ({}: {text})", reply.code)))
        }
    }
}

fn refused(reply: &Reply) -> Error {
    let text = reply.text();
    told(&Fault::Reply { code: reply.code, text })
}

/// Whether the server only has too many users.
fn crowded(reply: &Reply) -> Option<Error> {
    let text = reply.text().to_lowercase();
    let says_so = ["too many", "maximum", "limit"].iter().any(|words| text.contains(words));
    let is_crowded = reply.code == 421 || (reply.code == 530 && says_so);
    is_crowded.then(|| {
        let error = Error::new(
            ErrorKind::Unavailable,
            format!("the server takes no more connections ({})", reply.code),
        );
        error
            .hint("Lower `connections`, or raise the server's limit for a user or an address.")
            .detail(TOO_MANY, true)
    })
}

fn no_tls(fault: Fault) -> Error {
    match fault {
        Fault::Version => told(&fault).detail(OTHER_VERSION, true),
        Fault::Odd(_) => told(&fault).hint("Does the server speak TLS there? See `tls` and `port`."),
        _ => told(&fault),
    }
}

fn unreachable(error: std::io::Error) -> Error {
    let message = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
        _ => error.to_string(),
    };
    let kind = match error.kind() {
        std::io::ErrorKind::TimedOut => ErrorKind::TimedOut,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, message).hint("See `host` and `port`, and whether a firewall is in between.")
}
