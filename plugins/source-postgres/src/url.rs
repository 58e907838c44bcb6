//! Reads libpq's URLs: `postgres://user:password@host:port/database?sslmode=require`.
//!
//! libpq could read them itself; but the password must not reach an argument, and the database's name is needed for
//! siblings. So the parts are taken apart here and the password goes another way.

use std::collections::BTreeMap;

use windlass_plugin_api::{Error, ErrorKind, Result};

/// What a URL may set in its query, beside `password`: libpq's parameters that can't make it read a secret or run anything.
const PARAMETERS: [&str; 31] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "dbname",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "requirepeer",
    "require_auth",
    "channel_binding",
    "gssencmode",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "target_session_attrs",
    "load_balance_hosts",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "service",
];

/// A URL in its parts.
#[derive(Debug, Default)]
pub(crate) struct Url {
    /// libpq's parameters by name, without the password.
    pub parameters: BTreeMap<String, String>,
    /// The password.
    pub password: Option<String>,
}

impl Url {
    /// Takes `text` apart. Errors don't repeat it: it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let rest = ["postgres:", "postgresql:"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let rest = rest.ok_or_else(|| wrong("it doesn't begin with `postgres:`"))?;
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (login, hosts),
            None => ("", authority),
        };
        let mut url = Self::default();
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        url.set("user", decode(user)?);
        url.password = password.filter(|password| !password.is_empty()).map(decode).transpose()?;
        url.hosts(hosts)?;
        url.set("dbname", decode(database)?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| wrong("a parameter has no value"))?;
            match (decode(key)?.as_str(), decode(value)?) {
                ("password", value) => url.password = Some(value),
                (key, value) if PARAMETERS.contains(&key) => url.set(key, value),
                (key, _) => {
                    return Err(wrong(&format!("it can't set `{key}`"))
                        .hint("Use the source's own option, or libpq's service file."));
                }
            }
        }
        Ok(url)
    }

    /// `host:port` of one or several servers, `[::1]:5432` among them.
    fn hosts(&mut self, hosts: &str) -> Result<()> {
        let (mut names, mut ports) = (Vec::new(), Vec::new());
        for host in hosts.split(',') {
            let (name, port) = match host.strip_prefix('[').and_then(|host| host.split_once(']')) {
                Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or("")),
                None => host.split_once(':').unwrap_or((host, "")),
            };
            if !port.is_empty() && port.parse::<u16>().is_err() {
                return Err(wrong("a port isn't a number"));
            }
            names.push(decode(name)?);
            ports.push(port.to_owned());
        }
        if names.iter().any(|name| !name.is_empty()) {
            self.set("host", names.join(","));
        }
        if ports.iter().any(|port| !port.is_empty()) {
            self.set("port", ports.join(","));
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.parameters.insert(key.to_owned(), value);
        }
    }
}

fn wrong(why: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the option `url` can't be read: {why}"))
        .hint("It reads `postgres://user@host:port/database`; special characters are percent-encoded.")
}

fn decode(text: &str) -> Result<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let hex = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) else {
            return Err(wrong("a `%` isn't followed by two hexadecimal digits"));
        };
        decoded.push(u8::try_from(high * 16 + low).unwrap_or(0));
    }
    String::from_utf8(decoded).map_err(|_| wrong("it isn't UTF-8 once it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let url = Url::parse(text).unwrap();
        let parameters: Vec<String> =
            url.parameters.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} {:?}", parameters.join(" "), url.password)
    }

    #[test]
    fn the_parts_of_a_url_are_what_libpq_takes_them_for() {
        assert_eq!(
            shown("postgres://u:p%40ss@db:5433/sh%20op"),
            "dbname=sh op host=db port=5433 user=u Some(\"p@ss\")"
        );
        assert_eq!(shown("postgresql:///shop?host=/run/pg"), "dbname=shop host=/run/pg None");
        assert_eq!(shown("postgres://[::1]:5432/x"), "dbname=x host=::1 port=5432 None");
        assert_eq!(
            shown("postgres://a:1,b:2/x?sslmode=require"),
            "dbname=x host=a,b port=1,2 sslmode=require None"
        );
        assert_eq!(shown("postgres://h?password=geheim"), "host=h Some(\"geheim\")");
    }

    #[test]
    fn an_error_does_not_repeat_the_password() {
        for text in [
            "postgres://u:geheim@h:port/x",
            "mysql://u:geheim@h",
            "postgres://u:geheim%zz@h",
            "postgres://u:geheim@h?passfile=x",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(error.kind == ErrorKind::Config && !format!("{error:?}").contains("geheim"), "{error}");
        }
    }
}
