//! Who we are to the service: the keys of the options, or what AWS's own tools would find.
//!
//! Keys are kept until the service says that they are no longer good, or until they say so themselves; then they are asked
//! for again, so that keys that rotate work in a run of days.

use reqsign_aws_v4::{Credential, DefaultCredentialProvider, RequestSigner};
use reqsign_core::{ProvideCredential, SignRequest, SigningCredential};
use tokio::sync::Mutex;
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::options::Options;

/// Where keys come from.
pub struct Credentials {
    cx: Context,
    outside: reqsign_core::Context,
    given: Option<(Secret, Secret, Option<Secret>)>,
    chain: DefaultCredentialProvider,
    held: Mutex<Option<Credential>>,
}

impl Credentials {
    pub fn new(options: &Options, cx: &Context, outside: reqsign_core::Context) -> Self {
        let given = options.access_key_id.clone().zip(options.secret_access_key.clone());
        let given = given.map(|(id, key)| (id, key, options.session_token.clone()));
        let mut chain = DefaultCredentialProvider::builder().no_process();
        if let Some(profile) = &options.profile {
            // The one that is named, and not who the environment says we are.
            chain = chain.with_profile(profile).no_env();
        }
        Self { cx: cx.clone(), outside, given, chain: chain.build(), held: Mutex::new(None) }
    }

    /// Signs a request; the id of the key that it is signed with.
    pub async fn sign(&self, region: &str, parts: &mut http::request::Parts) -> Result<String> {
        let credential = self.current().await?;
        let signer = RequestSigner::new("s3", region);
        let signed = signer.sign_request(&self.outside, parts, Some(&credential), None).await;
        signed.map_err(|error| Error::failed("a request couldn't be signed").because(&error))?;
        Ok(credential.access_key_id + credential.session_token.as_deref().unwrap_or_default())
    }

    async fn current(&self) -> Result<Credential> {
        let mut held = self.held.lock().await;
        if let Some(credential) = held.as_ref().filter(|credential| credential.is_valid()) {
            return Ok(credential.clone());
        }
        let credential = self.ask().await?;
        *held = Some(credential.clone());
        Ok(credential)
    }

    /// The keys that `used` names aren't good any more. Whether there are others now.
    pub async fn renew(&self, used: &str) -> Result<bool> {
        let mut held = self.held.lock().await;
        let names = |credential: &Credential| {
            credential.access_key_id.clone() + credential.session_token.as_deref().unwrap_or_default()
        };
        // Another request may have renewed them meanwhile.
        if held.as_ref().is_some_and(|credential| names(credential) != used) {
            return Ok(true);
        }
        let credential = self.ask().await?;
        let is_other = names(&credential) != used;
        *held = Some(credential);
        Ok(is_other)
    }

    async fn ask(&self) -> Result<Credential> {
        let Some((id, key, token)) = &self.given else { return self.found().await };
        let (cx, id, key, token) = (self.cx.clone(), id.clone(), key.clone(), token.clone());
        // A secret may be the output of a command that takes its time.
        let asked = tokio::task::spawn_blocking(move || {
            let session_token = token.map(|token| cx.reveal(&token)).transpose()?;
            Ok(Credential {
                access_key_id: cx.reveal(&id)?.trim().to_owned(),
                secret_access_key: cx.reveal(&key)?.trim().to_owned(),
                session_token: session_token
                    .map(|token| token.trim().to_owned())
                    .filter(|token| !token.is_empty()),
                expires_in: None,
            })
        });
        let credential: Credential = asked
            .await
            .unwrap_or_else(|error| Err(Error::failed("the keys can't be had").because(&error)))?;
        if credential.access_key_id.is_empty() || credential.secret_access_key.is_empty() {
            return Err(Error::new(ErrorKind::Config, "`access_key_id` or `secret_access_key` is empty"));
        }
        Ok(credential)
    }

    /// As AWS's own tools find them.
    async fn found(&self) -> Result<Credential> {
        let none = || {
            Error::new(ErrorKind::Denied, "no access key: neither in the options nor where AWS's tools look for one").hint(
                "Set `access_key_id` and `secret_access_key`, or the environment's `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.",
            )
        };
        match self.chain.provide_credential(&self.outside).await {
            Ok(Some(credential)) => Ok(credential),
            Ok(None) => Err(none()),
            Err(error) => Err(none().because(&error)),
        }
    }
}
