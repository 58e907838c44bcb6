//! One request, with a token where it goes to the service itself, and its answer.
//!
//! Two things are put right here and asked again at once: a token that is no longer good, and a kept connection that is no
//! longer there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::Value;
use windlass_object::oauth::Tokens;
use windlass_object::{Answer, Http, unavailable};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::Address;
use crate::errors::{may_be_expired, refused};

/// A request to be made.
pub struct Ask {
    method: Method,
    url: String,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
    /// Statuses that are answers, beside those of success.
    expected: &'static [u16],
}

impl Ask {
    pub fn new(method: Method, url: String) -> Self {
        Self { method, url, headers: Vec::new(), body: Bytes::new(), expected: &[] }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn bytes(self, bytes: Bytes) -> Self {
        let ask = self.header("content-type", "application/octet-stream");
        Self { body: bytes, ..ask }
    }

    pub fn document(self, document: &Value) -> Self {
        let ask = self.header("content-type", "application/json");
        Self { body: document.to_string().into(), ..ask }
    }

    pub fn expect(mut self, statuses: &'static [u16]) -> Self {
        self.expected = statuses;
        self
    }
}

/// Sends requests for one drive.
pub struct Requests {
    pub address: Address,
    pub http: Arc<Http>,
    tokens: Tokens,
}

impl Requests {
    pub fn new(address: Address, http: Arc<Http>, tokens: Tokens) -> Self {
        Self { address, http, tokens }
    }

    /// The answer, if it is one of success or an expected one.
    pub async fn send(&self, ask: Ask) -> Result<Answer> {
        let mut renewed = false;
        loop {
            let token = self.tokens.token().await?;
            let answer = self.ask(&ask, Some(&token)).await?;
            let status = answer.status;
            if status.is_success() || ask.expected.contains(&status.as_u16()) {
                return Ok(answer);
            }
            let retry_after = answer.retry_after();
            let error = refused(status, &answer.text().await.unwrap_or_default(), retry_after);
            if renewed || !may_be_expired(status) || !self.tokens.renew(&token).await? {
                return Err(error);
            }
            renewed = true;
        }
    }

    /// What lies at the address of a download. The address itself says who may: it is asked without a token, for it may be
    /// another company's.
    pub async fn fetch(&self, place: &str, range: &str) -> Result<Answer> {
        if !self.address.may_ask(place, false) {
            return Err(Error::failed("the service named no place for the download"));
        }
        let ask = Ask::new(Method::GET, place.to_owned()).header("range", range).expect(&[416]);
        let answer = self.ask(&ask, None).await?;
        match answer.status.as_u16() {
            200..=299 | 416 => Ok(answer),
            // It is good for an hour or so; a new one is had by asking again.
            401 | 403 | 404 | 410 => Err(unavailable("the address of the download is no longer good")),
            _ => {
                let retry_after = answer.retry_after();
                Err(refused(answer.status, &answer.text().await.unwrap_or_default(), retry_after))
            }
        }
    }

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
    if matches!(ask.method, Method::PUT | Method::POST | Method::PATCH) {
        request = request.header(header::CONTENT_LENGTH, ask.body.len());
    }
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    if let Some(token) = token {
        let unusable = |_| Error::new(ErrorKind::Config, "the token has signs that no token has");
        let mut value = http::HeaderValue::from_str(&format!("Bearer {token}")).map_err(unusable)?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    // The address of a download is a secret: the cause isn't repeated.
    request.body(ask.body.clone()).map_err(|_| Error::failed("a request couldn't be formed"))
}
