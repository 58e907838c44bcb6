//! Where the container is: the account's endpoint, the container in it, and the URL of a blob; and what the environment
//! says about the account.
//!
//! Nothing here asks the service.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::options::Options;

/// All but what every part of a URL takes as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As [`ENCODED`], for paths.
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// What the environment says. It holds secrets.
#[derive(Clone, Default)]
pub struct Environment {
    pub account: Option<String>,
    pub endpoint: Option<String>,
    pub key: Option<String>,
    pub sas_token: Option<String>,
}

impl Environment {
    /// Reads the variables of Azure's own tools; what stands alone goes before what stands in a connection string.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set =
            |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let string = set(&["AZURE_STORAGE_CONNECTION_STRING"]).unwrap_or_default();
        let within = |name: &str| connection(&string).get(name).cloned();
        let suffixed = || {
            let scheme = within("defaultendpointsprotocol").unwrap_or_else(|| "https".to_owned());
            Some(format!("{scheme}://{}.blob.{}", within("accountname")?, within("endpointsuffix")?))
        };
        Self {
            account: set(&["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"])
                .or_else(|| within("accountname")),
            endpoint: within("blobendpoint").or_else(suffixed),
            key: set(&["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY"]).or_else(|| within("accountkey")),
            sas_token: set(&["AZURE_STORAGE_SAS_TOKEN"]).or_else(|| within("sharedaccesssignature")),
        }
    }
}

/// The parts of a connection string, by their names in lower case.
fn connection(string: &str) -> BTreeMap<String, String> {
    let parts = string.split(';').filter_map(|part| part.trim().split_once('='));
    parts.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect()
}

/// Where the container is.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// The account's blob endpoint, without a slash behind it.
    endpoint: String,
    pub container: String,
    /// Before every key: empty, or ending in `/`.
    pub prefix: String,
    pub account: Option<String>,
}

impl Address {
    pub fn new(options: &Options, environment: &Environment) -> Result<Self> {
        let (container, prefix) = place(options)?;
        let account = options.account.clone().or_else(|| environment.account.clone());
        // An account of the options isn't at the environment's endpoint.
        let of_environment = || environment.endpoint.clone().filter(|_| account == environment.account);
        let of_account = || Some(format!("https://{}.blob.core.windows.net", account.as_ref()?));
        let endpoint = options.endpoint.clone().or_else(of_environment).or_else(of_account);
        let endpoint = endpoint.ok_or_else(|| {
            Error::new(ErrorKind::Config, "the option `account` is missing")
                .hint("Set `account`, or the environment's `AZURE_STORAGE_ACCOUNT`.")
        })?;
        let is_name = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if let Some(account) = account.as_ref().filter(|account| !is_name(account)) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("`{account}` can't be the name of an account"),
            ));
        }
        Ok(Self { endpoint: judged(&endpoint)?, container, prefix, account })
    }

    /// Whether no TLS is needed.
    pub fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }

    /// The URL of a blob, or of the container.
    pub fn url(&self, key: Option<&str>, query: &[(&str, &str)]) -> String {
        let mut url = format!("{}/{}", self.endpoint, self.container);
        if let Some(key) = key {
            url.push('/');
            url.extend(utf8_percent_encode(&format!("{}{key}", self.prefix), ENCODED_PATH));
        }
        for (at, (name, value)) in query.iter().enumerate() {
            url.push(if at == 0 { '?' } else { '&' });
            url.extend(utf8_percent_encode(name, ENCODED));
            url.push('=');
            url.extend(utf8_percent_encode(value, ENCODED));
        }
        url
    }

    /// For messages.
    pub fn shown(&self) -> String {
        format!("{}/{}/{}", self.endpoint, self.container, self.prefix)
    }

    /// The command of Azure's own tool that writes the blob to stdout. Who runs it is asked by the tool.
    pub fn by_hand(&self, key: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        format!(
            "az storage blob download --only-show-errors --no-progress --blob-url {} --file /dev/stdout --output none",
            quoted(&self.url(Some(key), &[]))
        )
    }
}

