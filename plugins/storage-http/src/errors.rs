//! What the server refuses, in our words. The kind is chosen by the status.

use http::StatusCode;
use windlass_plugin_api::{Error, ErrorKind};

/// An error for an answer that refuses.
pub fn refused(status: StatusCode, retry_after: Option<u64>) -> Error {
    let reason = status.canonical_reason().unwrap_or("an unknown status");
    let text = format!("the server answers {} {reason}", status.as_u16());
    if let Some(error) = windlass_object::http::passing(status, retry_after, text.clone()) {
        return error;
    }
    let kind = match status.as_u16() {
        401 | 403 | 407 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        405 | 501 => ErrorKind::Unsupported,
        _ => ErrorKind::Failed,
    };
    let error = Error::new(kind, text);
    match status.as_u16() {
        401 => error.hint("Look at `user` and `password`, or `bearer_token`."),
        403 => error.hint(
            "Does the server show this to us? Of a folder it also says so where listings are switched off.",
        ),
        _ => error,
    }
}

/// A folder is there, and the server shows no page that lists it.
pub fn no_listing(shown: &str) -> Error {
    Error::new(ErrorKind::Unsupported, format!("the server shows no listing of `{shown}`")).hint(
        "Switch listings on: `autoindex on;` (nginx), `Options +Indexes` (Apache), `file_server browse` (Caddy); and let no `index.html` \
         lie in the folder.",
    )
}

/// The top folder isn't there.
pub fn no_folder(shown: &str) -> Error {
    Error::new(ErrorKind::Config, format!("there is no folder `{shown}`"))
        .hint("Correct `url`: it is what a browser shows the folder under.")
}
