//! Signing in: with the key that is given, else with the agent's keys, then with the password.
//!
//! Secrets are asked of the host here, at each connection, and stand in no error.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::{env, fs};

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, decode_secret_key};
use russh::{MethodKind, MethodSet};
use windlass_plugin_api::{Context, During, Error, ErrorKind, Result};

use super::Client;
use crate::options::{Settings, wrong};

/// What signs.
enum Key {
    Private(Arc<PrivateKey>),
    /// The agent's, of this public key.
    InAgent(Box<PublicKey>),
}

/// What has been tried, for the error.
struct Attempt<'a> {
    handle: &'a mut Handle<Client>,
    settings: &'a Settings,
    /// What the server still takes; `None` before it has said so.
    open: Option<MethodSet>,
    tried: Vec<String>,
}

/// Signs in, or says at once why not.
pub async fn sign_in(cx: &Context, handle: &mut Handle<Client>, settings: &Settings) -> Result<()> {
    let key = given_key(cx, settings)?;
    let mut attempt = Attempt { handle, settings, open: None, tried: Vec::new() };
    let is_in = match key {
        Some(Key::Private(key)) => attempt.key(key).await?,
        Some(Key::InAgent(key)) => attempt.agent(Some(&key)).await?,
        None if settings.agent && env::var_os("SSH_AUTH_SOCK").is_some() => attempt.agent(None).await?,
        None => false,
    };
    if is_in || attempt.password(cx).await? {
        return Ok(());
    }
    Err(attempt.refused())
}

impl Attempt<'_> {
    async fn key(&mut self, key: Arc<PrivateKey>) -> Result<bool> {
        let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
        self.tried.push(format!("the key `{}`", key.public_key().fingerprint(HashAlg::Sha256)));
        let key = PrivateKeyWithHashAlg::new(key, hash);
        let result = self.handle.authenticate_publickey(&self.settings.user, key).await;
        self.note(result.map_err(broke)?)
    }

    /// With the agent's keys, or the one of them that is wanted.
    async fn agent(&mut self, wanted: Option<&PublicKey>) -> Result<bool> {
        let failed = |error: russh::keys::Error| {
            Error::new(ErrorKind::Denied, "can't ask the agent for its keys").because(&error).hint(
                "See whether `SSH_AUTH_SOCK` names the socket of an agent that runs, or set `key_file`.",
            )
        };
        let mut agent = AgentClient::connect_env().await.map_err(failed)?;
        let identities = agent.request_identities().await.map_err(failed)?;
        let mut count = 0;
        for identity in identities {
            let AgentIdentity::PublicKey { key, .. } = identity else { continue };
            if wanted.is_some_and(|wanted| wanted.key_data() != key.key_data()) {
                continue;
            }
            count += 1;
            let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
            let result =
                self.handle.authenticate_publickey_with(&self.settings.user, key, hash, &mut agent).await;
            // A key that the agent won't use, since somebody declined or a token isn't plugged in: the next one.
            if let Ok(result) = result
                && self.note(result)?
            {
                return Ok(true);
            }
        }
        self.tried.push(match (count, wanted) {
            (0, Some(_)) => "the agent, which doesn't have the key of `key_file`".to_owned(),
            (0, None) => "the agent, which has no key".to_owned(),
            (1, _) => "a key of the agent".to_owned(),
            (count, _) => format!("{count} keys of the agent"),
        });
        Ok(false)
    }

    async fn password(&mut self, cx: &Context) -> Result<bool> {
        let Some(password) = &self.settings.password else { return Ok(false) };
        let password = cx.reveal(password)?;
        self.tried.push("the password".to_owned());
        if self.takes(MethodKind::Password) {
            let result = self.handle.authenticate_password(&self.settings.user, &password).await;
            if self.note(result.map_err(broke)?)? {
                return Ok(true);
            }
        }
        if self.takes(MethodKind::KeyboardInteractive) {
            return self.questions(&password).await;
        }
        Ok(false)
    }

    /// Some servers ask for the password only as one of any number of questions. Those whose answer would be shown aren't
    /// for it.
    async fn questions(&mut self, password: &str) -> Result<bool> {
        let user = self.settings.user.clone();
        let mut answer =
            self.handle.authenticate_keyboard_interactive_start(user, None).await.map_err(broke)?;
        loop {
            answer = match answer {
                KeyboardInteractiveAuthResponse::Success => return Ok(true),
                KeyboardInteractiveAuthResponse::Failure { remaining_methods, .. } => {
                    self.open = Some(remaining_methods);
                    return Ok(false);
                }
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => {
                    if prompts.iter().any(|prompt| prompt.echo) {
                        return Ok(false);
                    }
                    let answers = prompts.iter().map(|_| password.to_owned()).collect();
                    self.handle.authenticate_keyboard_interactive_respond(answers).await.map_err(broke)?
                }
            };
        }
    }

    fn takes(&self, kind: MethodKind) -> bool {
        self.open.as_ref().is_none_or(|open| open.contains(&kind))
    }

    fn note(&mut self, result: AuthResult) -> Result<bool> {
        match result {
            AuthResult::Success => Ok(true),
            AuthResult::Failure { remaining_methods, .. } => {
                // russh says it so if the server has gone.
                if remaining_methods.is_empty() && self.handle.is_closed() {
                    return Err(Error::new(ErrorKind::Unavailable, "the server closed the connection"));
                }
                self.open = Some(remaining_methods);
                Ok(false)
            }
        }
    }

    /// What an RSA key signs with: never SHA-1, unless the server knows nothing else.
    async fn rsa_hash(&self, is_rsa: bool) -> Result<Option<HashAlg>> {
        if !is_rsa {
            return Ok(None);
        }
        let best = self.handle.best_supported_rsa_hash().await.map_err(broke)?;
        Ok(best.unwrap_or(Some(HashAlg::Sha512)))
    }

    fn refused(&self) -> Error {
        let user = &self.settings.user;
        let hint =
            "See whether `user` is right and the key's public half is in that user's `authorized_keys`.";
        if self.tried.is_empty() {
            return Error::new(ErrorKind::Denied, format!("there is nothing to sign in with as `{user}`"))
                .hint("Set `key_file`, `private_key` or `password`, or start an agent: `SSH_AUTH_SOCK` isn't set.");
        }
        let open = self.open.iter().flat_map(|open| open.iter());
        let open: Vec<&str> = open.map(<&str>::from).collect();
        let takes = if open.is_empty() { String::new() } else { format!(" (it takes: {})", open.join(", ")) };
        let message = format!("the server refuses `{user}` with {}{takes}", self.tried.join(" and "));
        Error::new(ErrorKind::Denied, message).hint(hint)
    }
}

