//! The HTTP client of all services: TLS, proxies of the environment, time limits, and errors of the line by kind.
//!
//! It retries nothing and follows no redirect: a signed request is valid for one host. What a status means is known to
//! the service.

mod flow;

use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::retry::{LONGEST, RETRY_AFTER};
use crate::service::unavailable;

pub use flow::{Flow, FlowEnd};

/// Of an answer that isn't an object: listings are smaller, and a server can't fill our memory.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A request with a body is given a second more for so many bytes: slower lines than 400 kbit/s are not waited for. That
/// goes for the whole of its body, for it isn't seen how much of it the line has taken.
const SLOWEST_BYTES_A_SECOND: u64 = 50_000;

/// No skew is known.
const UNKNOWN: i64 = i64::MIN;

/// How requests are made.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Certificates in PEM form that the service's is judged by, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a connection may take to come to be.
    pub connect_timeout: Duration,
    /// How long the service may be silent. A request with a body has longer, by its length.
    pub timeout: Duration,
    /// Every address is `http://`: no certificate is needed.
    pub plain: bool,
}

/// A client, made by its first request.
pub struct Http {
    options: HttpOptions,
    client: OnceLock<reqwest::Client>,
    skew: Arc<AtomicI64>,
}

/// An answer whose body hasn't been read.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: reqwest::Response,
    /// How long nothing of the body may come.
    patience: Duration,
}

impl Http {
    /// A client that has connected to nothing yet.
    pub fn new(options: HttpOptions) -> Self {
        Self { options, client: OnceLock::new(), skew: Arc::new(AtomicI64::new(UNKNOWN)) }
    }

    fn client(&self) -> Result<&reqwest::Client> {
        if self.client.get().is_none() {
            let client = reqwest::Client::builder()
                .tls_backend_preconfigured(tls(&self.options)?)
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(self.options.connect_timeout)
                // No `read_timeout`: it would begin with the request and count the time in which its body goes up.
                .http1_only()
                .retry(reqwest::retry::never())
                .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| Error::failed("can't set the HTTP client up").because(&error))?;
            // Another thread may have been quicker.
            let _ = self.client.set(client);
        }
        self.client.get().ok_or_else(|| Error::failed("can't set the HTTP client up"))
    }

    /// Sends a request and waits for the head of the answer, whatever its status.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Answer> {
        let client = self.client()?;
        let place =
            request.uri().authority().map(|authority| authority.host().to_owned()).unwrap_or_default();
        let length = request.body().len() as u64;
        let patience = self.options.timeout + Duration::from_secs(length / SLOWEST_BYTES_A_SECOND);
        let request = reqwest::Request::try_from(request)
            .map_err(|error| Error::failed("a request couldn't be formed").because(&error))?;
        let sent = tokio::time::timeout(patience, client.execute(request)).await;
        let sent = sent.map_err(|_| late(format!("no answer from `{place}`"), patience))?;
        self.begun(sent, &place)
    }

    /// An answer of which the head is there.
    fn begun(&self, sent: reqwest::Result<reqwest::Response>, place: &str) -> Result<Answer> {
        let body = sent.map_err(|error| broken(&error, place))?;
        let (status, headers) = (body.status(), body.headers().clone());
        self.note_clock(&headers);
        Ok(Answer { status, headers, body, patience: self.options.timeout })
    }

    /// How many seconds the service's clock is ahead of ours, by its last answer.
    pub fn skew_seconds(&self) -> Option<i64> {
        Some(self.skew.load(Ordering::Relaxed)).filter(|skew| *skew != UNKNOWN)
    }

    fn note_clock(&self, headers: &HeaderMap) {
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let Some(theirs) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else { return };
        let seconds = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
        };
        self.skew.store(seconds(theirs) - seconds(SystemTime::now()), Ordering::Relaxed);
    }
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The next bytes of the body; `None` at its end. A body that ends too early or stands still is an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let came = tokio::time::timeout(self.patience, self.body.chunk()).await;
        let place = self.body.url().host_str().unwrap_or_default();
        came.map_err(|_| late(format!("`{place}` sent nothing more"), self.patience))?
            .map_err(|error| broken(&error, place))
    }

    /// The whole body of an answer that isn't an object.
    pub async fn text(mut self) -> Result<String> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if bytes.len() + chunk.len() > ANSWER_BYTES {
                return Err(Error::failed("the service's answer is too long to be one"));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Seconds that the service asks us to wait before the next attempt.
    pub fn retry_after(&self) -> Option<u64> {
        let value = self.header("retry-after")?;
        let date = || httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).ok();
        value.trim().parse().ok().or_else(|| Some(date()?.as_secs() + 1))
    }
}

