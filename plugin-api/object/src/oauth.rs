//! Tokens by OAuth 2.0 (RFC 6749, section 6): a refresh token is exchanged for one that lasts an hour, again and again, so that
//! a run of days goes on.
//!
//! How somebody comes by the refresh token is not its business: that needs a browser.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use tokio::sync::Mutex;
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::http::{Http, passing};

/// A token that is as good as expired is not sent any more.
const MARGIN: Duration = Duration::from_secs(60);

/// What says who we are, by the names of the plugin's options for messages.
#[derive(Clone, Debug)]
pub enum Grant {
    /// A token for the service itself: whoever made it renews it.
    Access(Secret),
    /// One that tokens are had for.
    Refresh {
        /// Where, as the service's documents say.
        token_url: String,
        /// The application's name with the service.
        client_id: String,
        /// Its password, where it has one.
        client_secret: Option<Secret>,
        /// The user's word that the application may.
        refresh_token: Secret,
    },
}

/// Where a service's tokens come from.
pub struct Tokens {
    cx: Context,
    http: Arc<Http>,
    grant: Grant,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<String>,
    ends: Option<Instant>,
    /// Some services give another one with each token.
    refresh_token: Option<String>,
}

impl Tokens {
    /// Asks for nothing yet.
    pub fn new(cx: &Context, http: Arc<Http>, grant: Grant) -> Self {
        Self { cx: cx.clone(), http, grant, held: Mutex::default() }
    }

    /// The token of a request.
    pub async fn token(&self) -> Result<String> {
        let mut held = self.held.lock().await;
        let is_over = held.ends.is_some_and(|ends| ends <= Instant::now() + MARGIN);
        match held.token.clone().filter(|_| !is_over) {
            Some(token) => Ok(token),
            None => self.ask(&mut held).await,
        }
    }

    /// The token `used` isn't good any more. Whether there is another one now.
    pub async fn renew(&self, used: &str) -> Result<bool> {
        let mut held = self.held.lock().await;
        // Another request may have renewed it meanwhile.
        if held.token.as_deref().is_some_and(|token| token != used) {
            return Ok(true);
        }
        Ok(self.ask(&mut held).await? != used)
    }

    async fn ask(&self, held: &mut Held) -> Result<String> {
        *held = Held { refresh_token: held.refresh_token.take(), ..Held::default() };
        let token = match &self.grant {
            Grant::Access(token) => self.reveal("access_token", token).await?,
            Grant::Refresh { token_url, client_id, client_secret, refresh_token } => {
                let refresh_token = match &held.refresh_token {
                    Some(newer) => newer.clone(),
                    None => self.reveal("refresh_token", refresh_token).await?,
                };
                let client_secret = match client_secret {
                    Some(secret) => Some(self.reveal("client_secret", secret).await?),
                    None => None,
                };
                let form = form(client_id, client_secret.as_deref(), &refresh_token);
                self.exchanged(token_url, form, held).await?
            }
        };
        held.token = Some(token.clone());
        Ok(token)
    }

    async fn exchanged(&self, token_url: &str, form: String, held: &mut Held) -> Result<String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(token_url)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form))
            .map_err(|error| Error::new(ErrorKind::Config, "`token_url` isn't a URL").because(&error))?;
        let answer = self.http.send(request).await?;
        let (status, retry_after) = (answer.status, answer.retry_after());
        let document: Value = serde_json::from_str(&answer.text().await?).unwrap_or_default();
        if !status.is_success() {
            return Err(refused(status, retry_after, &document));
        }
        held.refresh_token =
            document["refresh_token"].as_str().map(str::to_owned).or(held.refresh_token.take());
        held.ends =
            document["expires_in"].as_u64().map(|seconds| Instant::now() + Duration::from_secs(seconds));
        let token = document["access_token"].as_str().filter(|token| !token.is_empty());
        token
            .map(str::to_owned)
            .ok_or_else(|| Error::failed("the answer to the refresh token holds no token"))
    }

    async fn reveal(&self, option: &str, secret: &Secret) -> Result<String> {
        let (cx, secret) = (self.cx.clone(), secret.clone());
        // A secret may be the output of a command that takes its time.
        let asked = tokio::task::spawn_blocking(move || cx.reveal(&secret)).await;
        let value =
            asked.map_err(|error| Error::failed(format!("`{option}` can't be had")).because(&error))??;
        match value.trim() {
            "" => Err(Error::new(ErrorKind::Config, format!("`{option}` is empty"))),
            value => Ok(value.to_owned()),
        }
    }
}

/// What is asked. The serializer isn't kept over a request: a task with it couldn't move between threads.
fn form(client_id: &str, client_secret: Option<&str>, refresh_token: &str) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "refresh_token").append_pair("refresh_token", refresh_token);
    form.append_pair("client_id", client_id);
    if let Some(secret) = client_secret {
        form.append_pair("client_secret", secret);
    }
    form.finish()
}

/// The service's words in such an answer are for developers and hold no token; its code decides what helps.
fn refused(status: StatusCode, retry_after: Option<u64>, document: &Value) -> Error {
    let code = document["error"].as_str().unwrap_or_default();
    let message = format!("no token for the refresh token: {status} `{code}`");
    if let Some(error) = passing(status, retry_after, &message) {
        return error;
    }
    let hint = match code {
        "invalid_grant" => "It was revoked, has expired, or belongs to another `client_id`: make a new one.",
        "invalid_client" | "unauthorized_client" => {
            "Are `client_id` and `client_secret` those of the application?"
        }
        _ => "Are `refresh_token`, `client_id` and `client_secret` of one application?",
    };
    Error::new(ErrorKind::Denied, message).hint(hint)
}
