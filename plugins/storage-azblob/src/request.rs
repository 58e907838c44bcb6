//! One signed request and its answer.
//!
//! Bodies that hold an object's bytes go with their MD5, so that the service refuses bytes that changed on the way. One thing
//! is put right here and asked again at once: a key or token that is no longer good.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Method, Request};
use md5::{Digest, Md5};
use windlass_object::{Answer, Http};
use windlass_plugin_api::{Error, Result};

use crate::address::Address;
use crate::credentials::Credentials;
use crate::errors::{may_be_expired, refused};
use crate::xml;

/// The first version that knows immutability in the requests that store, and all else that is asked for here.
const VERSION: &str = "2021-12-02";

/// Hashes of less than this are made at once, others on a thread that may be busy.
const SMALL: usize = 256 * 1024;

/// A request to be made.
pub struct Ask<'a> {
    pub method: Method,
    /// `None`: about the container.
    pub key: Option<&'a str>,
    pub query: Vec<(&'a str, &'a str)>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Statuses that are answers, beside those of success.
    pub expected: &'static [u16],
}

impl<'a> Ask<'a> {
    pub fn new(method: Method, key: Option<&'a str>) -> Self {
        Self { method, key, query: Vec::new(), headers: Vec::new(), body: Bytes::new(), expected: &[] }
    }

    pub fn query(mut self, name: &'a str, value: &'a str) -> Self {
        self.query.push((name, value));
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn headers(mut self, headers: Vec<(&'static str, String)>) -> Self {
        self.headers.extend(headers);
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

/// Sends requests to one container.
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
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let md5 = md5(&ask.body).await?;
        let mut renewed = false;
        loop {
            let (request, used) = self.signed(&ask, md5.as_deref()).await?;
            let answer = self.http.send(request).await?;
            if answer.status.is_success() || ask.expected.contains(&answer.status.as_u16()) {
                return Ok(answer);
            }
            let error = refusal(answer).await;
            if renewed || !may_be_expired(&error) || !self.credentials.renew(used).await? {
                return Err(error);
            }
            renewed = true;
        }
    }

    async fn signed(&self, ask: &Ask<'_>, md5: Option<&str>) -> Result<(Request<Bytes>, u64)> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(self.address.url(ask.key, &ask.query))
            .header("x-ms-version", VERSION);
        if ask.method == Method::PUT {
            request = request.header("content-length", ask.body.len());
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(md5) = md5 {
            request = request.header("content-md5", md5);
        }
        let request = request.body(());
        let request =
            request.map_err(|error| Error::failed("a request couldn't be formed").because(&error))?;
        let (mut parts, ()) = request.into_parts();
        let used = self.credentials.sign(&mut parts).await?;
        Ok((Request::from_parts(parts, ask.body.clone()), used))
    }
}

/// What a refusing answer says.
pub async fn refusal(answer: Answer) -> Error {
    let (status, retry_after) = (answer.status, answer.retry_after());
    let code = answer.header("x-ms-error-code").unwrap_or_default().to_owned();
    let told: xml::Refusal = xml::read(&answer.text().await.unwrap_or_default()).unwrap_or_default();
    let code = if code.is_empty() { told.code } else { code };
    refused(status, &code, &told.message, retry_after)
}

async fn md5(body: &Bytes) -> Result<Option<String>> {
    if body.is_empty() {
        return Ok(None);
    }
    let bytes = body.clone();
    let hash = move || BASE64.encode(Md5::digest(&bytes));
    if body.len() < SMALL {
        return Ok(Some(hash()));
    }
    let hashed = tokio::task::spawn_blocking(hash).await;
    Ok(Some(hashed.map_err(|error| Error::failed("hashing failed").because(&error))?))
}
