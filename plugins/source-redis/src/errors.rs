//! What an error reply of the server means to us.
//!
//! A server may repeat the arguments of a command in its reply: whoever sends a secret doesn't pass the text on.

use windlass_plugin_api::{Error, ErrorKind};

/// An error reply without its leading `-`, to the command `what`.
pub fn from_reply(what: &str, text: &str) -> Error {
    let code = text.split(' ').next().unwrap_or_default();
    let kind = match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" => ErrorKind::Denied,
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "NOMASTERLINK" | "CLUSTERDOWN" => {
            ErrorKind::Unavailable
        }
        "OOM" => ErrorKind::Full,
        "MOVED" | "ASK" | "CROSSSLOT" => ErrorKind::Unsupported,
        "BUSYKEY" => ErrorKind::Refused,
        _ => ErrorKind::Failed,
    };
    let error = Error::new(kind, format!("the server refuses `{what}`: {text}"));
    match code {
        "NOAUTH" => error.hint("Set `password`, and `user` if the server has ACL users."),
        "NOPERM" => error.hint("Give the ACL user the rights that the documentation of the source lists."),
        "LOADING" => error.hint("The server is still loading its data: try again later."),
        "NOMASTERLINK" => {
            error.hint("The server is a replica without a link to its master: back up the master.")
        }
        "OOM" => error.hint("The server's `maxmemory` is too small for the snapshot."),
        "READONLY" => error.hint("The server is a replica: restore to its master."),
        "MOVED" | "CROSSSLOT" => {
            error.hint("The server is a node of a cluster: restore to a server that isn't.")
        }
        "MISCONF" => error.hint("The server couldn't save its last RDB: look into its log."),
        "BUSYKEY" => error.hint("Somebody wrote to the target meanwhile; stop that, or use another mode."),
        _ => error,
    }
}

/// The server has gone, or never came.
pub fn closed(doing: &str) -> Error {
    Error::new(ErrorKind::Unavailable, format!("the server closed the connection {doing}"))
        .hint("Its log says why.")
}
