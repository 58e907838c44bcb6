//! `user:password@host:port/path?option=value`, taken apart: how a folder on a server is named. Nothing of it is told when it is
//! wrong, for it may hold a password.

use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

/// What it says, decoded.
pub struct Address {
    /// The server's name or number.
    pub host: String,
    /// Its port.
    pub port: Option<u16>,
    /// Who signs in.
    pub user: Option<String>,
    /// With what.
    pub password: Option<Secret>,
    /// Behind `~/` as the server takes it, else from its root.
    pub path: Option<String>,
    /// What follows `?`, in its order.
    pub options: Vec<(String, String)>,
}

impl Address {
    /// Reads what follows the scheme and `://`; `None` if it can't be understood.
    pub fn read(text: &str) -> Option<Self> {
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (authority, path) =
            text.split_once('/').map_or((text, None), |(server, path)| (server, Some(path)));
        let (login, server) =
            authority.rsplit_once('@').map_or((None, authority), |(login, rest)| (Some(login), rest));
        let (user, password) = login.map_or((None, None), |login| match login.split_once(':') {
            Some((user, password)) => (Some(user), Some(password)),
            None => (Some(login), None),
        });
        let (host, port) = host_and_port(server)?;
        let option = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((key.to_owned(), decoded(value)?))
        };
        Some(Self {
            host: decoded(host)?,
            port: match port {
                Some(port) => Some(port.parse().ok()?),
                None => None,
            },
            user: match user.filter(|user| !user.is_empty()) {
                Some(user) => Some(decoded(user)?),
                None => None,
            },
            password: match password {
                Some(password) => Some(Secret::of(decoded(password)?)),
                None => None,
            },
            path: match path {
                Some(path) => {
                    let path = decoded(path)?;
                    Some(path.strip_prefix("~/").map_or_else(|| format!("/{path}"), str::to_owned))
                }
                None => None,
            },
            options: query.split('&').filter(|pair| !pair.is_empty()).map(option).collect::<Option<_>>()?,
        })
    }
}

/// An IPv6 address stands in brackets.
fn host_and_port(server: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = server.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return Some((host, rest.strip_prefix(':')));
    }
    Some(server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))))
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    String::from_utf8(bytes).ok()
}

/// Sets an option to what a URL says; that both say something is an error.
pub fn set<T>(name: &str, option: &mut Option<T>, value: Option<T>) -> Result<()> {
    let Some(value) = value else { return Ok(()) };
    match option.replace(value) {
        Some(_) => Err(Error::new(ErrorKind::Config, format!("`url` and `{name}` both say the same thing"))),
        None => Ok(()),
    }
}
