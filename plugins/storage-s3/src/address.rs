//! Where the bucket is: the service's address, the bucket's place in it, and the URL of an object.
//!
//! Nothing here asks the service. The region may be learned later: it is put into the address at each request.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::options::Options;
use crate::presets::Preset;

/// All but what signing leaves as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// As [`ENCODED`], for paths.
const ENCODED_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// Where the bucket is.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    /// The service, which may have `{region}` in it.
    endpoint: String,
    pub bucket: String,
    /// Before every key: empty, or ending in `/`.
    pub prefix: String,
    path_style: bool,
    /// The region before the service said otherwise.
    pub region: String,
    /// The endpoint was given, by the options or by the environment.
    pub is_own: bool,
}

impl Address {
    pub fn new(options: &Options, environment: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let facts = options.preset.facts();
        let set = |names: &[&str]| {
            names.iter().find_map(|name| environment(name).filter(|value| !value.is_empty()))
        };
        let (bucket, prefix) = place(options)?;
        // Of another service the environment's address would lead astray.
        let of_environment = || match options.preset {
            Preset::Aws | Preset::Minio | Preset::Seaweedfs | Preset::Garage => {
                set(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"])
            }
            _ => None,
        };
        let own = options.endpoint.clone().or_else(of_environment);
        let region = options.region.clone().or_else(|| set(&["AWS_REGION", "AWS_DEFAULT_REGION"]));
        let region = region
            .or_else(|| facts.region.map(str::to_owned))
            .or_else(|| own.as_ref().map(|_| "us-east-1".to_owned()));
        let region = region.ok_or_else(|| missing("region", "the bucket's region"))?;
        let is_own = own.is_some();
        let endpoint = match own.or_else(|| facts.endpoint.map(str::to_owned)) {
            Some(endpoint) => endpoint,
            None => return Err(missing("endpoint", "the service's address")),
        };
        let endpoint = match (&options.account, endpoint.contains("{account}")) {
            (Some(account), _) => endpoint.replace("{account}", account),
            (None, true) => return Err(missing("account", "the account's number")),
            (None, false) => endpoint,
        };
        let endpoint = judged(&endpoint)?;
        let by_nature = bucket.contains('.') || is_number(host_of(&endpoint));
        let path_style = options
            .path_style
            .unwrap_or(facts.path_style || by_nature || is_own && options.preset == Preset::Aws);
        Ok(Self { endpoint, bucket, prefix, path_style, region, is_own })
    }

    /// Whether no TLS is needed.
    pub fn is_plain(&self) -> bool {
        self.endpoint.starts_with("http://")
    }

    /// The URL of an object, or of the bucket; `query` is appended encoded.
    pub fn url(&self, region: &str, key: Option<&str>, query: &[(&str, &str)]) -> String {
        let endpoint = self.endpoint.replace("{region}", region);
        let (scheme, rest) = endpoint.split_once("://").unwrap_or(("https", &endpoint));
        let mut url = match self.path_style {
            true => format!("{scheme}://{rest}/{}", self.bucket),
            false => format!("{scheme}://{}.{rest}", self.bucket),
        };
        url.push('/');
        if let Some(key) = key {
            let whole = format!("{}{key}", self.prefix);
            url.extend(utf8_percent_encode(&whole, ENCODED_PATH));
        } else if self.path_style {
            url.pop();
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
        format!("s3://{}/{}", self.bucket, self.prefix)
    }

    /// The command of AWS's own tool that writes the object to stdout.
    pub fn by_hand(&self, key: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
        let mut command =
            format!("aws s3 cp {} -", quoted(&format!("s3://{}/{}{key}", self.bucket, self.prefix)));
        if self.is_own || !self.endpoint.contains("amazonaws.com") {
            command.push_str(&format!(
                " --endpoint-url {}",
                quoted(&self.endpoint.replace("{region}", &self.region))
            ));
        }
        command
    }
}

/// The bucket, and what stands before every key.
fn place(options: &Options) -> Result<(String, String)> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
    let (bucket, folder) = options.bucket.split_once('/').unwrap_or((&options.bucket, ""));
    let is_name = |name: &str| {
        let bytes = name.bytes();
        name.len() >= 3
            && name.len() <= 255
            && bytes.clone().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    if !is_name(bucket) {
        return wrong(format!("`{bucket}` can't be the name of a bucket"));
    }
    let folders = [folder, options.prefix.as_deref().unwrap_or_default()];
    let mut prefix = String::new();
    for segment in folders.iter().flat_map(|folder| folder.split('/')).filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") {
            return wrong(format!("`{segment}` can't be a folder in a bucket"));
        }
        prefix.push_str(segment);
        prefix.push('/');
    }
    if prefix.len() > 700 {
        return wrong("`prefix` leaves no room for keys: a whole key has at most 1024 bytes".to_owned());
    }
    Ok((bucket.to_owned(), prefix))
}

