//! One request with a token, and its answer.
//!
//! Two things are put right here and asked again at once: a token that is no longer good, and a kept connection that is no
//! longer there.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, header};
use serde_json::Value;
use windlass_object::oauth::Tokens;
use windlass_object::{Answer, Http};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{Address, header_safe};
use crate::errors::{may_be_expired, refused};

/// A request to be made.
pub struct Ask {
    url: String,
    argument: Value,
    /// The argument goes in a header then, for the body is a file's.
    content: Option<Bytes>,
    range: Option<String>,
    /// It changes nothing, so that it may be sent twice.
    is_question: bool,
}

impl Ask {
    pub fn range(mut self, from: u64, length: u64) -> Self {
        let last = from.saturating_add(length).saturating_sub(1);
        self.range = Some(format!("bytes={from}-{last}"));
        self
    }

    pub fn question(mut self) -> Self {
        self.is_question = true;
        self
    }
}

/// Sends requests for one account.
pub struct Requests {
    pub address: Address,
    pub http: Arc<Http>,
    tokens: Tokens,
}

impl Requests {
    pub fn new(address: Address, http: Arc<Http>, tokens: Tokens) -> Self {
        Self { address, http, tokens }
    }

    /// A call whose argument is its body.
    pub fn call(&self, name: &str, argument: Value) -> Ask {
        Ask { url: self.address.api(name), argument, content: None, range: None, is_question: false }
    }

    /// A call that takes or gives bytes of a file.
    pub fn content(&self, name: &str, argument: Value, bytes: Bytes) -> Ask {
        let url = self.address.content(name);
        Ask { url, argument, content: Some(bytes), range: None, is_question: false }
    }

    /// The answer, if it is one of success, or says that a range lies behind the end.
    pub async fn send(&self, ask: Ask) -> Result<Answer> {
        let mut renewed = false;
        loop {
            let token = self.tokens.token().await?;
            let answer = self.ask(&ask, &token).await?;
            let status = answer.status;
            if status.is_success() || status.as_u16() == 416 && ask.range.is_some() {
                return Ok(answer);
            }
            let retry_after = answer.retry_after();
            let error = refused(status, &answer.text().await.unwrap_or_default(), retry_after);
            if renewed || !may_be_expired(&error) || !self.tokens.renew(&token).await? {
                return Err(error);
            }
            renewed = true;
        }
    }

    /// A connection that was kept may be closed by the service at the very moment that it is used again: who only asks does so
    /// once more at once.
    async fn ask(&self, ask: &Ask, token: &str) -> Result<Answer> {
        match self.http.send(formed(ask, token)?).await {
            Err(error) if error.kind == ErrorKind::Unavailable && ask.is_question => {
                self.http.send(formed(ask, token)?).await
            }
            answer => answer,
        }
    }
}

fn formed(ask: &Ask, token: &str) -> Result<Request<Bytes>> {
    let mut request = Request::builder().method(Method::POST).uri(&ask.url);
    let body = match &ask.content {
        Some(bytes) => {
            request = request
                .header("dropbox-api-arg", header_safe(&ask.argument))
                .header(header::CONTENT_TYPE, "application/octet-stream");
            bytes.clone()
        }
        None => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            ask.argument.to_string().into()
        }
    };
    request = request.header(header::CONTENT_LENGTH, body.len());
    if let Some(range) = &ask.range {
        request = request.header(header::RANGE, range);
    }
    let unusable = |_| Error::new(ErrorKind::Config, "the token has signs that no token has");
    let mut value = http::HeaderValue::from_str(&format!("Bearer {token}")).map_err(unusable)?;
    value.set_sensitive(true);
    let request = request.header(header::AUTHORIZATION, value).body(body);
    request.map_err(|error| Error::failed("a request couldn't be formed").because(&error))
}
