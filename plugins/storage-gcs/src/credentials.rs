//! Who we are to the service: a token, which is what every key and every identity is exchanged for.
//!
//! It is kept until it is about to expire, or until the service says that it is no longer good; then it is asked for again,
//! so that a run of days goes on.

use reqsign_core::{ProvideCredential, SigningCredential};
use reqsign_google::{
    Credential, DefaultCredentialProvider, ServiceAccountTokenCredentialProvider, StaticCredentialProvider,
    Token,
};
use tokio::sync::Mutex;
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::options::Options;

/// What says who we are.
enum Source {
    Nobody,
    Key(Secret),
    Token(Secret),
    /// As Google's own tools find it.
    Environment(Box<DefaultCredentialProvider>),
}

/// Where tokens come from.
pub struct Credentials {
    cx: Context,
    outside: reqsign_core::Context,
    source: Source,
    held: Mutex<Option<Token>>,
}

impl Credentials {
    pub fn new(options: &Options, cx: &Context, outside: reqsign_core::Context) -> Self {
        let source = match (&options.service_account_key, &options.access_token) {
            (Some(key), _) => Source::Key(key.clone()),
            (None, Some(token)) => Source::Token(token.clone()),
            (None, None) if options.anonymous => Source::Nobody,
            (None, None) => Source::Environment(Box::default()),
        };
        Self { cx: cx.clone(), outside, source, held: Mutex::default() }
    }

    /// The token of a request; `None` for who is nobody.
    pub async fn token(&self) -> Result<Option<String>> {
        if matches!(self.source, Source::Nobody) {
            return Ok(None);
        }
        let mut held = self.held.lock().await;
        if let Some(token) = held.as_ref().filter(|token| token.is_valid()) {
            return Ok(Some(token.access_token.clone()));
        }
        let token = self.ask().await?;
        let text = token.access_token.clone();
        *held = Some(token);
        Ok(Some(text))
    }

    /// The token `used` isn't good any more. Whether there is another one now.
    pub async fn renew(&self, used: Option<&str>) -> Result<bool> {
        let Some(used) = used else { return Ok(false) };
        let mut held = self.held.lock().await;
        // Another request may have renewed it meanwhile.
        if held.as_ref().is_some_and(|token| token.access_token != used) {
            return Ok(true);
        }
        let token = self.ask().await?;
        let is_other = token.access_token != used;
        *held = Some(token);
        Ok(is_other)
    }

    async fn ask(&self) -> Result<Token> {
        match &self.source {
            Source::Nobody => Ok(Token::default()),
            Source::Token(token) => {
                let access_token = self.reveal("access_token", token).await?;
                Ok(Token { access_token, expires_at: None })
            }
            Source::Key(key) => {
                let key = StaticCredentialProvider::new(self.reveal("service_account_key", key).await?);
                self.exchanged(&key, unusable).await
            }
            Source::Environment(chain) => self.exchanged(&**chain, nothing).await,
        }
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

    /// A token for what was found. `absent` says what it means that nothing was, or nothing of use.
    async fn exchanged(
        &self,
        found: &impl ProvideCredential<Credential = Credential>,
        absent: fn() -> Error,
    ) -> Result<Token> {
        let told = |error: reqsign_core::Error| {
            let is_passing = error.is_retryable();
            let refused = absent().because(&error);
            if is_passing { Error { kind: ErrorKind::Unavailable, ..refused } } else { refused }
        };
        let credential = found.provide_credential(&self.outside).await.map_err(told)?.ok_or_else(absent)?;
        if let Some(token) = credential.token {
            return Ok(token);
        }
        let account = credential.service_account.ok_or_else(absent)?;
        let exchange = ServiceAccountTokenCredentialProvider::new(account);
        let exchanged = exchange.provide_credential(&self.outside).await.map_err(told)?;
        exchanged.and_then(|credential| credential.token).ok_or_else(absent)
    }
}

fn unusable() -> Error {
    Error::new(ErrorKind::Denied, "no token for the service account of `service_account_key`")
        .hint("Is it the whole JSON document, of an account and a key that still exist? Is this machine's clock right?")
}

fn nothing() -> Error {
    Error::new(
        ErrorKind::Denied,
        "no credentials: neither in the options nor where Google's tools look for them",
    )
    .hint("Set `service_account_key`, or the environment's `GOOGLE_APPLICATION_CREDENTIALS`.")
}
