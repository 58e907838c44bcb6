//! How a program is told where the server is and who asks: by arguments, but for the password, which goes by an option file.

use std::env;
use std::path::{Path, PathBuf};

use crate::options::{Options, Tls};
use crate::url::Parts;

/// The arguments that say where the server is, who asks, and how much of TLS there must be.
pub(crate) fn address(options: &Options, parts: &Parts) -> Vec<String> {
    let mut args = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        args.extend(value.map(|value| format!("--{name}={value}")));
    };
    let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
    add("host", parts.host.clone().filter(|_| options.socket.is_none()));
    add("port", parts.port.map(|port| port.to_string()));
    add("socket", path(&options.socket));
    // `localhost` means the socket to these programs, also with a port.
    if parts.port.is_some() && options.socket.is_none() {
        add("protocol", Some("TCP".to_owned()));
    }
    add("user", parts.user.clone());
    add("ssl-ca", path(&options.tls_ca));
    add("ssl-cert", path(&options.tls_cert));
    add("ssl-key", path(&options.tls_key));
    match options.tls {
        None => {}
        Some(Tls::Disable) => args.push("--skip-ssl".to_owned()),
        Some(Tls::Require) => args.push("--ssl".to_owned()),
        Some(Tls::Verify) => args.extend(["--ssl".to_owned(), "--ssl-verify-server-cert".to_owned()]),
    }
    args
}

/// An option file that says the password after all that the programs would read by themselves.
pub(crate) fn option_file(options: &Options, password: &str) -> String {
    let home = options.env.get("HOME").map(PathBuf::from).or_else(|| env::var_os("HOME").map(PathBuf::from));
    let home = home.map(|home| home.join(".my.cnf"));
    let files = ["/etc/my.cnf", "/etc/mysql/my.cnf"].map(PathBuf::from).into_iter().chain(home);
    let includes: String = files
        .filter(|file| is_plain(file) && file.is_file())
        .map(|file| format!("!include {}\n", file.display()))
        .collect();
    let escaped: String = password
        .chars()
        .map(|c| match c {
            '\\' | '"' => format!("\\{c}"),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("{includes}[client]\npassword=\"{escaped}\"\n")
}

/// A path that an option file can name.
fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|path| !path.contains(['\n', '\r']))
}