/// The endpoint without a slash behind it.
fn judged(endpoint: &str) -> Result<String> {
    let trimmed = endpoint.trim_end_matches('/');
    let rest = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(['@', '?', '#', ' ']) => Ok(trimmed.to_owned()),
        // It may hold a password: it isn't repeated.
        _ => Err(Error::new(ErrorKind::Config, "`endpoint` isn't the address of a service")
            .hint("Write `https://s3.example.org`, without user, password and query.")),
    }
}

fn host_of(endpoint: &str) -> &str {
    let rest = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_number(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

fn missing(option: &str, what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("the option `{option}` is missing"))
        .hint(format!("This preset needs {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(options: serde_json::Value) -> Result<Address> {
        Address::new(&serde_json::from_value(options).unwrap(), |_| None)
    }

    fn url(options: serde_json::Value) -> String {
        let address = address(options).unwrap();
        address.url(&address.region, Some("a/b c+ü"), &[])
    }

    #[test]
    fn presets_give_the_addresses_that_the_services_document() {
        use serde_json::json;
        for (options, wanted) in [
            (json!({ "bucket": "acme" }), "https://acme.s3.us-east-1.amazonaws.com/a/b%20c%2B%C3%BC"),
            (
                json!({ "bucket": "acme", "region": "eu-west-1" }),
                "https://acme.s3.eu-west-1.amazonaws.com/a/b%20c%2B%C3%BC",
            ),
            (json!({ "bucket": "acme.org" }), "https://s3.us-east-1.amazonaws.com/acme.org/a/b%20c%2B%C3%BC"),
            (
                json!({ "bucket": "acme", "preset": "r2", "account": "c0ffee" }),
                "https://c0ffee.r2.cloudflarestorage.com/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "b2", "region": "us-west-004" }),
                "https://s3.us-west-004.backblazeb2.com/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "spaces", "region": "fra1" }),
                "https://acme.fra1.digitaloceanspaces.com/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "wasabi", "region": "eu-central-1" }),
                "https://s3.eu-central-1.wasabisys.com/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "scaleway", "region": "fr-par" }),
                "https://s3.fr-par.scw.cloud/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "hetzner", "region": "fsn1" }),
                "https://fsn1.your-objectstorage.com/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "ovh", "region": "gra" }),
                "https://s3.gra.io.cloud.ovh.net/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "alibaba", "region": "cn-hangzhou" }),
                "https://acme.s3.oss-cn-hangzhou.aliyuncs.com/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "tencent", "region": "ap-guangzhou" }),
                "https://acme.cos.ap-guangzhou.myqcloud.com/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "huawei", "region": "eu-west-0" }),
                "https://acme.obs.eu-west-0.myhuaweicloud.com/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "minio", "endpoint": "http://minio:9000/" }),
                "http://minio:9000/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme", "preset": "garage", "endpoint": "https://g.example" }),
                "https://g.example/acme/a/b%20c%2B%C3%BC",
            ),
            (
                json!({ "bucket": "acme/web/", "prefix": "/db", "preset": "seaweedfs", "endpoint": "http://[::1]:8333" }),
                "http://[::1]:8333/acme/web/db/a/b%20c%2B%C3%BC",
            ),
        ] {
            assert_eq!(url(options.clone()), wanted, "{options}");
        }
    }

    #[test]
    fn what_a_preset_needs_and_what_can_be_no_bucket_is_told() {
        use serde_json::json;
        for (options, named) in [
            (json!({ "bucket": "acme", "preset": "minio" }), "`endpoint`"),
            (json!({ "bucket": "acme", "preset": "r2" }), "`account`"),
            (json!({ "bucket": "acme", "preset": "hetzner" }), "`region`"),
            (json!({ "bucket": "a" }), "`a`"),
            (json!({ "bucket": "ac me" }), "`ac me`"),
            (json!({ "bucket": "acme", "prefix": "a/../b" }), "`..`"),
            (json!({ "bucket": "acme", "endpoint": "s3.example.org" }), "`endpoint`"),
            (json!({ "bucket": "acme", "endpoint": "https://user:hunter2@s3.example.org" }), "`endpoint`"),
        ] {
            let error = address(options.clone()).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Config, "{options}");
            assert!(error.message.contains(named), "{options}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn the_environment_names_region_and_endpoint_where_the_options_do_not() {
        let options = serde_json::from_value(serde_json::json!({ "bucket": "acme" })).unwrap();
        let environment = |name: &str| match name {
            "AWS_REGION" => Some("eu-north-1".to_owned()),
            "AWS_ENDPOINT_URL_S3" => Some("http://127.0.0.1:9000".to_owned()),
            _ => None,
        };
        let address = Address::new(&options, environment).unwrap();
        assert_eq!(
            address.url(&address.region, None, &[("list-type", "2")]),
            "http://127.0.0.1:9000/acme?list-type=2"
        );
        assert_eq!(address.region, "eu-north-1");
        assert_eq!(
            address.by_hand("it's"),
            r"aws s3 cp 's3://acme/it'\''s' - --endpoint-url 'http://127.0.0.1:9000'"
        );
    }
}
