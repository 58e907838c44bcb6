//! `sftp://user@host:port/path?option=value`: taken apart into options. Nothing of it is told when it is wrong, for it may
//! hold a password.

use windlass_folder::address::{Address, set};
use windlass_plugin_api::{Error, Result};

use crate::options::{File, Options, wrong};

/// Puts what the URL says into `options`; what is in both is an error.
pub(crate) fn merge(url: &str, options: &mut Options) -> Result<()> {
    let rest = strip_scheme(url).ok_or_else(unclear)?;
    let said = Address::read(rest).ok_or_else(unclear)?;
    set("host", &mut options.host, Some(said.host))?;
    set("port", &mut options.port, said.port)?;
    set("user", &mut options.user, said.user)?;
    set("password", &mut options.password, said.password)?;
    set("path", &mut options.path, said.path)?;
    said.options.into_iter().try_for_each(|(key, value)| option(&key, value, options))
}

fn strip_scheme(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    scheme.eq_ignore_ascii_case("sftp").then_some(rest)
}

fn option(key: &str, value: String, options: &mut Options) -> Result<()> {
    let number = || value.parse().map_err(|_| wrong(format!("`{key}` in the URL isn't a number")));
    let is_true =
        || value.parse().map_err(|_| wrong(format!("`{key}` in the URL is neither `true` nor `false`")));
    match key {
        "key_file" => set(key, &mut options.key_file, Some(value.into()))?,
        "host_key" => set(key, &mut options.host_key, Some(value))?,
        "known_hosts" => options.known_hosts.get_or_insert_default().push(File(value.into())),
        "create_root" => options.create_root = is_true()?,
        "agent" => options.agent = is_true()?,
        "connect_timeout" => options.connect_timeout = number()?,
        "timeout" => options.timeout = number()?,
        "keepalive" => options.keepalive = number()?,
        _ => {
            return Err(wrong("the URL has an option that isn't known there").hint(
                "Known are `key_file`, `host_key`, `known_hosts`, `create_root`, `agent`, `connect_timeout`, `timeout` \
                 and `keepalive`.",
            ));
        }
    }
    Ok(())
}

fn unclear() -> Error {
    wrong("the `url` can't be understood")
        .hint("Write `sftp://user@host:22/srv/backups`, and `%40` for an `@` inside a name.")
}
