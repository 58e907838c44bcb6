//! URLs in place of names: `sqlite:shop.db`, `fs:/mnt/nas`, `postgres://backup@db/shop`.
//!
//! A plugin that declares a `url_option` gets the part behind `scheme:` in that option, and the query as further options:
//! `sqlite:shop.db?mode=sql`. Everything is percent-decoded, so a `?`, `&` or `%` of a file name is written `%3F`, `%26` or
//! `%25`. A storage's `limit` may stand there too. Other plugins get the whole URL, query and all, as their option `url`.

use windlass_plugin_api::Kind;

use super::Known;
use super::convert::from_text;
use super::limit;
use super::pipeline::Entry;
use super::problem::Problem;
use super::shape::Shape;
use super::value::{Data, Located, Origin, Table};

/// Whether `text` begins with a scheme that a plugin of that kind declares.
pub fn is_url(kind: Kind, text: &str, known: &dyn Known) -> bool {
    split(text).is_some_and(|(scheme, _)| known.by_scheme(kind, &scheme).is_some())
}

/// Scheme, in lower case, and the rest. `C:` is no scheme, and neither is `a b:`.
fn split(url: &str) -> Option<(String, &str)> {
    let (scheme, rest) = url.split_once(':')?;
    let mut bytes = scheme.bytes();
    let first = bytes.next()?;
    let valid = first.is_ascii_alphabetic()
        && scheme.len() > 1
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    valid.then(|| (scheme.to_ascii_lowercase(), rest))
}

/// What a URL stands for. The entry's key is the URL without its password.
pub fn entry_from_url(kind: Kind, url: &Located<String>, known: &dyn Known) -> Result<Entry, Problem> {
    let shown = redact_url(url);
    let wrong = |message: String| Problem::new(message).at(&url.origin);
    let Some((scheme, rest)) = split(url) else {
        return Err(wrong(format!("`{shown}` is not a URL")));
    };
    let Some(info) = known.by_scheme(kind, &scheme) else {
        return Err(unknown_scheme(kind, &scheme, &shown, known).at(&url.origin));
    };
    let shape = Shape::of(&info.options);
    let mut options = Table::default();
    match &info.url_option {
        None => {
            if !shape.keys().contains(&"url") {
                return Err(wrong(format!(
                    "the {kind} plugin `{}` can't be named by a URL",
                    info.short_name()
                )));
            }
            options.set("url", url.with(Data::String(url.value.clone())));
        }
        Some(option) => parts(kind, rest, option, &shape, &url.origin, &mut options)?,
    }
    Ok(Entry {
        kind,
        plugin: url.with(info.short_name()),
        version: None,
        max_runs: None,
        options,
        key: shown,
        origin: url.origin.clone(),
    })
}

/// The part behind `scheme:` and the query.
fn parts(
    kind: Kind,
    rest: &str,
    option: &str,
    shape: &Shape<'_>,
    origin: &Origin,
    options: &mut Table,
) -> Result<(), Problem> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    // `sqlite:///var/shop.db` and `s3://bucket`: the slashes belong to the form, not to the value.
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = decode(path).map_err(|message| Problem::new(message).at(origin))?;
    if path.is_empty() {
        return Err(Problem::new("the URL has nothing behind its scheme").at(origin));
    }
    options.set(option, from_text(&path, &shape.property(option), origin));
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.try_for_each(|pair| match limit::is_hosts(kind, shape) && host_option(pair, origin, options)? {
        true => Ok(()),
        false => query_option(pair, shape, origin, options),
    })
}

/// `limit=5MB/s`, `limit.up=5MB/s` or `limit.down=5MB/s`: whether it is one of these. What it says is judged with the rest.
fn host_option(pair: &str, origin: &Origin, options: &mut Table) -> Result<bool, Problem> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let Some(direction) = key.strip_prefix(limit::LIMIT) else { return Ok(false) };
    let wrong = |message: String| Problem::new(message).at(origin);
    let value = Located::new(Data::String(decode(value).map_err(wrong)?), origin.clone());
    let twice = || Err(wrong(format!("the option `{key}` is set twice in the URL")));
    let old = options.0.get_mut(limit::LIMIT).map(|field| &mut field.value.value);
    match (direction.strip_prefix('.'), old) {
        (None, _) if !direction.is_empty() => return Ok(false),
        (None, None) => options.set(limit::LIMIT, value),
        (Some(direction), Some(Data::Table(both))) if !both.contains_key(direction) => {
            both.set(direction, value)
        }
        (Some(direction), None) => {
            let mut both = Table::default();
            both.set(direction, value);
            options.set(limit::LIMIT, Located::new(Data::Table(both), origin.clone()));
        }
        _ => return twice(),
    }
    Ok(true)
}

