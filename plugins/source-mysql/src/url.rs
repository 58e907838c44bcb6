//! `mysql://user:password@host:port/database`, taken apart.

use windlass_plugin_api::{Error, ErrorKind, Result};

/// The parts of a URL that were there.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) host: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<String>,
}

/// Takes a URL apart. The error doesn't show it: there may be a password in it.
pub(crate) fn parse(url: &str) -> Result<Parts> {
    let wrong = |what: &str| {
        Error::new(ErrorKind::Config, format!("the `url` isn't one: {what}"))
            .hint("Write `mysql://user@host:3306/database`, and `%40` for an `@` inside a name.")
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| wrong("it has no `://`"))?;
    if !["mysql", "mariadb"].contains(&scheme.to_ascii_lowercase().as_str()) {
        return Err(wrong("its scheme is neither `mysql` nor `mariadb`"));
    }
    if rest.contains('?') || rest.contains('#') {
        return Err(wrong("parameters aren't understood, use the options for them"));
    }
    let (server, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, address) = server.rsplit_once('@').unwrap_or(("", server));
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (login, None),
    };
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
    };
    let some = |text: &str| -> Result<Option<String>> {
        if text.is_empty() { Ok(None) } else { decode(text).map(Some).ok_or_else(|| wrong("a `%` in it")) }
    };
    let port = port.filter(|port| !port.is_empty()).map(str::parse);
    Ok(Parts {
        host: some(host)?,
        port: port.transpose().map_err(|_| wrong("its port is no number"))?,
        user: some(user)?,
        password: password.map(some).transpose()?.flatten(),
        database: some(database)?,
    })
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let hex = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart() {
        let some = |text: &str| Some(text.to_owned());
        let parts = parse("mariadb://us%40er:p%2Fw:x@db.example:3307/my%20shop").unwrap();
        assert_eq!((parts.user, parts.password), (some("us@er"), some("p/w:x")));
        assert_eq!(
            (parts.host, parts.port, parts.database),
            (some("db.example"), Some(3307), some("my shop"))
        );
        assert!(parse("mysql:///shop").unwrap() == Parts { database: some("shop"), ..Parts::default() });
        assert_eq!(parse("mysql://[::1]:3306").unwrap().host, some("::1"));
        for bad in ["shop", "postgres://x/y", "mysql://h:x/y", "mysql://h/d?ssl=1", "mysql://h/%zz"] {
            let error = parse(bad).err().unwrap();
            assert!(error.kind == ErrorKind::Config && !error.to_string().contains(bad), "{error}");
        }
    }
}
