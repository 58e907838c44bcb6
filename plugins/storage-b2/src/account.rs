//! Who we are to the service: an application key, and the session that it is exchanged for.
//!
//! A session lasts a day at most. It is opened by the first request, and again where the service says that its token is no
//! longer good, so that a run of days goes on. It names the service's addresses, and what the key may do: a request that the
//! service would refuse for that isn't made, so that the message can name what is missing.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{Method, Request, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use windlass_object::Http;
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::address::Address;
use crate::documents::read;
use crate::errors::refused;
use crate::options::Options;

/// What logging in gives.
#[derive(Debug)]
pub struct Session {
    pub token: String,
    pub api: String,
    pub downloads: String,
    pub bucket_id: String,
    rights: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    account_id: String,
    authorization_token: String,
    api_info: Suites,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Suites {
    storage_api: Suite,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Suite {
    api_url: String,
    download_url: String,
    capabilities: Vec<String>,
    bucket_id: Option<String>,
    bucket_name: Option<String>,
    name_prefix: Option<String>,
}

/// Where sessions come from.
pub struct Account {
    cx: Context,
    http: Arc<Http>,
    address: Address,
    key_id: Option<String>,
    application_key: Option<Secret>,
    open: Mutex<Option<Arc<Session>>>,
}

impl Session {
    /// Whether the key has this capability.
    pub fn may(&self, right: &str) -> bool {
        self.rights.iter().any(|own| own == right)
    }

    /// Refuses what the key may not do.
    pub fn judge(&self, right: &str) -> Result<()> {
        if self.may(right) {
            return Ok(());
        }
        let message = format!("the application key lacks the capability `{right}`");
        Err(Error::new(ErrorKind::Denied, message)
            .hint("Make a key that has it; docs/storages/b2.md says what each capability is needed for."))
    }
}

impl Account {
    pub fn new(options: &Options, cx: &Context, http: Arc<Http>, address: Address) -> Self {
        let (key_id, application_key) = (options.key_id.clone(), options.application_key.clone());
        Self { cx: cx.clone(), http, address, key_id, application_key, open: Mutex::default() }
    }

    /// The session of a request.
    pub async fn session(&self) -> Result<Arc<Session>> {
        let mut open = self.open.lock().await;
        if let Some(session) = &*open {
            return Ok(session.clone());
        }
        let session = Arc::new(self.log_in().await?);
        *open = Some(session.clone());
        Ok(session)
    }

    /// The token of `used` isn't good any more: the next request gets another session.
    pub async fn forget(&self, used: &Session) {
        let mut open = self.open.lock().await;
        // Another request may have renewed it meanwhile.
        if open.as_ref().is_some_and(|session| session.token == used.token) {
            *open = None;
        }
    }

    async fn log_in(&self) -> Result<Session> {
        let (id, key) = self.key().await?;
        let url = format!("{}/b2api/v3/b2_authorize_account", self.address.endpoint);
        let basic = format!("Basic {}", BASE64.encode(format!("{id}:{key}")));
        let told: Told = self.ask(Method::GET, url, &basic, Bytes::new()).await?;
        let suite = &told.api_info.storage_api;
        for place in [&suite.api_url, &suite.download_url] {
            if !self.address.may_send_to(place) {
                return Err(Error::failed("the service named no address that a token may be sent to"));
            }
        }
        if !self.address.prefix.starts_with(suite.name_prefix.as_deref().unwrap_or_default()) {
            let only = suite.name_prefix.as_deref().unwrap_or_default();
            let message = format!("the application key is for names that begin with `{only}` alone");
            return Err(
                Error::new(ErrorKind::Denied, message).hint("Set `prefix` to that, or use another key.")
            );
        }
        let bucket_id = self.bucket(&told).await?;
        let Told { authorization_token: token, api_info, .. } = told;
        let Suite { api_url: api, download_url: downloads, capabilities: rights, .. } = api_info.storage_api;
        Ok(Session { token, api, downloads, bucket_id, rights })
    }

    /// The bucket's ID: a key for one bucket names it, any other one lists it.
    async fn bucket(&self, told: &Told) -> Result<String> {
        let (suite, name) = (&told.api_info.storage_api, &self.address.bucket);
        match (&suite.bucket_id, &suite.bucket_name) {
            (Some(id), Some(own)) if own == name => return Ok(id.clone()),
            (Some(_), own) => {
                let own = own.as_deref().unwrap_or("one that is gone");
                let message = format!("the application key is for another bucket than `{name}`: `{own}`");
                return Err(Error::new(ErrorKind::Denied, message)
                    .hint("Correct `bucket`, or make a key for this bucket."));
            }
            (None, _) => {}
        }
        if !suite.capabilities.iter().any(|right| right == "listBuckets") {
            return Err(Error::new(
                ErrorKind::Denied,
                "the application key lacks the capability `listBuckets`",
            )
            .hint("A key for one bucket alone needs none: make such a one."));
        }
        let url = format!("{}/b2api/v3/b2_list_buckets", suite.api_url);
        let body = json!({ "accountId": told.account_id, "bucketName": name });
        let listed: Value =
            self.ask(Method::POST, url, &told.authorization_token, body.to_string().into()).await?;
        let found = listed["buckets"].as_array().and_then(|buckets| buckets.first());
        let id = found.and_then(|bucket| bucket["bucketId"].as_str()).map(str::to_owned);
        id.ok_or_else(|| {
            Error::new(ErrorKind::Config, format!("there is no bucket for `{}`", self.address.shown()))
                .hint("Create the bucket, or correct `bucket`.")
        })
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        method: Method,
        url: String,
        authorization: &str,
        body: Bytes,
    ) -> Result<T> {
        let request = Request::builder().method(method).uri(url).header(header::AUTHORIZATION, authorization);
        let request = request
            .body(body)
            .map_err(|_| Error::new(ErrorKind::Config, "`key_id` or `endpoint` has signs that none has"))?;
        let answer = self.http.send(request).await?;
        let (status, retry_after) = (answer.status, answer.retry_after());
        if !status.is_success() {
            return Err(refused(status, &answer.text().await.unwrap_or_default(), retry_after));
        }
        read(answer).await
    }

    async fn key(&self) -> Result<(String, String)> {
        let of = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let key = match &self.application_key {
            Some(secret) => {
                let (cx, secret) = (self.cx.clone(), secret.clone());
                // A secret may be the output of a command that takes its time.
                let asked = tokio::task::spawn_blocking(move || cx.reveal(&secret)).await;
                let failed = |error| {
                    Error::failed("`application_key` can't be had").because(&error as &dyn std::error::Error)
                };
                Some(asked.map_err(|error: tokio::task::JoinError| failed(error))??)
            }
            None => of("B2_APPLICATION_KEY"),
        };
        let id = self.key_id.clone().or_else(|| of("B2_APPLICATION_KEY_ID"));
        match id.zip(key) {
            Some((id, key)) if !id.trim().is_empty() && !key.trim().is_empty() => {
                Ok((id.trim().to_owned(), key.trim().to_owned()))
            }
            _ => Err(Error::new(ErrorKind::Denied, "no application key: neither in the options nor in the environment")
                .hint("Set `key_id` and `application_key`, or the environment's `B2_APPLICATION_KEY_ID` and `B2_APPLICATION_KEY`.")),
        }
    }
}
