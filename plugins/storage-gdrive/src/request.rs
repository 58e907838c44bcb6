//! One request with a token, and its answer; and how queries are written.
//!
//! One thing is put right here and asked again at once: a token that is no longer good.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use windlass_object::oauth::Tokens;
use windlass_object::{Answer, Http};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::errors::{may_be_expired, refused};

/// All but what every part of a URL takes as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

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

    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub fn expect(mut self, statuses: &'static [u16]) -> Self {
        self.expected = statuses;
        self
    }
}

/// What requests need.
pub struct Requests {
    pub http: Arc<Http>,
    tokens: Tokens,
    endpoint: String,
}

impl Requests {
    pub fn new(http: Arc<Http>, tokens: Tokens, endpoint: &str) -> Self {
        Self { http, tokens, endpoint: endpoint.trim_end_matches('/').to_owned() }
    }

    /// A URL of the API. Shared drives are asked for everywhere: without that their files don't exist.
    pub fn url(&self, place: &str, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}/{place}?supportsAllDrives=true", self.endpoint);
        for (name, value) in query {
            url.push('&');
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, ENCODED));
        }
        url
    }

    /// Whether bytes and tokens may be sent there: the service names the place of an upload itself.
    pub fn may_send_to(&self, place: &str) -> bool {
        place.starts_with("https://") || self.endpoint.starts_with("http://") && place.starts_with("http://")
    }

    /// The answer, if its status is one of success or an expected one.
    pub async fn send(&self, ask: Ask) -> Result<Answer> {
        let mut renewed = false;
        loop {
            let token = self.tokens.token().await?;
            let answer = self.http.send(formed(&ask, &token)?).await?;
            let status = answer.status;
            if status.is_success() || ask.expected.contains(&status.as_u16()) {
                return Ok(answer);
            }
            if !renewed && may_be_expired(status) && self.tokens.renew(&token).await? {
                renewed = true;
                continue;
            }
            let retry_after = answer.retry_after();
            return Err(refused(status, &answer.text().await.unwrap_or_default(), retry_after));
        }
    }
}

/// An answer that is a document.
pub async fn read<T: DeserializeOwned>(answer: Answer) -> Result<T> {
    serde_json::from_str(&answer.text().await?)
        .map_err(|error| Error::failed("the service's answer can't be read").because(&error))
}

/// A text as queries have it.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

fn formed(ask: &Ask, token: &str) -> Result<Request<Bytes>> {
    let mut request = Request::builder().method(ask.method.clone()).uri(&ask.url);
    if matches!(ask.method, Method::PUT | Method::POST) {
        request = request.header(header::CONTENT_LENGTH, ask.body.len());
    }
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let unusable = |_| Error::new(ErrorKind::Config, "the token has signs that no token has");
    let mut value = http::HeaderValue::from_str(&format!("Bearer {token}")).map_err(unusable)?;
    value.set_sensitive(true);
    // The URL of an upload is a secret: the cause isn't repeated.
    request
        .header(header::AUTHORIZATION, value)
        .body(ask.body.clone())
        .map_err(|_| Error::failed("a request couldn't be formed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_text_of_a_query_is_escaped() {
        assert_eq!(quoted(r"it's a\b"), r"'it\'s a\\b'");
    }
}