/// An error for a status that means: not now. `None` for all others.
pub fn passing(status: StatusCode, retry_after: Option<u64>, message: impl Into<String>) -> Option<Error> {
    let passes = matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504);
    let error = passes.then(|| unavailable(message))?;
    let Some(seconds) = retry_after else { return Some(error) };
    let error = error.detail(RETRY_AFTER, seconds);
    let is_long = seconds > LONGEST.as_secs();
    let hint = || {
        format!(
            "The service asks to be left alone for {seconds} seconds, more than is waited before one attempt: run it again then."
        )
    };
    Some(if is_long { error.hint(hint()) } else { error })
}

/// Something took longer than it may.
fn late(what: impl std::fmt::Display, patience: Duration) -> Error {
    Error::new(ErrorKind::TimedOut, format!("{what} in {} seconds", patience.as_secs_f32().ceil()))
}

/// The line broke, or never came to be. The text of the client holds the URL, and that may hold a secret.
fn broken(error: &reqwest::Error, place: &str) -> Error {
    let mut causes: Vec<String> = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.dedup();
    let kind = if error.is_timeout() { ErrorKind::TimedOut } else { ErrorKind::Unavailable };
    let what = if error.is_connect() { "can't connect to" } else { "the connection broke to" };
    let told = Error { causes, ..Error::new(kind, format!("{what} `{place}`")) };
    match of_tls(error) {
        // Trying again changes no certificate.
        Some(rustls::Error::InvalidCertificate(_)) => Error { kind: ErrorKind::Denied, ..told }
            .hint("Is `ca_file` the authority of the service's certificate, and the name in `endpoint` the one in it?"),
        Some(rustls::Error::InvalidMessage(_)) => {
            Error { kind: ErrorKind::Config, ..told }.hint("Does the service speak TLS there? Otherwise write `http://`.")
        }
        _ if error.is_connect() => told.hint("Is the address right, and is the service up?"),
        _ => told,
    }
}

/// What TLS says, however deep it lies. An `io::Error` doesn't name what it wraps as its source.
fn of_tls<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(|io| io.get_ref());
    let wrapped = wrapped.and_then(|inner| of_tls(inner as &(dyn std::error::Error + 'static)));
    wrapped.or_else(|| of_tls(error.source()?))
}

fn tls(options: &HttpOptions) -> Result<ClientConfig> {
    let wrong = |message: String| Error::new(ErrorKind::Config, message);
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ca_file {
        let unreadable =
            |error: &dyn std::error::Error| wrong(format!("can't read `{}`", path.display())).because(error);
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        for certificate in read.map_err(|error| unreadable(&error))? {
            roots.add(certificate).map_err(|error| unreadable(&error))?;
        }
        if roots.is_empty() {
            return Err(wrong(format!("`{}` holds no certificate", path.display())));
        }
    } else if !options.plain {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(wrong("the system has no certificates to judge the service's by".to_owned())
                .hint("Name them with `ca_file`, or install the package `ca-certificates`."));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("can't set TLS up".to_owned()).because(&error))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_asks_for_more_time_than_it_is_given_is_told_with_it() {
        let busy = |seconds| passing(StatusCode::SERVICE_UNAVAILABLE, seconds, "busy").unwrap();
        assert!(busy(Some(3600)).hint.unwrap().contains("for 3600 seconds"));
        assert_eq!((busy(Some(60)).hint, busy(None).hint), (None, None));
        assert_eq!(busy(Some(60)).details[RETRY_AFTER], 60);
        assert!(passing(StatusCode::FORBIDDEN, Some(60), "no").is_none());
    }
}