/// One `key=value` of the query. A key that comes again adds to a list.
fn query_option(pair: &str, shape: &Shape<'_>, origin: &Origin, options: &mut Table) -> Result<(), Problem> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let wrong = |message: String| Problem::new(message).at(origin);
    let (key, value) = (decode(key).map_err(wrong)?, decode(value).map_err(wrong)?);
    let keys = shape.keys();
    if !keys.contains(&key.as_str()) {
        let problem = wrong(format!("unknown option `{key}` in the URL")).suggest(&key, keys);
        return Err(problem.hint("A `?` that belongs to a name is written `%3F`."));
    }
    let new = from_text(&value, &shape.property(&key), origin);
    let old = options.0.get_mut(&key).map(|field| &mut field.value.value);
    match (old, new.value) {
        (Some(Data::Array(items)), Data::Array(more)) => items.extend(more),
        (Some(_), _) => return Err(wrong(format!("the option `{key}` is set twice in the URL"))),
        (None, data) => options.set(&key, Located::new(data, origin.clone())),
    }
    Ok(())
}

fn unknown_scheme(kind: Kind, scheme: &str, shown: &str, known: &dyn Known) -> Problem {
    let infos = known.names(kind).into_iter().filter_map(|name| known.info(kind, &name).ok());
    let schemes: Vec<String> = infos.flat_map(|info| info.schemes.clone()).collect();
    Problem::new(format!("no {kind} plugin knows the scheme `{scheme}:` of `{shown}`"))
        .suggest(scheme, schemes.iter().map(String::as_str))
}

/// Percent-decoding. A `%` that isn't followed by two hex digits stands for itself.
fn decode(text: &str) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let hex = bytes.get(index + 1..index + 3).filter(|hex| bytes[index] == b'%' && hex.is_ascii());
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        // `from_str_radix` takes a sign.
        let byte = byte.filter(|_| bytes[index + 1] != b'+');
        decoded.push(byte.unwrap_or(bytes[index]));
        index += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).map_err(|_| "the URL isn't UTF-8 once it is decoded".to_owned())
}

/// Percent-encodes all but letters, digits and `-._~`.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => encoded.push(byte.into()),
            false => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The password inside a URL, decoded.
pub(super) fn password(url: &str) -> Option<String> {
    let (start, end) = password_span(url, 0)?;
    let raw = &url[start..end];
    (!raw.is_empty()).then(|| decode(raw).unwrap_or_else(|_| raw.to_owned()))
}

/// Where the password of the first URL at or behind `from` stands: between the first `:` and the last `@` of its
/// authority. A password with an unescaped `/` is no valid URL but still a password, so a `:` that no port follows counts.
fn password_span(text: &str, from: usize) -> Option<(usize, usize)> {
    let start = from + text[from..].find("://")? + 3;
    let ends =
        |characters: &[char]| text[start..].find(characters).map_or(text.len(), |length| start + length);
    let authority = &text[start..ends(&['/', '?', '#', ' ', '"', '\'', '`', '\n'])];
    let whole = &text[start..ends(&[' ', '"', '\'', '`', '\n'])];
    let found = match authority.rfind('@') {
        Some(at) => authority[..at].find(':').map(|colon| (start + colon + 1, start + at)),
        None => authority.find(':').and_then(|colon| {
            let port = &authority[colon + 1..];
            let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
            let at = whole.rfind('@').filter(|at| *at > colon && !is_port)?;
            Some((start + colon + 1, start + at))
        }),
    };
    found.or_else(|| password_span(text, start))
}

/// `text` with the passwords of all URLs in it replaced by `…`, and the values of query keys that sound secret.
pub fn redact_url(text: &str) -> String {
    let mut text = text.to_owned();
    let mut from = 0;
    while let Some((start, end)) = password_span(&text, from) {
        text.replace_range(start..end, "…");
        from = start;
    }
    let Some(query) = text.find('?').filter(|query| text[..*query].contains(':')) else { return text };
    let (head, query) = text.split_at(query + 1);
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((key, _)) if sounds_secret(key) => format!("{key}=…"),
        _ => pair.to_owned(),
    });
    format!("{head}{}", pairs.collect::<Vec<_>>().join("&"))
}

/// Whether an option of that name is likely a secret: for what no schema is known of.
pub(super) fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase();
    ["pass", "secret", "token", "key", "identit", "credential"].iter().any(|part| key.contains(part))
}

/// A pipeline's name for what has only a URL: `sqlite:/srv/shop.db` → `shop`. Always a valid name.
pub fn name_from_url(url: &str) -> String {
    let (scheme, rest) = split(url).unwrap_or_else(|| (String::new(), url));
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = decode(path).unwrap_or_else(|_| path.to_owned());
    // Of a server without a database name its host, but neither user nor port.
    let path = path.rsplit_once('@').map_or(path.as_str(), |(_, host)| host);
    let last =
        path.rsplit('/').find(|part| !part.is_empty() && *part != "." && *part != "..").unwrap_or_default();
    let last = last.split(':').next().unwrap_or_default().trim_start_matches('.');
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    [stem, &scheme, "backup"].into_iter().map(sanitise).find(|name| !name.is_empty()).unwrap_or_default()
}

fn sanitise(text: &str) -> String {
    let mut name = String::new();
    for character in text.to_lowercase().chars() {
        match character.is_ascii_alphanumeric() {
            true => name.push(character),
            false if !name.is_empty() && !name.ends_with('-') => name.push('-'),
            false => {}
        }
    }
    name.truncate(63);
    name.trim_end_matches('-').to_owned()
}
