//! The command that writes an object out without Windlass, for RESTORE.txt.

use crate::options::{Security, Settings};

/// `curl` asks for the password itself: none stands in it.
pub fn command(settings: &Settings, path: &str) -> String {
    let host =
        if settings.host.contains(':') { format!("[{}]", settings.host) } else { settings.host.clone() };
    let (scheme, security) = match settings.tls {
        Security::Implicit => ("ftps", ""),
        Security::Explicit => ("ftp", "--ssl-reqd "),
        Security::Off => ("ftp", ""),
    };
    let authority = settings.ca_file.as_ref();
    let authority = authority
        .map_or_else(String::new, |file| format!("--cacert {} ", quoted(&file.display().to_string())));
    // To curl a path begins in the user's folder; one slash more, encoded, makes it absolute.
    let path = path.strip_prefix('/').map_or_else(|| escaped(path), |rest| format!("%2F{}", escaped(rest)));
    let url = format!("{scheme}://{host}:{}/{path}", settings.port);
    format!("curl -sS {security}{authority}--user {} {}", quoted(&settings.user), quoted(&url))
}

/// For a URL.
fn escaped(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte);
    path.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// For the shell.
fn quoted(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"%@:/._-".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
