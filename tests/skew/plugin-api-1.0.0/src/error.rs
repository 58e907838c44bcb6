//! The one error type that crosses between plugins and the host.
//!
//! An error says what failed and of what kind it is; the host adds where (pipeline, stage, plugin@version).
//! It doesn't carry a backtrace and no type of a dependency: it crosses the ABI as a document.

use std::collections::BTreeMap;
use std::{fmt, io};

use serde::{Deserialize, Serialize};

/// A result whose error can cross the ABI.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What sort of failure it was: the host chooses the exit code, the retry and the hint by it, never by the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option is wrong: the user must edit the config. Exit 2.
    Config,
    /// What was asked for isn't there: an object, a table, a file.
    NotFound,
    /// It is already there and must not be replaced.
    AlreadyExists,
    /// Rights are missing.
    Denied,
    /// No space or quota left.
    Full,
    /// Out of reach for now; trying again may help.
    Unavailable,
    /// The bytes aren't what was stored: truncated, garbage, a checksum that differs. Exit 4 on restore and verify.
    Damaged,
    /// Safe to do only with the user's consent: a target that isn't empty, sessions that would be cut. Exit 12.
    Refused,
    /// The plugin, server or format can't do this.
    Unsupported,
    /// The run was cancelled ([`Context::cancelled`](crate::Context::cancelled)).
    Cancelled,
    /// A time limit passed.
    TimedOut,
    /// The plugin broke its contract: it panicked, or lied about a count. Its instance isn't used again.
    Broken,
    /// Anything that no other kind names. Also what an unknown kind of a newer plugin reads as.
    #[default]
    #[serde(other)]
    Failed,
}

/// A failure: kind, message, causes from the outermost to the root, and a hint.
///
/// Messages are lower case, without a full stop, with values in backticks; the hint is a sentence.
///
/// ```
/// use windlass_plugin_api::{Error, ErrorKind};
/// let error = Error::new(ErrorKind::NotFound, "no database `shop`").hint("List them with `psql -l`.");
/// assert_eq!(error.to_string(), "no database `shop`");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// What sort of failure.
    #[serde(default)]
    pub kind: ErrorKind,
    /// What failed, in one line.
    #[serde(default)]
    pub message: String,
    /// Why, outermost first. May be empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What the user can do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The operating system's error number, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_error: Option<i32>,
    /// More facts by name (`stderr`, `exit_status`, …). Unknown keys of a newer side are kept here.
    #[serde(flatten)]
    pub details: BTreeMap<String, serde_json::Value>,
}

impl Error {
    /// An error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            os_error: None,
            details: BTreeMap::new(),
        }
    }

    /// An error of kind [`Failed`](ErrorKind::Failed).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, message)
    }

    /// An error of kind [`Damaged`](ErrorKind::Damaged).
    pub fn damaged(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Damaged, message)
    }

    /// An error of kind [`Cancelled`](ErrorKind::Cancelled).
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled, "cancelled")
    }

    /// Adds what the user can do, as a sentence. A hint that is already there stays: it is nearer to the cause.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Says what was being done when this error came: `message` becomes the headline, the old one its first cause.
    /// Kind, hint and details stay.
    #[must_use]
    pub fn during(mut self, message: impl Into<String>) -> Self {
        let cause = std::mem::replace(&mut self.message, message.into());
        self.causes.insert(0, cause);
        self
    }

    /// Adds `error` and its sources as causes.
    #[must_use]
    pub fn because(mut self, error: &dyn std::error::Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            // Wrappers that repeat their source's text would say everything twice.
            if self.causes.last().is_none_or(|last| !last.contains(&text)) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds a fact by name.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    /// The whole of it in one line: the message, then the causes.
    pub fn one_line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(cause);
        }
        line.replace('\n', " ")
    }

    /// `self` as an [`io::Error`] that carries this error whole: [`Error::from`] gets it back.
    pub fn into_io(self) -> io::Error {
        let kind = match self.kind {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::Denied => io::ErrorKind::PermissionDenied,
            ErrorKind::Full => io::ErrorKind::StorageFull,
            ErrorKind::Damaged => io::ErrorKind::InvalidData,
            ErrorKind::TimedOut => io::ErrorKind::TimedOut,
            ErrorKind::Unsupported => io::ErrorKind::Unsupported,
            // Never `Interrupted`: std's copy loops would try again for ever.
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, self)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        error.into_io()
    }
}

impl From<io::Error> for Error {
    /// Gets back an [`Error`] that travelled inside, however many `io::Error`s deep; otherwise maps the kind.
    fn from(error: io::Error) -> Self {
        let os_error = error.raw_os_error();
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            io::ErrorKind::AlreadyExists => ErrorKind::AlreadyExists,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                ErrorKind::Full
            }
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => ErrorKind::Damaged,
            io::ErrorKind::TimedOut => ErrorKind::TimedOut,
            io::ErrorKind::Unsupported => ErrorKind::Unsupported,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::NotConnected
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable => ErrorKind::Unavailable,
            _ => ErrorKind::Failed,
        };
        let text = error.to_string();
        match error.into_inner() {
            Some(inner) => match inner.downcast::<Error>() {
                Ok(ours) => *ours,
                Err(inner) => match inner.downcast::<io::Error>() {
                    Ok(deeper) => Error::from(*deeper),
                    Err(inner) => {
                        let mut mapped = Error::new(kind, text);
                        if let Some(source) = inner.source() {
                            mapped = mapped.because(source);
                        }
                        mapped
                    }
                },
            },
            None => Error { os_error, ..Error::new(kind, text) },
        }
    }
}

/// Says what was being done, where an error passes by.
pub trait During<T> {
    /// See [`Error::during`].
    fn during(self, message: impl Into<String>) -> Result<T>;
    /// As [`during`](Self::during), for a message that costs something to make.
    fn during_with<S: Into<String>>(self, message: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<Error>> During<T> for std::result::Result<T, E> {
    fn during(self, message: impl Into<String>) -> Result<T> {
        self.map_err(|error| error.into().during(message))
    }

    fn during_with<S: Into<String>>(self, message: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| error.into().during(message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_survives_two_layers_of_io_errors() {
        let error =
            Error::new(ErrorKind::Full, "no space left").hint("Free some.").detail("stage", "storage");
        let wrapped = io::Error::other(error.clone().into_io());
        assert_eq!(Error::from(wrapped), error);
    }

    #[test]
    fn an_os_error_keeps_its_number_and_kind() {
        let error = Error::from(io::Error::from_raw_os_error(28));
        assert_eq!((error.kind, error.os_error), (ErrorKind::Full, Some(28)));
    }

    #[test]
    fn an_unknown_kind_reads_as_failed_and_unknown_keys_are_kept() {
        let error: Error = serde_json::from_str(r#"{"kind":"of-2031","message":"m","zone":"a"}"#).unwrap();
        assert_eq!(error.kind, ErrorKind::Failed);
        assert_eq!(error.details["zone"], "a");
    }

    #[test]
    fn a_cause_is_said_after_the_headline() {
        let error = Error::failed("disk gone").during("can't write `a`");
        assert_eq!(error.to_string(), "can't write `a`: disk gone");
    }
}
