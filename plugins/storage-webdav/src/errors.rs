//! What the server refuses, in our words. The kind is chosen by the status.

use http::StatusCode;
use windlass_plugin_api::{Error, ErrorKind};

/// The detail that an error has where the server has answered: then it is known that nothing was done.
pub const STATUS: &str = "status";

/// An error for an answer that refuses. `what` names the request.
pub fn refused(status: StatusCode, what: &str, retry_after: Option<u64>) -> Error {
    judged(status, what, retry_after).detail(STATUS, status.as_u16())
}

fn judged(status: StatusCode, what: &str, retry_after: Option<u64>) -> Error {
    let reason = status.canonical_reason().unwrap_or("an unknown status");
    let text = format!("the server answers {what} with {} {reason}", status.as_u16());
    // Another request holds it for a moment.
    let is_locked = status == StatusCode::LOCKED;
    let passing = if is_locked { StatusCode::SERVICE_UNAVAILABLE } else { status };
    if let Some(error) = windlass_object::http::passing(passing, retry_after, text.clone()) {
        return error;
    }
    let kind = match status.as_u16() {
        401 | 403 | 407 => ErrorKind::Denied,
        404 | 410 => ErrorKind::NotFound,
        412 => ErrorKind::AlreadyExists,
        507 => ErrorKind::Full,
        405 | 411 | 413 | 501 => ErrorKind::Unsupported,
        301 | 302 | 307 | 308 => ErrorKind::Config,
        _ => ErrorKind::Failed,
    };
    let error = Error::new(kind, text);
    match hint(status) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn hint(status: StatusCode) -> Option<&'static str> {
    Some(match status.as_u16() {
        401 => "Look at `user` and `password`, or `bearer_token`; many services want an app password.",
        403 => "The user lacks a right in this folder, or the server offers it only for reading.",
        301 | 302 | 307 | 308 => "The folder is elsewhere: set `url` to the address that a browser ends at.",
        405 | 501 => "Is there WebDAV at `url`, and not only a web page?",
        411 => {
            "The server takes no chunked uploads: raise `part_size` above the largest object, or have the proxy before it changed."
        }
        413 => "The server, or the proxy before it, limits the size of uploads: raise that limit.",
        507 => "Free some room, or raise the quota.",
        _ => return None,
    })
}

/// What it means that the top folder isn't there.
pub fn no_folder(shown: &str) -> Error {
    Error::new(ErrorKind::Config, format!("there is no folder `{shown}`"))
        .hint("Make the folder, or correct `url`: an address that is mistyped isn't made on its own.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_decides_the_kind_and_what_can_be_done_is_told() {
        for (status, kind, hint) in [
            (401, ErrorKind::Denied, "app password"),
            (403, ErrorKind::Denied, "right"),
            (404, ErrorKind::NotFound, ""),
            (412, ErrorKind::AlreadyExists, ""),
            (423, ErrorKind::Unavailable, ""),
            (503, ErrorKind::Unavailable, ""),
            (507, ErrorKind::Full, "quota"),
            (411, ErrorKind::Unsupported, "part_size"),
            (413, ErrorKind::Unsupported, "limit"),
            (301, ErrorKind::Config, "url"),
            (400, ErrorKind::Failed, ""),
        ] {
            let error = refused(StatusCode::from_u16(status).unwrap(), "a PUT", None);
            assert_eq!(error.kind, kind, "{status}");
            assert!(error.hint.unwrap_or_default().contains(hint), "{status}");
        }
        let busy = refused(StatusCode::SERVICE_UNAVAILABLE, "a PUT", Some(7));
        assert_eq!(busy.details[windlass_object::RETRY_AFTER], 7);
        assert_eq!(busy.to_string(), "the server answers a PUT with 503 Service Unavailable");
    }
}
