//! The options of the storage. Their doc comments are the reference documentation.
//!
//! Whether the server answers isn't judged here: that belongs to the first call that needs it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use windlass_object::HttpOptions;
use windlass_plugin_api::{Error, ErrorKind, Result, Secret};

/// Options of `http`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The folder that the server shows: `https://web.example/backups`, the one that the storage was that made the snapshots.
    /// With `http://` whatever no filter has encrypted can be read on the way.
    pub url: Url,
    /// Who logs in with `password`.
    #[serde(default)]
    pub user: Option<String>,
    /// The password.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A token in place of user and password. It is asked for again when it expires.
    #[serde(default)]
    pub bearer_token: Option<Secret>,
    /// Further headers of each request, for a server or a proxy that wants a key in one of its own.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// Certificates in PEM form that the server's is judged by: that of an authority, or a self-signed one itself. Default:
    /// the system's.
    #[serde(default)]
    #[schemars(extend("format" = "path"))]
    pub ca_file: Option<PathBuf>,
    /// How many seconds connecting may take.
    #[serde(default = "ten")]
    #[schemars(range(min = 1, max = 3600))]
    pub connect_timeout: u32,
    /// How many seconds the server may be silent. A request is tried again then.
    #[serde(default = "sixty")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout: u32,
}

/// A URL, which may hold a password.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Url(pub(crate) String);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Url(…)")
    }
}

fn ten() -> u32 {
    10
}

fn sixty() -> u32 {
    60
}

/// Options that fit together.
#[derive(Clone, Debug)]
pub struct Settled {
    /// Without user and password.
    pub url: url::Url,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub bearer_token: Option<Secret>,
    pub headers: Vec<(HeaderName, Secret)>,
    ca_file: Option<PathBuf>,
    connect_timeout: Duration,
    timeout: Duration,
}

impl Options {
    /// What the types can't say is judged. Nothing of the URL is told when it is wrong, for it may hold a password.
    pub(crate) fn settle(mut self) -> Result<Settled> {
        let unclear =
            || wrong("`url` isn't the address of a folder").hint("Write `https://web.example/backups`.");
        let mut url = url::Url::parse(&self.url.0).map_err(|_| unclear())?;
        let is_web = matches!(url.scheme(), "http" | "https") && url.has_host();
        if !is_web || url.query().is_some() || url.fragment().is_some() {
            return Err(unclear());
        }
        if !url.username().is_empty() || url.password().is_some() {
            if self.user.is_some() || self.password.is_some() {
                return Err(wrong("`url` and `user` or `password` both say who we are"));
            }
            let decoded = |text: &str| {
                percent_encoding::percent_decode_str(text)
                    .decode_utf8()
                    .map(String::from)
                    .map_err(|_| unclear())
            };
            self.user = Some(decoded(url.username())?);
            self.password = Some(Secret::of(decoded(url.password().unwrap_or_default())?));
            url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| unclear())?;
        }
        if self.user.is_some() != self.password.is_some() {
            return Err(wrong("`user` and `password` belong together, and one is missing"));
        }
        if self.user.as_ref().is_some_and(|user| user.contains(':')) {
            return Err(wrong("`user` has a colon, which the protocol has no room for"));
        }
        if self.bearer_token.is_some() && self.password.is_some() {
            return Err(wrong("`password` and `bearer_token` both say who we are"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Settled {
            url,
            user: self.user,
            password: self.password,
            bearer_token: self.bearer_token,
            headers: self.headers.into_iter().map(named).collect::<Result<_>>()?,
            ca_file: self.ca_file,
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
            timeout: Duration::from_secs(self.timeout.into()),
        })
    }
}

/// A header that isn't ours to set.
fn named((name, value): (String, Secret)) -> Result<(HeaderName, Secret)> {
    const OURS: [&str; 7] =
        ["authorization", "range", "host", "accept", "accept-encoding", "content-length", "if-match"];
    let header = HeaderName::try_from(name.as_str());
    match header.ok().filter(|header| !OURS.contains(&header.as_str())) {
        Some(header) => Ok((header, value)),
        None => Err(wrong(format!("`{name}` can't be one of the `headers`"))),
    }
}

impl Settled {
    /// How requests are made.
    pub(crate) fn http(&self, plain: bool) -> HttpOptions {
        HttpOptions {
            ca_file: self.ca_file.clone(),
            connect_timeout: self.connect_timeout,
            timeout: self.timeout,
            plain,
        }
    }
}

/// A secret as a header's value.
pub fn header_value(name: &str, text: &str) -> Result<HeaderValue> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| wrong(format!("`{name}` has signs that no header may have")))?;
    value.set_sensitive(true);
    Ok(value)
}

pub fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settled(options: Value) -> Result<Settled> {
        serde_json::from_value::<Options>(options).unwrap().settle()
    }

    #[test]
    fn user_and_password_may_stand_in_the_url_and_leave_it() {
        let settled = settled(json!({ "url": "https://me%40x:Geheim@web.example:8443/a%20b" })).unwrap();
        assert_eq!(settled.url.as_str(), "https://web.example:8443/a%20b/");
        assert_eq!((settled.user.as_deref(), settled.password.is_some()), (Some("me@x"), true));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_without_a_secret() {
        for options in [
            json!({ "url": "web.example/Geheim" }),
            json!({ "url": "ftp://web.example/Geheim" }),
            json!({ "url": "https://web.example/?key=Geheim" }),
            json!({ "url": "https://web.example/#Geheim" }),
            json!({ "url": "https://me:Geheim@web.example/", "user": "me", "password": "Geheim" }),
            json!({ "url": "https://web.example/", "user": "me" }),
            json!({ "url": "https://web.example/", "password": "Geheim" }),
            json!({ "url": "https://web.example/", "user": "a:b", "password": "Geheim" }),
            json!({ "url": "https://me:Geheim@web.example/", "bearer_token": "Geheim" }),
            json!({ "url": "https://web.example/", "headers": { "Range": "Geheim" } }),
            json!({ "url": "https://web.example/", "headers": { "a b": "Geheim" } }),
        ] {
            let error = settled(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}: {error}");
            assert!(!format!("{error:?}").contains("Geheim"), "{error:?}");
        }
    }
}
