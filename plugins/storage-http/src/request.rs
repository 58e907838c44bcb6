//! One request with a login, followed where it leads, and its answer.
//!
//! One thing is put right here and asked again at once: a token that is no longer good.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use tokio::sync::Mutex;
use url::Url;
use windlass_object::{Answer, Http};
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::address::Address;
use crate::errors::refused;
use crate::options::{Settled, header_value};

/// How often a request may be sent elsewhere.
const REDIRECTS: u32 = 5;

/// What says who we are.
enum Login {
    Nobody,
    Password(String, Secret),
    Token(Secret),
}

/// Sends requests to one server.
pub struct Requests {
    pub address: Address,
    pub http: Http,
    cx: Context,
    login: Login,
    headers: Vec<(HeaderName, Secret)>,
    /// The headers that hold secrets, once they were asked for.
    held: Mutex<Option<HeaderMap>>,
}

/// An answer, and where it came from in the end.
pub struct Found {
    pub answer: Answer,
    pub url: Url,
}

impl Requests {
    pub fn new(address: Address, http: Http, settled: &Settled, cx: &Context) -> Self {
        let login = match (&settled.user, &settled.password, &settled.bearer_token) {
            (_, _, Some(token)) => Login::Token(token.clone()),
            (Some(user), Some(password), _) => Login::Password(user.clone(), password.clone()),
            _ => Login::Nobody,
        };
        Self {
            address,
            http,
            cx: cx.clone(),
            login,
            headers: settled.headers.clone(),
            held: Mutex::default(),
        }
    }

    /// The answer, if it is one of success or its status is `expected`.
    pub async fn send(
        &self,
        method: &Method,
        url: Url,
        headers: &[(HeaderName, String)],
        expected: &[u16],
    ) -> Result<Found> {
        let mut used = self.secrets(None).await?;
        let mut renewed = false;
        let (mut url, first) = (url.clone(), url);
        let mut redirects = 0;
        loop {
            // Another server learns nothing of who we are.
            let secrets = Some(&used).filter(|_| url.origin() == first.origin());
            let answer = self.http.send(formed(method, &url, headers, secrets)?).await?;
            let status = answer.status;
            if status.is_success() || expected.contains(&status.as_u16()) {
                return Ok(Found { answer, url });
            }
            if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                redirects += 1;
                url = led(&url, &answer, redirects)?;
                continue;
            }
            if status.as_u16() == 401 && !renewed && !used.is_empty() {
                let other = self.secrets(Some(&used)).await?;
                renewed = true;
                if other != used {
                    used = other;
                    continue;
                }
            }
            return Err(refused(status, answer.retry_after()));
        }
    }

    /// What says who we are; asked for again if it is `refused`.
    async fn secrets(&self, refused: Option<&HeaderMap>) -> Result<HeaderMap> {
        let mut held = self.held.lock().await;
        if let Some(known) = held.as_ref().filter(|known| Some(*known) != refused) {
            return Ok(known.clone());
        }
        let mut secrets = HeaderMap::new();
        let login = match &self.login {
            Login::Nobody => None,
            Login::Token(token) => Some(format!("Bearer {}", self.reveal("bearer_token", token).await?)),
            Login::Password(user, password) => {
                let password = self.reveal("password", password).await?;
                Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}"))))
            }
        };
        if let Some(login) = login {
            secrets.insert(AUTHORIZATION, header_value("bearer_token", &login)?);
        }
        for (name, secret) in &self.headers {
            let option = format!("headers.{name}");
            secrets.insert(name.clone(), header_value(&option, &self.reveal(&option, secret).await?)?);
        }
        *held = Some(secrets.clone());
        Ok(secrets)
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

    /// The command that writes the object to stdout. It asks for the password.
    pub fn by_hand(&self, key: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let user = match &self.login {
            Login::Password(user, _) => format!(" --user {}", quoted(user)),
            _ => String::new(),
        };
        format!(
            "curl --fail --silent --show-error --location{user} {}",
            quoted(self.address.url(key).as_str())
        )
    }
}

fn formed(
    method: &Method,
    url: &Url,
    headers: &[(HeaderName, String)],
    secrets: Option<&HeaderMap>,
) -> Result<Request<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(url.as_str())
        // What is stored is wanted as it is, and a folder's page as a list, if there is one.
        .header(ACCEPT_ENCODING, "identity")
        .header(ACCEPT, "application/json, text/html;q=0.9, */*;q=0.8");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let (Some(secrets), Some(all)) = (secrets, request.headers_mut()) {
        all.extend(secrets.iter().map(|(name, value): (_, &HeaderValue)| (name.clone(), value.clone())));
    }
    request.body(Bytes::new()).map_err(|error| Error::failed("a request couldn't be formed").because(&error))
}

/// Where an answer sends us.
fn led(from: &Url, answer: &Answer, redirects: u32) -> Result<Url> {
    let wrong = |message: String| {
        Error::new(ErrorKind::Config, message).hint("Set `url` to the address that a browser ends at.")
    };
    if redirects > REDIRECTS {
        return Err(wrong(format!("the server leads on and on, {redirects} times by now")));
    }
    let to = answer.header("location").and_then(|location| from.join(location).ok());
    match to {
        // `plain` clients know no certificates, and nobody is led out of TLS.
        Some(to) if to.scheme() == from.scheme() && to.has_host() => Ok(to),
        Some(to) => {
            Err(wrong(format!("the server leads from `{}://` to `{}://`", from.scheme(), to.scheme())))
        }
        None => Err(wrong("the server leads elsewhere and doesn't say where".to_owned())),
    }
}
