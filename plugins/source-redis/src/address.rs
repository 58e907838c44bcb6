//! Where the server is, out of a URL or of its parts.
//!
//! Knows nothing of connections. Its text form never holds a user or a password.

use std::fmt;
use std::path::PathBuf;

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::options::Options;

/// The port of a server that names none.
const PORT: u16 = 6379;

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A server, and who we are to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Where it listens.
    pub place: Place,
    /// Whether it is spoken to by TLS.
    pub tls: bool,
    /// The ACL user.
    pub user: Option<String>,
    /// A password that stood in the URL.
    pub password: Option<String>,
}

impl Address {
    /// The address that the options name.
    pub fn of(options: &Options) -> Result<Self> {
        let mut address = match &options.url {
            Some(url) => {
                let parts = [
                    ("host", options.host.is_some()),
                    ("port", options.port.is_some()),
                    ("socket", options.socket.is_some()),
                ];
                if let Some((part, _)) = parts.iter().find(|(_, given)| *given) {
                    return Err(wrong(format!("`url` and `{part}` both say where the server is"))
                        .hint("Give the URL, or its parts."));
                }
                parse(url)?
            }
            None => Self { place: place(options)?, tls: false, user: None, password: None },
        };
        address.tls |= options.tls;
        if address.tls && matches!(address.place, Place::Unix(_)) {
            return Err(wrong("TLS isn't spoken on a Unix socket"));
        }
        if let Some(user) = &options.user {
            if address.user.is_some() {
                return Err(wrong("the user stands in `url` and in `user`"));
            }
            address.user = Some(user.clone());
        }
        if address.password.is_some() && options.password.is_some() {
            return Err(wrong("the password stands in `url` and in `password`"));
        }
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Place::Tcp(host, port) => write!(f, "{host}:{port}"),
            Place::Unix(path) => path.display().fmt(f),
        }
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn place(options: &Options) -> Result<Place> {
    match &options.socket {
        Some(_) if options.host.is_some() || options.port.is_some() => {
            Err(wrong("`socket` stands in place of `host` and `port`"))
        }
        Some(path) => Ok(Place::Unix(path.clone())),
        None => Ok(Place::Tcp(
            options.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned()),
            options.port.unwrap_or(PORT),
        )),
    }
}

/// No error shows the URL: it may hold a password.
fn parse(url: &str) -> Result<Address> {
    let form = || wrong("the URL isn't of the form `redis://user@host:port`");
    let (scheme, rest) = url.split_once("://").ok_or_else(form)?;
    let (tls, unix) = match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => (false, false),
        "rediss" | "valkeys" => (true, false),
        "redis+unix" | "unix" => (false, true),
        _ => {
            return Err(form().hint("It begins with `redis`, `rediss`, `valkey`, `valkeys` or `redis+unix`."));
        }
    };
    if rest.contains(['?', '#']) {
        return Err(wrong("the URL can't hold options").hint("Give them as options of their own."));
    }
    let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
    let (user, password) = match login {
        None => (None, None),
        Some(login) => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (decoded(user)?, decoded(password)?)
        }
    };
    if unix {
        let path = decoded(rest)?.filter(|path| path.starts_with('/'));
        let path = path.ok_or_else(|| wrong("the URL names no socket: `redis+unix:///run/redis.sock`"))?;
        return Ok(Address { place: Place::Unix(path.into()), tls, user, password });
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if !path.is_empty() {
        return Err(wrong("the URL names a database").hint(
            "A backup holds all databases of the server, and a restore writes all: leave the part behind the host out.",
        ));
    }
    let (host, port) = host_and_port(authority).ok_or_else(form)?;
    Ok(Address { place: Place::Tcp(host, port), tls, user, password })
}

fn host_and_port(authority: &str) -> Option<(String, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some(""))?)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let port = if port.is_empty() { PORT } else { port.parse().ok()? };
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Some((host.to_owned(), port))
}

/// Percent-decoded; none if it is empty.
fn decoded(text: &str) -> Result<Option<String>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
        bytes.push(match byte {
            b'%' => {
                let pair = digit().zip(digit());
                let (high, low) =
                    pair.ok_or_else(|| wrong("a `%` in the URL isn't followed by two digits"))?;
                u8::try_from(high * 16 + low).unwrap_or_default()
            }
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("the URL isn't UTF-8"))?;
    Ok(Some(text).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> Options {
        Options { url: Some(url.to_owned()), ..Options::default() }
    }

    #[test]
    fn a_url_says_all_that_the_parts_can_say() {
        let address = Address::of(&options("rediss://me:p%40ss@db.example:7000")).unwrap();
        assert_eq!(address.place, Place::Tcp("db.example".into(), 7000));
        assert_eq!((address.tls, address.user.as_deref()), (true, Some("me")));
        assert_eq!(address.password.as_deref(), Some("p@ss"));
        assert_eq!(address.to_string(), "db.example:7000");
        let address = Address::of(&options("valkey://:only@[::1]")).unwrap();
        assert_eq!((address.place, address.user), (Place::Tcp("::1".into(), 6379), None));
        let address = Address::of(&options("redis+unix:///run/a%20b.sock")).unwrap();
        assert_eq!(address.place, Place::Unix("/run/a b.sock".into()));
    }

    #[test]
    fn what_can_not_be_meant_is_an_error_that_shows_no_password() {
        for url in [
            "redis:host",
            "http://u:hunter2@h",
            "redis://u:hunter2@h/0",
            "redis://u:hunter2@h:x",
            "redis://u:hunter2%@h",
        ] {
            let error = Address::of(&options(url)).err().unwrap_or_else(|| panic!("{url} was taken"));
            assert_eq!(error.kind, ErrorKind::Config);
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
        let both = Options { host: Some("h".into()), ..options("redis://h") };
        assert!(Address::of(&both).is_err());
    }

    #[test]
    fn debug_of_the_options_shows_no_password_of_the_url() {
        assert!(!format!("{:?}", options("redis://u:hunter2@h")).contains("hunter2"));
    }
}
