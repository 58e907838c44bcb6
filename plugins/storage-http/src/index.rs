//! The page that a server makes of a folder: links in HTML, as Apache, nginx, Caddy, lighttpd, rclone and Python make them, or
//! a list in JSON, as nginx (`autoindex_format json`) and Caddy do. Only text.
//!
//! Of a page only names are taken. The sizes and times on it are rounded, and in a zone that isn't told.

use serde::Deserialize;
use url::Url;

use crate::address::{is_name, name};

/// What a program is told of a name.
#[derive(Deserialize)]
struct Entry {
    name: String,
    /// nginx.
    #[serde(default, rename = "type")]
    kind: Option<String>,
    /// Caddy.
    #[serde(default)]
    is_dir: bool,
}

/// The names in the folder at `page`, folders with a `/`. `None`: it isn't a page of a folder.
pub fn names(page: &Url, kind: &str, text: &str) -> Option<Vec<String>> {
    let mut names = match kind.split(';').next().unwrap_or_default().trim() {
        "application/json" => listed(text)?,
        "text/html" | "application/xhtml+xml" => {
            links(text).iter().filter_map(|link| name(page, link)).collect()
        }
        _ => return None,
    };
    names.sort_unstable();
    names.dedup();
    Some(names)
}

fn listed(text: &str) -> Option<Vec<String>> {
    let entries: Vec<Entry> = serde_json::from_str(text).ok()?;
    let named = |entry: Entry| {
        let plain = entry.name.strip_suffix('/').unwrap_or(&entry.name);
        let is_folder =
            entry.is_dir || entry.kind.as_deref() == Some("directory") || entry.name.ends_with('/');
        is_name(plain).then(|| if is_folder { format!("{plain}/") } else { plain.to_owned() })
    };
    Some(entries.into_iter().filter_map(named).collect())
}

/// What the links of a page lead to.
fn links(page: &str) -> Vec<String> {
    let lower = page.to_ascii_lowercase();
    let mut links = Vec::new();
    let mut at = 0;
    while let Some(found) = lower[at..].find("<a") {
        let from = at + found + 2;
        let end = lower[from..].find('>').map_or(lower.len(), |end| from + end);
        at = end;
        // `<abbr` is another thing.
        if lower[from..end].starts_with(char::is_whitespace) {
            links.extend(attribute(&page[from..end], &lower[from..end], "href").map(decoded));
        }
    }
    links
}

/// The value of an attribute, in quotes or without.
fn attribute<'t>(tag: &'t str, lower: &str, name: &str) -> Option<&'t str> {
    let mut at = 0;
    loop {
        let found = at + lower[at..].find(name)?;
        at = found + name.len();
        let rest = tag[at..].trim_start();
        let is_whole = tag[..found].ends_with(char::is_whitespace);
        let Some(value) = rest.strip_prefix('=').filter(|_| is_whole) else { continue };
        let value = value.trim_start();
        return match value.chars().next()? {
            quote @ ('"' | '\'') => value[1..].split(quote).next(),
            _ => value.split_whitespace().next(),
        };
    }
}

/// Without the entities that names may hold.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('&') {
        decoded.push_str(before);
        let entity = behind.split_once(';').and_then(|(entity, after)| Some((letter(entity)?, after)));
        match entity {
            Some((letter, after)) => {
                decoded.push(letter);
                rest = after;
            }
            None => {
                decoded.push('&');
                rest = behind;
            }
        }
    }
    decoded + rest
}

fn letter(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = entity.strip_prefix('#')?;
            let hex = number.strip_prefix(['x', 'X']);
            let code = hex.map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &str, text: &str) -> Option<Vec<String>> {
        names(&Url::parse("https://web.example/backups/").unwrap(), kind, text)
    }

    #[test]
    fn pages_of_the_usual_servers_give_names_and_nothing_else() {
        let apache = r#"<table><tr><th><a href="?C=N;O=D">Name</a></th></tr><tr><td><a href="/">Parent Directory</a></td></tr>
            <tr><td><a href="manifest.json">manifest.json</a></td><td align="right">2026-11-22 18:59  </td><td>1.2K</td></tr>
            <tr><td><a href="web1/">web1/</a></td></tr></table><address><a href="https://httpd.apache.org/">Apache</a></address>"#;
        let nginx = "<pre><a href=\"../\">../</a>\r\n<a href=\"web1/\">web1/</a>   22-Nov-2026 18:59    -\r\n\
                     <a href=\"manifest.json\">manifest.json</a>   22-Nov-2026 18:59   1234\r\n</pre>";
        let python = "<ul>\n<li><a href=\"manifest.json\">manifest.json</a></li>\n<li><a href=\"web1/\">web1/</a></li></ul>";
        let caddy = "<tr class=\"file\"><td><A\n  class=x HREF='./manifest.json'><svg></svg></A></td></tr><a href=./web1/>x</a><abbr href=no>";
        for page in [apache, nginx, python, caddy] {
            assert_eq!(of("text/html; charset=utf-8", page).unwrap(), ["manifest.json", "web1/"], "{page}");
        }
    }

    #[test]
    fn lists_for_programs_are_read_as_well() {
        let nginx = r#"[{ "name":"web1", "type":"directory", "mtime":"Sun, 22 Nov 2026 18:59:03 GMT" },
                        { "name":"manifest.json", "type":"file", "mtime":"x", "size":1234 }, { "name":"../x", "type":"file" }]"#;
        let caddy = r#"[{"name":"web1/","size":4096,"url":"./web1/","is_dir":true,"is_symlink":false},
                        {"name":"manifest.json","size":1,"url":"./manifest.json","is_dir":false}]"#;
        for list in [nginx, caddy] {
            assert_eq!(of("application/json", list).unwrap(), ["manifest.json", "web1/"], "{list}");
        }
        for (kind, text) in [("application/json", "{}"), ("text/plain", "web1/"), ("", "")] {
            assert_eq!(of(kind, text), None, "{kind} {text}");
        }
    }

    #[test]
    fn names_are_decoded_once_and_broken_pages_end() {
        let page = "<a href=\"a%20b\"></a><a href='c&amp;d&#39;e'></a><a href=\"&unknown;x\"></a><a nohref=\"no\"></a><a";
        assert_eq!(of("text/html", page).unwrap(), ["&unknown;x", "a b", "c&d'e"]);
        assert_eq!(of("text/html", "<a href=\"ü").unwrap(), ["ü"]);
    }
}
