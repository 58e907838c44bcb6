//! One request of a session, and its answer.
//!
//! One thing is put right here and asked again at once: a token that is no longer good.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use windlass_object::{Answer, Http};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::account::{Account, Session};
use crate::address::Address;
use crate::documents::read;
use crate::doors::{Door, Doors};
use crate::errors::{is_expired, refused};

/// What requests need.
pub struct Requests {
    pub address: Address,
    pub http: Arc<Http>,
    pub account: Account,
    pub doors: Doors,
}

impl Requests {
    pub fn new(address: Address, http: Arc<Http>, account: Account) -> Self {
        Self { address, http, account, doors: Doors::default() }
    }

    /// One call of the API. `right` is the capability that it needs.
    pub async fn call<T: DeserializeOwned>(&self, name: &str, right: &str, body: Value) -> Result<T> {
        let asked = |session: &Session| {
            let url = format!("{}/b2api/v3/{name}", session.api);
            let json = (header::CONTENT_TYPE.as_str(), "application/json".to_owned());
            formed(Method::POST, &url, &session.token, &[json], Bytes::from(body.to_string()))
        };
        read(self.send(right, &[], asked).await?).await
    }

    /// The bytes of a file, from a place below the address of downloads.
    pub async fn fetch(&self, place: &str, range: String) -> Result<Answer> {
        let asked = |session: &Session| {
            let url = format!("{}/{place}", session.downloads);
            let range = (header::RANGE.as_str(), range.clone());
            formed(Method::GET, &url, &session.token, &[range], Bytes::new())
        };
        self.send("readFiles", &[416], asked).await
    }

    /// Bytes to an address of the service's choice. Its token is good for that alone, and isn't renewed here.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        door: &Door,
        headers: &[(&'static str, String)],
        bytes: Bytes,
    ) -> Result<T> {
        if !self.address.may_send_to(&door.upload_url) {
            return Err(Error::failed("the service named no address that bytes may be sent to"));
        }
        let request = formed(Method::POST, &door.upload_url, &door.authorization_token, headers, bytes)?;
        read(judged(self.http.send(request).await?, &[]).await?).await
    }

    async fn send(
        &self,
        right: &str,
        expected: &[u16],
        asked: impl Fn(&Session) -> Result<Request<Bytes>>,
    ) -> Result<Answer> {
        let mut renewed = false;
        loop {
            let session = self.account.session().await?;
            session.judge(right)?;
            match judged(self.http.send(asked(&session)?).await?, expected).await {
                Err(error) if is_expired(&error) && !renewed => {
                    renewed = true;
                    self.account.forget(&session).await;
                }
                answer => return answer,
            }
        }
    }
}

/// An answer that is one.
async fn judged(answer: Answer, expected: &[u16]) -> Result<Answer> {
    let status = answer.status;
    if status.is_success() || expected.contains(&status.as_u16()) {
        return Ok(answer);
    }
    let retry_after = answer.retry_after();
    Err(refused(status, &answer.text().await.unwrap_or_default(), retry_after))
}

fn formed(
    method: Method,
    url: &str,
    token: &str,
    headers: &[(&'static str, String)],
    body: Bytes,
) -> Result<Request<Bytes>> {
    let unusable = |_| Error::new(ErrorKind::Config, "the token has signs that no token has");
    let mut authorization = HeaderValue::from_str(token).map_err(unusable)?;
    authorization.set_sensitive(true);
    let mut request =
        Request::builder().method(&method).uri(url).header(header::AUTHORIZATION, authorization);
    if method == Method::POST {
        // The service takes no chunks.
        request = request.header(header::CONTENT_LENGTH, body.len());
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    // Addresses of uploads are not for everybody: the cause isn't repeated.
    request.body(body).map_err(|_| Error::failed("a request couldn't be formed"))
}
