//! `ftp://user@host:port/path?option=value`: taken apart into options. Nothing of it is told when it is wrong, for it may
//! hold a password.

use windlass_folder::address::{Address, set};
use windlass_plugin_api::{Error, Result};

use crate::options::{Options, Security, wrong};

/// Puts what the URL says into `options`; what is in both is an error.
pub(crate) fn merge(url: &str, options: &mut Options) -> Result<()> {
    let (is_implicit, rest) = strip_scheme(url).ok_or_else(unclear)?;
    let said = Address::read(rest).ok_or_else(unclear)?;
    set("host", &mut options.host, Some(said.host))?;
    set("port", &mut options.port, said.port)?;
    set("user", &mut options.user, said.user)?;
    set("password", &mut options.password, said.password)?;
    set("path", &mut options.path, said.path)?;
    said.options.into_iter().try_for_each(|(key, value)| option(&key, value, options))?;
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

fn option(key: &str, value: String, options: &mut Options) -> Result<()> {
    let number = || value.parse().map_err(|_| wrong(format!("`{key}` in the URL isn't a number")));
    let is_true =
        || value.parse().map_err(|_| wrong(format!("`{key}` in the URL is neither `true` nor `false`")));
    match key {
        "tls" => set(key, &mut options.tls, Some(Security::read(&value)?))?,
        "ca_file" => set(key, &mut options.ca_file, Some(value.into()))?,
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

fn unclear() -> Error {
    wrong("the `url` can't be understood")
        .hint("Write `ftp://user@host:21/srv/backups`, and `%40` for an `@` inside a name.")
}
