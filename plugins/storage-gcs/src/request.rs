//! One request with a token, and its answer.
//!
//! Two things are put right here and asked again at once: a token that is no longer good, and a kept connection that is no
//! longer there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use windlass_object::{Answer, Http};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::Address;
use crate::credentials::Credentials;
use crate::errors::{may_be_expired, refused};

/// A request to be made.
pub struct Ask {
    pub method: Method,
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Statuses that are answers, beside those of success.
    pub expected: &'static [u16],
    /// The URL itself says who we are: that of an upload does.
    pub is_open: bool,
}

impl Ask {
    pub fn new(method: Method, url: String) -> Self {
        Self { method, url, headers: Vec::new(), body: Bytes::new(), expected: &[], is_open: false }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn expect(mut self, statuses: &'static [u16]) -> Self {
        self.expected = statuses;
        self
    }

    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }
}

/// Sends requests to one bucket.
pub struct Requests {
    pub address: Address,
    pub http: Arc<Http>,
    credentials: Credentials,
}

impl Requests {
    pub fn new(address: Address, http: Arc<Http>, credentials: Credentials) -> Self {
        Self { address, http, credentials }
    }

    /// The answer, if it is one of success or an expected one.
    pub async fn send(&self, ask: Ask) -> Result<Answer> {
        let mut renewed = false;
        loop {
            let token = if ask.is_open { None } else { self.credentials.token().await? };
            let answer = self.ask(&ask, token.as_deref()).await?;
            let status = answer.status;
            if status.is_success() || ask.expected.contains(&status.as_u16()) {
                return Ok(answer);
            }
            if !renewed && may_be_expired(status) && self.credentials.renew(token.as_deref()).await? {
                renewed = true;
                continue;
            }
            let retry_after = answer.retry_after();
            return Err(refused(status, &answer.text().await.unwrap_or_default(), retry_after));
        }
    }
}

impl Requests {
    /// A connection that was kept may be closed by the service at the very moment that it is used again: who only reads asks
    /// once more at once.
    async fn ask(&self, ask: &Ask, token: Option<&str>) -> Result<Answer> {
        match self.http.send(formed(ask, token)?).await {
            Err(error) if error.kind == ErrorKind::Unavailable && ask.method == Method::GET => {
                self.http.send(formed(ask, token)?).await
            }
            answer => answer,
        }
    }
}

fn formed(ask: &Ask, token: Option<&str>) -> Result<Request<Bytes>> {
    let mut request = Request::builder().method(ask.method.clone()).uri(&ask.url);
    if matches!(ask.method, Method::PUT | Method::POST) {
        request = request.header("content-length", ask.body.len());
    }
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    if let Some(token) = token {
        let unusable = |_| Error::new(ErrorKind::Config, "the token has signs that no token has");
        let mut value = http::HeaderValue::from_str(&format!("Bearer {token}")).map_err(unusable)?;
        value.set_sensitive(true);
        request = request.header(http::header::AUTHORIZATION, value);
    }
    // The URL of an upload is a secret: the cause isn't repeated.
    request.body(ask.body.clone()).map_err(|_| Error::failed("a request couldn't be formed"))
}