/// The container, and what stands before every key.
fn place(options: &Options) -> Result<(String, String)> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
    let (container, folder) = options.container.split_once('/').unwrap_or((&options.container, ""));
    let bytes = container.bytes();
    let is_name = container == "$root"
        || (3..=63).contains(&container.len())
            && bytes.clone().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !container.starts_with('-')
            && !container.ends_with('-')
            && !container.contains("--");
    if !is_name {
        return wrong(format!("`{container}` can't be the name of a container"));
    }
    let folders = [folder, options.prefix.as_deref().unwrap_or_default()];
    let mut prefix = String::new();
    for segment in folders.iter().flat_map(|folder| folder.split('/')).filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") || segment.ends_with('.') {
            return wrong(format!("`{segment}` can't be a folder in a container"));
        }
        prefix.push_str(segment);
        prefix.push('/');
    }
    if prefix.len() > 700 {
        return wrong("`prefix` leaves no room for keys: a blob's name has at most 1024 bytes".to_owned());
    }
    Ok((container.to_owned(), prefix))
}

/// The endpoint without a slash behind it.
fn judged(endpoint: &str) -> Result<String> {
    let trimmed = endpoint.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => Ok(trimmed.to_owned()),
        // It may hold a token: it isn't repeated.
        _ => Err(Error::new(ErrorKind::Config, "`endpoint` isn't the blob endpoint of an account")
            .hint("Write `https://acme.blob.core.windows.net`, without token and query.")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn address(options: serde_json::Value, variables: &[(&str, &str)]) -> Result<Address> {
        Address::new(&serde_json::from_value(options).unwrap(), &environment(variables))
    }

    fn environment(variables: &[(&str, &str)]) -> Environment {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name);
        Environment::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    const STRING: (&str, &str) = (
        "AZURE_STORAGE_CONNECTION_STRING",
        "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5Cg==;EndpointSuffix=core.windows.net",
    );

    #[test]
    fn a_blob_is_where_the_options_and_the_environment_say() {
        for (options, variables, wanted) in [
            (
                json!({ "container": "web", "account": "acme" }),
                &[][..],
                "https://acme.blob.core.windows.net/web/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "container": "web/db", "prefix": "/x/", "endpoint": "http://127.0.0.1:10000/acme/" }),
                &[],
                "http://127.0.0.1:10000/acme/web/db/x/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "container": "web" }),
                &[("AZURE_STORAGE_ACCOUNT", "env")],
                "https://env.blob.core.windows.net/web/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "container": "web" }),
                &[(
                    "AZURE_STORAGE_CONNECTION_STRING",
                    "AccountName=acme;BlobEndpoint=https://blobs.acme.example",
                )],
                "https://blobs.acme.example/web/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "container": "web", "account": "other" }),
                &[STRING],
                "https://other.blob.core.windows.net/web/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "container": "web" }),
                &[STRING],
                "https://acme.blob.core.windows.net/web/a/b%20c%2B%C3%BC",
            ),
        ] {
            let address = address(options.clone(), variables).unwrap();
            assert_eq!(address.url(Some("a/b c+ü"), &[]), wanted, "{options}");
        }
    }

    #[test]
    fn a_connection_string_is_taken_apart_and_single_variables_go_before_it() {
        let read = environment(&[STRING]);
        assert_eq!((read.account.as_deref(), read.key.as_deref()), (Some("acme"), Some("a2V5Cg==")));
        let read = environment(&[STRING, ("AZURE_STORAGE_KEY", "other")]);
        assert_eq!(read.key.as_deref(), Some("other"));
        let token =
            ("AZURE_STORAGE_CONNECTION_STRING", "BlobEndpoint=https://b;SharedAccessSignature=sv=1&sig=a%3D");
        assert_eq!(environment(&[token]).sas_token.as_deref(), Some("sv=1&sig=a%3D"));
    }

    #[test]
    fn what_can_be_no_place_is_told_and_a_token_in_it_is_not_repeated() {
        for (options, named) in [
            (json!({ "container": "web" }), "`account`"),
            (json!({ "container": "Web", "account": "acme" }), "`Web`"),
            (json!({ "container": "a", "account": "acme" }), "`a`"),
            (json!({ "container": "web", "account": "ac/me" }), "`ac/me`"),
            (json!({ "container": "web", "account": "acme", "prefix": "a/../b" }), "`..`"),
            (json!({ "container": "web", "endpoint": "acme.example" }), "`endpoint`"),
            (json!({ "container": "web", "endpoint": "https://acme.example?sig=hunter2" }), "`endpoint`"),
        ] {
            let error = address(options.clone(), &[]).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}");
            assert!(error.message.contains(named), "{options}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_command_by_hand_names_the_blob() {
        let address = address(json!({ "container": "web", "account": "acme" }), &[]).unwrap();
        let command = address.by_hand("it's/data.zst");
        assert!(command.contains("'https://acme.blob.core.windows.net/web/it%27s/data.zst'"), "{command}");
    }
}
