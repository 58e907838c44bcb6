//! `ftp://user@host:port/path?option=value`: taken apart into options. Nothing of it is told when it is wrong, for it may
//! hold a password.

use windlass_plugin_api::{Error, Result, Secret};

use crate::options::{Options, Security, wrong};

/// Puts what the URL says into `options`; what is in both is an error.
pub(crate) fn merge(url: &str, options: &mut Options) -> Result<()> {
    let (is_implicit, rest) = strip_scheme(url).ok_or_else(unclear)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(server, path)| (server, Some(path)));
    let (user, server) =
        authority.rsplit_once('@').map_or((None, authority), |(user, rest)| (Some(user), rest));
    let (host, port) = host_and_port(server)?;
    set("host", &mut options.host, decoded(host)?)?;
    if let Some(port) = port {
        set("port", &mut options.port, port.parse().map_err(|_| unclear())?)?;
    }
    if let Some(user) = user {
        let (user, password) = user.split_once(':').map_or((user, None), |(user, rest)| (user, Some(rest)));
        if !user.is_empty() {
            set("user", &mut options.user, decoded(user)?)?;
        }
        if let Some(password) = password {
            set("password", &mut options.password, Secret::of(decoded(password)?))?;
        }
    }
    if let Some(path) = path {
        let path = decoded(path)?;
        let path = path.strip_prefix("~/").map_or_else(|| format!("/{path}"), str::to_owned);
        set("path", &mut options.path, path)?;
    }
    query.split('&').filter(|pair| !pair.is_empty()).try_for_each(|pair| option(pair, options))?;
    // By custom this scheme means TLS from the first byte on.
    if is_implicit && options.tls.is_none() {
        options.tls = Some(Security::Implicit);
    }
    Ok(())
}

/// Whether it is `ftps`, and what follows.
fn strip_scheme(url: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "ftp" => Some((false, rest)),
        "ftps" => Some((true, rest)),
        _ => None,
    }
}

/// An IPv6 address stands in brackets.
fn host_and_port(server: &str) -> Result<(&str, Option<&str>)> {
    if let Some(rest) = server.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(unclear)?;
        return Ok((host, rest.strip_prefix(':')));
    }
    Ok(server.split_once(':').map_or((server, None), |(host, port)| (host, Some(port))))
}

fn option(pair: &str, options: &mut Options) -> Result<()> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let value = decoded(value)?;
    let number = || value.parse().map_err(|_| wrong(format!("`{key}` in the URL isn't a number")));
    let is_true =
        || value.parse().map_err(|_| wrong(format!("`{key}` in the URL is neither `true` nor `false`")));
    match key {
        "tls" => set(key, &mut options.tls, Security::read(&value)?)?,
        "ca_file" => set(key, &mut options.ca_file, value.into())?,
        "create_root" => options.create_root = is_true()?,
        "connections" => options.connections = number()?,
        "connect_timeout" => options.connect_timeout = number()?,
        "timeout" => options.timeout = number()?,
        "keepalive" => options.keepalive = number()?,
        _ => {
            return Err(wrong("the URL has an option that isn't known there").hint(
                "Known are `tls`, `ca_file`, `create_root`, `connections`, `connect_timeout`, `timeout` and `keepalive`.",
            ));
        }
    }
    Ok(())
}

fn set<T>(name: &str, option: &mut Option<T>, value: T) -> Result<()> {
    match option.replace(value) {
        Some(_) => Err(wrong(format!("`url` and `{name}` both say the same thing"))),
        None => Ok(()),
    }
}

fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, behind) = rest.split_at_checked(2).ok_or_else(unclear)?;
        let digits = std::str::from_utf8(digits).map_err(|_| unclear())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| unclear())?);
        rest = behind;
    }
    String::from_utf8(bytes).map_err(|_| unclear())
}

fn unclear() -> Error {
    wrong("the `url` can't be understood")
        .hint("Write `ftp://user@host:21/srv/backups`, and `%40` for an `@` inside a name.")
}
