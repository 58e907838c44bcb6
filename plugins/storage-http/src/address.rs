//! Where the folder is, the URLs of what is in it, and which names a link on one of its pages stands for. Asks nobody.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::Url;
use windlass_plugin_api::Result;

use crate::options::wrong;

/// All but what every part of a path takes as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The folder of the option `url`, which ends in `/`.
#[derive(Clone, Debug)]
pub struct Address(Url);

impl Address {
    pub fn new(url: &Url) -> Result<Self> {
        match url.path().ends_with('/') && !url.cannot_be_a_base() {
            true => Ok(Self(url.clone())),
            false => Err(wrong("`url` isn't the address of a folder")),
        }
    }

    /// Whether no TLS is needed.
    pub fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// For messages.
    pub fn shown(&self) -> &str {
        self.0.as_str()
    }

    /// Of an object, or of the folder that a prefix ending in `/` names; of the top folder with an empty one.
    pub fn url(&self, key: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}{}", self.0.path(), utf8_percent_encode(key, ENCODED)));
        url
    }
}

/// The name in the folder at `page` that a link there leads to, with a `/` behind it if it is a folder. `None` for what leads
/// elsewhere: up, to another server, to the same page in another order, or deeper.
pub fn name(page: &Url, link: &str) -> Option<String> {
    let to = page.join(link).ok()?;
    if to.origin() != page.origin() || to.query().is_some() {
        return None;
    }
    // Servers differ in what they encode.
    let decoded = |url: &Url| percent_decode_str(url.path()).decode_utf8().map(String::from).ok();
    let (to, page) = (decoded(&to)?, decoded(page)?);
    let name = to.strip_prefix(&page)?;
    is_name(name.strip_suffix('/').unwrap_or(name)).then(|| name.to_owned())
}

/// Whether a segment of a key could be called so.
pub fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_encoded_where_it_must_be() {
        let address = Address::new(&Url::parse("https://web.example/a%20b/").unwrap()).unwrap();
        assert_eq!(address.url("x y/ü?#%").as_str(), "https://web.example/a%20b/x%20y/%C3%BC%3F%23%25");
        assert_eq!(address.url("").as_str(), "https://web.example/a%20b/");
    }

    #[test]
    fn only_what_is_right_in_the_folder_has_a_name() {
        let page = Url::parse("https://web.example/back%20ups/").unwrap();
        for (link, wanted) in [
            ("a.zst", Some("a.zst")),
            ("./a/", Some("a/")),
            ("a%20b/", Some("a b/")),
            ("/back%20ups/a", Some("a")),
            ("/back ups/a", Some("a")),
            ("https://web.example/back%20ups/a/", Some("a/")),
            ("%7Ea", Some("~a")),
            ("../", None),
            ("/", None),
            ("./", None),
            ("?C=N;O=D", None),
            ("a?x=1", None),
            ("a/b", None),
            ("a%2Fb", None),
            ("%2e%2e/", None),
            ("..%2fetc", None),
            ("a%00", None),
            ("//other.example/back%20ups/a", None),
            ("http://web.example/back%20ups/a", None),
            ("mailto:me@web.example", None),
            ("javascript:alert(1)", None),
        ] {
            assert_eq!(name(&page, link).as_deref(), wanted, "{link}");
        }
    }
}
