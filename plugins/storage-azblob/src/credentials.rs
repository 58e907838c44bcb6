//! Who we are to the service: the key or the token of the options, that of the environment, or an identity.
//!
//! What was found is kept until the service says that it is no longer good, or until it says so itself; then it is asked
//! for again, so that tokens that are renewed work in a run of days.

use reqsign_azure_storage::{Credential, DefaultCredentialProvider, RequestSigner};
use reqsign_core::{ProvideCredential, SignRequest, SigningCredential};
use tokio::sync::Mutex;
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::address::Environment;
use crate::options::Options;

/// What says who we are.
enum Source {
    Key(Secret),
    Token(Secret),
    Environment(Credential),
    /// A service principal, a workload identity, a managed identity.
    Identity(Box<DefaultCredentialProvider>),
}

/// Where keys and tokens come from.
pub struct Credentials {
    cx: Context,
    outside: reqsign_core::Context,
    account: Option<String>,
    source: Source,
    held: Mutex<Held>,
}

/// What is in use, and how often it was asked for.
#[derive(Default)]
struct Held {
    credential: Option<Credential>,
    generation: u64,
}

impl Credentials {
    pub fn new(
        options: &Options,
        account: Option<String>,
        environment: Environment,
        cx: &Context,
        outside: reqsign_core::Context,
    ) -> Self {
        // A key of the environment isn't one of another account.
        let is_same = environment.account.is_none() || environment.account == account;
        let key = environment.key.filter(|_| is_same).zip(account.as_deref());
        let key = key.map(|(key, account)| Credential::with_shared_key(account, key.trim()));
        let token = environment.sas_token.filter(|_| is_same);
        let token = token.map(|token| Credential::with_sas_token(bare(&token)));
        let source = match (&options.account_key, &options.sas_token, key.or(token)) {
            (Some(key), _, _) => Source::Key(key.clone()),
            (None, Some(token), _) => Source::Token(token.clone()),
            (None, None, Some(found)) => Source::Environment(found),
            // No program is run, and what the environment says was read before.
            (None, None, None) => Source::Identity(Box::new(
                DefaultCredentialProvider::builder().no_env().no_azure_cli().build(),
            )),
        };
        Self { cx: cx.clone(), outside, account, source, held: Mutex::default() }
    }

    /// Signs a request; which asking its credential came from.
    pub async fn sign(&self, parts: &mut http::request::Parts) -> Result<u64> {
        let (credential, generation) = self.current().await?;
        let signed = RequestSigner::new().sign_request(&self.outside, parts, Some(&credential), None).await;
        signed.map_err(|_| {
            // Its causes may hold the key.
            Error::new(ErrorKind::Config, "a request couldn't be signed")
                .hint("Is `account_key` whole? It is a text in base64 that ends in `==`.")
        })?;
        Ok(generation)
    }

    async fn current(&self) -> Result<(Credential, u64)> {
        let mut held = self.held.lock().await;
        if let Some(credential) = held.credential.as_ref().filter(|credential| credential.is_valid()) {
            return Ok((credential.clone(), held.generation));
        }
        let credential = self.ask().await?;
        held.credential = Some(credential.clone());
        held.generation += 1;
        Ok((credential, held.generation))
    }

    /// What `used` names isn't good any more. Whether there is something else now.
    pub async fn renew(&self, used: u64) -> Result<bool> {
        let mut held = self.held.lock().await;
        // Another request may have renewed it meanwhile.
        if held.generation != used {
            return Ok(true);
        }
        let credential = self.ask().await?;
        let is_other = held.credential.as_ref().is_none_or(|before| !same(before, &credential));
        held.credential = Some(credential);
        held.generation += u64::from(is_other);
        Ok(is_other)
    }

    async fn ask(&self) -> Result<Credential> {
        match &self.source {
            Source::Key(key) => {
                let Some(account) = &self.account else {
                    return Err(Error::new(ErrorKind::Config, "`account_key` is given, but no `account`"));
                };
                Ok(Credential::with_shared_key(account, &self.reveal("account_key", key).await?))
            }
            Source::Token(token) => {
                Ok(Credential::with_sas_token(bare(&self.reveal("sas_token", token).await?)))
            }
            Source::Environment(found) => Ok(found.clone()),
            Source::Identity(chain) => self.found(chain).await,
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

    async fn found(&self, chain: &DefaultCredentialProvider) -> Result<Credential> {
        let none = || {
            Error::new(ErrorKind::Denied, "no key, no token and no identity for the storage account")
                .hint("Set `account_key` or `sas_token`, or the environment's `AZURE_STORAGE_KEY`.")
        };
        match chain.provide_credential(&self.outside).await {
            Ok(Some(credential)) => Ok(credential),
            Ok(None) => Err(none()),
            Err(error) => Err(none().because(&error)),
        }
    }
}

/// A token without the sign that a URL's query begins with.
fn bare(token: &str) -> &str {
    token.trim().trim_start_matches('?')
}

fn same(one: &Credential, other: &Credential) -> bool {
    match (one, other) {
        (
            Credential::SharedKey { account_key: one, .. },
            Credential::SharedKey { account_key: other, .. },
        ) => one == other,
        (Credential::SasToken { token: one, .. }, Credential::SasToken { token: other, .. })
        | (Credential::BearerToken { token: one, .. }, Credential::BearerToken { token: other, .. }) => {
            one == other
        }
        _ => false,
    }
}