fn broke(error: russh::Error) -> Error {
    super::told(&error).during("can't sign in")
}

/// The key that the options give.
fn given_key(cx: &Context, settings: &Settings) -> Result<Option<Key>> {
    let (text, shown) = match (&settings.private_key, &settings.key_file) {
        (Some(secret), _) => (cx.reveal(secret)?, "`private_key`".to_owned()),
        (None, Some(file)) => (read(file)?, format!("`{}`", file.display())),
        (None, None) => return Ok(None),
    };
    if let Ok(public) = text.trim().parse::<PublicKey>() {
        return Ok(Some(Key::InAgent(Box::new(public))));
    }
    let passphrase = settings.key_passphrase.as_ref().map(|secret| cx.reveal(secret)).transpose()?;
    // A key that ends without a newline, as many stores of secrets give it, is one too.
    let text = format!("{}\n", text.trim());
    match decode_secret_key(&text, passphrase.as_deref()) {
        Ok(key) => Ok(Some(Key::Private(Arc::new(key)))),
        Err(russh::keys::Error::KeyIsEncrypted) if passphrase.is_none() => Err(wrong(format!(
            "the key in {shown} is locked with a passphrase"
        ))
        .hint("Set `key_passphrase`, or give the key to an agent with `ssh-add` and name the public one in `key_file`.")),
        Err(_) if passphrase.is_some() => {
            Err(wrong(format!("the key in {shown} can't be unlocked with `key_passphrase`")))
        }
        // What the decoder says could be about the key's bytes: it stays out.
        Err(_) => Err(wrong(format!("{shown} holds no private key that is understood"))
            .hint("It begins with `-----BEGIN OPENSSH PRIVATE KEY-----`; `ssh-keygen -t ed25519` makes one.")),
    }
}

/// A key's file, which as with ssh nobody else may read.
fn read(file: &Path) -> Result<String> {
    let during = || format!("can't read the key `{}`", file.display());
    let text = fs::read_to_string(file).during_with(during)?;
    let mode = fs::metadata(file).during_with(during)?.mode();
    if mode & 0o077 != 0 && text.contains("PRIVATE KEY") {
        return Err(wrong(format!("others can read the private key `{}`", file.display()))
            .hint(format!("Run `chmod 600 '{}'`.", file.display())));
    }
    Ok(text)
}
