//! One signed request and its answer.
//!
//! Every body is signed by its hash. Not every service compares it, so a `content-md5` goes along with whatever is stored, which
//! all of them do compare. Buckets that lock objects by default refuse one that comes without a checksum, and nothing tells
//! beforehand that a bucket is such a one. `x-amz-checksum-sha256` would cost no second hash, but is younger than most of the
//! services that speak this protocol: they ignore it, refuse it, or want it again when an upload is completed. Two things are put right here and asked again at once: keys that are no longer good, and a wrong region.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Method, Request};
use md5::Md5;
use sha2::{Digest, Sha256};
use windlass_object::{Answer, Http};
use windlass_plugin_api::{Error, Result};

use crate::address::Address;
use crate::credentials::Credentials;
use crate::errors::{may_be_expired, refused, says_nothing};
use crate::xml;

/// Hashes of less than this are made at once, others on a thread that may be busy.
const SMALL: usize = 256 * 1024;

/// A request to be made.
pub struct Ask<'a> {
    pub method: Method,
    /// `None`: about the bucket.
    pub key: Option<&'a str>,
    pub query: Vec<(&'a str, &'a str)>,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Adds `content-md5`: to what is stored, and where the protocol demands one.
    pub with_md5: bool,
    /// Statuses that are answers, beside those of success.
    pub expected: &'static [u16],
}

impl<'a> Ask<'a> {
    pub fn new(method: Method, key: Option<&'a str>) -> Self {
        let (query, headers, body) = (Vec::new(), Vec::new(), Bytes::new());
        Self { method, key, query, headers, body, with_md5: false, expected: &[] }
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

    pub fn with_md5(mut self, with_md5: bool) -> Self {
        self.with_md5 = with_md5;
        self
    }

    pub fn expect(mut self, statuses: &'static [u16]) -> Self {
        self.expected = statuses;
        self
    }
}

/// Sends requests to one bucket.
pub struct Requests {
    pub address: Address,
    pub http: Arc<Http>,
    credentials: Credentials,
    region: RwLock<String>,
}

impl Requests {
    pub fn new(address: Address, http: Arc<Http>, credentials: Credentials) -> Self {
        let region = RwLock::new(address.region.clone());
        Self { address, http, credentials, region }
    }

    /// The answer, if it is one of success or an expected one.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let hashes = hashes(&ask, ask.with_md5 || self.address.is_plain() && !ask.body.is_empty()).await?;
        let (mut renewed, mut moved) = (false, false);
        loop {
            let (request, used) = self.signed(&ask, &hashes).await?;
            let answer = self.http.send(request).await?;
            if answer.status.is_success() || ask.expected.contains(&answer.status.as_u16()) {
                return Ok(answer);
            }
            let (error, region) = refusal(answer, self.http.skew_seconds()).await?;
            let may_be_expired = may_be_expired(&error) || ask.method == Method::HEAD && says_nothing(&error);
            if !moved && self.move_to(region) {
                moved = true;
            } else if !renewed && may_be_expired && self.credentials.renew(&used).await? {
                renewed = true;
            } else {
                return Err(error);
            }
        }
    }

    async fn signed(&self, ask: &Ask<'_>, hashes: &Hashes) -> Result<(Request<Bytes>, String)> {
        let unformed =
            |error: &dyn std::error::Error| Error::failed("a request couldn't be formed").because(error);
        let region = self.region.read().unwrap_or_else(PoisonError::into_inner).clone();
        let url = self.address.url(&region, ask.key, &ask.query);
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(url)
            .header("x-amz-content-sha256", &hashes.sha256);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(md5) = &hashes.md5 {
            request = request.header("content-md5", md5);
        }
        let (mut parts, ()) = request.body(()).map_err(|error| unformed(&error))?.into_parts();
        let used = self.credentials.sign(&region, &mut parts).await?;
        Ok((Request::from_parts(parts, ask.body.clone()), used))
    }

    /// Goes to the region that the service named. False where it named none, or where we are already.
    fn move_to(&self, region: Option<String>) -> bool {
        let Some(region) = region.filter(|region| !region.is_empty()) else { return false };
        let mut ours = self.region.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = *ours != region;
        *ours = region;
        is_other
    }
}

/// Of a clock that is so far off a service refuses signatures.
const SKEW_SECONDS: u64 = 15 * 60;

/// What a refusing answer says, and the region that it names. `skew` is how far its clock is from ours.
async fn refusal(answer: Answer, skew: Option<i64>) -> Result<(Error, Option<String>)> {
    let (status, retry_after) = (answer.status, answer.retry_after());
    let named = answer.header("x-amz-bucket-region").map(str::to_owned);
    let told: xml::Refusal = xml::read(&answer.text().await.unwrap_or_default()).unwrap_or_default();
    let is_skewed = skew.is_some_and(|skew| skew.unsigned_abs() >= SKEW_SECONDS);
    let code = match told.code.as_str() {
        "" if status.as_u16() == 403 && is_skewed => "RequestTimeTooSkewed",
        code => code,
    };
    let error = refused(status, code, &told.message, retry_after);
    let is_elsewhere = matches!(status.as_u16(), 301 | 307 | 400);
    let region = named.or(Some(told.region)).filter(|region| is_elsewhere && !region.is_empty());
    Ok((error, region))
}

struct Hashes {
    sha256: String,
    md5: Option<String>,
}

async fn hashes(ask: &Ask<'_>, with_md5: bool) -> Result<Hashes> {
    let body = ask.body.clone();
    let hash = move || Hashes {
        sha256: Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect(),
        md5: with_md5.then(|| BASE64.encode(Md5::digest(&body))),
    };
    if ask.body.len() < SMALL {
        return Ok(hash());
    }
    tokio::task::spawn_blocking(hash).await.map_err(|error| Error::failed("hashing failed").because(&error))
}
