//! One request with a login, and its answer.
//!
//! One thing is put right here and asked again at once: a token that is no longer good.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::{HeaderValue, Method, Request};
use tokio::sync::Mutex;
use windlass_object::{Answer, FlowEnd, Http};
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::address::Address;
use crate::errors::refused;
use crate::options::Options;

/// A request to be made.
pub struct Ask<'a> {
    pub method: &'static str,
    pub place: &'a str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
    /// Statuses that are answers, beside those of success.
    pub expected: &'static [u16],
}

impl<'a> Ask<'a> {
    pub fn new(method: &'static str, place: &'a str) -> Self {
        Self { method, place, headers: Vec::new(), body: Bytes::new(), expected: &[] }
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

/// What says who we are.
enum Login {
    Nobody,
    Password(String, Secret),
    Token(Secret),
}

/// Sends requests to one server.
pub struct Requests {
    pub address: Address,
    pub http: Arc<Http>,
    cx: Context,
    login: Login,
    /// The header that says who we are, once it was asked for.
    held: Mutex<Option<HeaderValue>>,
}

impl Requests {
    pub fn new(address: Address, http: Arc<Http>, options: &Options, cx: &Context) -> Self {
        let login = match (&options.user, &options.password, &options.bearer_token) {
            (_, _, Some(token)) => Login::Token(token.clone()),
            (Some(user), Some(password), _) => Login::Password(user.clone(), password.clone()),
            _ => Login::Nobody,
        };
        Self { address, http, cx: cx.clone(), login, held: Mutex::default() }
    }

    /// The answer, if it is one of success or an expected one.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer> {
        let mut used = self.login(None).await?;
        let mut renewed = false;
        loop {
            let request = self.formed(&ask, used.as_ref())?.map(|()| ask.body.clone());
            let answer = self.http.send(request).await?;
            let status = answer.status;
            // A web page in place of an answer is none.
            if status.is_success() || ask.expected.contains(&status.as_u16()) {
                return Ok(answer);
            }
            if status.as_u16() == 401 && !renewed && used.is_some() {
                let other = self.login(used.as_ref()).await?;
                renewed = true;
                if other != used {
                    used = other;
                    continue;
                }
            }
            return Err(refused(status, &format!("a {}", ask.method), answer.retry_after()));
        }
    }

    /// Stores what comes out of `flow` as the file at `place`.
    pub async fn store(&self, place: &str, flow: FlowEnd) -> Result<()> {
        let ask = Ask::new("PUT", place);
        let login = self.login(None).await?;
        let mut request = self.formed(&ask, login.as_ref())?;
        // Its length is said by its end.
        request.headers_mut().remove(http::header::CONTENT_LENGTH);
        let answer = self.http.send_flow(request, flow).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(refused(answer.status, "a PUT", answer.retry_after()))
    }

    fn formed(&self, ask: &Ask<'_>, login: Option<&HeaderValue>) -> Result<Request<()>> {
        let unformed =
            |error: &dyn std::error::Error| Error::failed("a request couldn't be formed").because(error);
        let method = Method::from_bytes(ask.method.as_bytes()).map_err(|error| unformed(&error))?;
        let mut request = Request::builder().method(method).uri(self.address.url(ask.place));
        if matches!(ask.method, "PUT" | "PROPFIND") {
            request = request.header(http::header::CONTENT_LENGTH, ask.body.len());
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        if let Some(login) = login {
            request = request.header(http::header::AUTHORIZATION, login);
        }
        request.body(()).map_err(|error| unformed(&error))
    }

    /// What says who we are; asked for again if it is `refused`.
    async fn login(&self, refused: Option<&HeaderValue>) -> Result<Option<HeaderValue>> {
        let mut held = self.held.lock().await;
        if let Some(known) = held.as_ref().filter(|known| Some(*known) != refused) {
            return Ok(Some(known.clone()));
        }
        let text = match &self.login {
            Login::Nobody => return Ok(None),
            Login::Token(token) => format!("Bearer {}", self.reveal("bearer_token", token).await?),
            Login::Password(user, password) => {
                let password = self.reveal("password", password).await?;
                format!("Basic {}", BASE64.encode(format!("{user}:{password}")))
            }
        };
        let unusable = |_| Error::new(ErrorKind::Config, "`bearer_token` has signs that no token has");
        let mut value = HeaderValue::from_str(&text).map_err(unusable)?;
        value.set_sensitive(true);
        *held = Some(value.clone());
        Ok(Some(value))
    }

    async fn reveal(&self, option: &str, secret: &Secret) -> Result<String> {
        let (cx, secret) = (self.cx.clone(), secret.clone());
        // A secret may be the output of a command that takes its time.
        let asked = tokio::task::spawn_blocking(move || cx.reveal(&secret)).await;
        let value =
            asked.map_err(|error| Error::failed(format!("`{option}` can't be had")).because(&error))??;
        match value.trim_end_matches(['\r', '\n']) {
            "" => Err(Error::new(ErrorKind::Config, format!("`{option}` is empty"))),
            value => Ok(value.to_owned()),
        }
    }
}
