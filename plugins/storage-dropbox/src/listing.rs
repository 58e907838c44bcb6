//! Listings: pages of a folder, or of all that is below it, as keys.
//!
//! The service's order is none that is promised, and of a path only the last name has its own case; so a listing is fetched whole,
//! and names of folders are taken from the folders' own entries.

use std::collections::BTreeMap;

use serde_json::json;
use windlass_object::{Listed, Listing};
use windlass_plugin_api::{ErrorKind, Object, Result};

use crate::address::parent;
use crate::documents::{Metadata, Page, read};
use crate::service::Account;
use crate::spelling::Folder;

/// How many entries one page may have.
pub const PAGE: usize = 2000;

impl Account {
    /// All that is in a folder; empty where there is none.
    pub async fn entries(&self, folder: &str, recursive: bool) -> Result<Vec<Metadata>> {
        let argument =
            json!({ "path": self.requests.address.path(folder), "recursive": recursive, "limit": PAGE });
        let first = self.requests.send(self.requests.call("list_folder", argument).question()).await;
        let mut page: Page = match first {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
            answer => read(answer?).await?,
        };
        let mut entries = Vec::new();
        loop {
            entries.append(&mut page.entries);
            if !page.has_more {
                return Ok(entries);
            }
            let next =
                self.requests.call("list_folder/continue", json!({ "cursor": page.cursor })).question();
            page = read(self.requests.send(next).await?).await?;
        }
    }

    pub async fn listed(&self, what: &Listing<'_>) -> Result<Listed> {
        let whole = Listed { is_unordered: true, ..Listed::default() };
        let folder = parent(what.prefix);
        let is_path = folder.is_empty() || folder.split('/').all(|name| !matches!(name, "" | "." | ".."));
        if !is_path || !matches!(self.folder(folder).await?, Folder::There) {
            return Ok(whole);
        }
        let is_level = what.delimiter == Some("/");
        let found = self.entries(folder, !is_level).await?;
        let depth = self.requests.address.path(folder).matches('/').count();
        let names = Names::of(&found, folder, depth);
        let mut entries = BTreeMap::new();
        for entry in &found {
            let is_inner = is_level && entry.tag == "folder";
            let Some(key) = names.key(entry).filter(|_| is_inner || entry.is_file()) else { continue };
            let object = match is_inner {
                true => Object { key: key + "/", ..Object::default() },
                false => entry.object(key),
            };
            if object.key.starts_with(what.prefix) {
                let folded = folded(object, what);
                entries.insert(folded.key.clone(), folded);
            }
        }
        Ok(Listed { entries: entries.into_values().collect(), ..whole })
    }
}

fn folded(object: Object, what: &Listing<'_>) -> Object {
    let Some(delimiter) = what.delimiter else { return object };
    match object.key[what.prefix.len()..].find(delimiter) {
        Some(at) => {
            let end = what.prefix.len() + at + delimiter.len();
            Object { key: object.key[..end].to_owned(), ..Object::default() }
        }
        None => object,
    }
}

/// The names of folders, by the paths that the service knows them by.
struct Names<'a> {
    folder: &'a str,
    /// How many names lead to the folder that is listed.
    depth: usize,
    names: BTreeMap<&'a str, &'a str>,
}

impl<'a> Names<'a> {
    fn of(entries: &'a [Metadata], folder: &'a str, depth: usize) -> Self {
        let folders = entries.iter().filter(|entry| entry.tag == "folder");
        let names = folders.map(|entry| (entry.path_lower.as_str(), entry.name.as_str())).collect();
        Self { folder, depth, names }
    }

    /// `None` for the folder itself.
    fn key(&self, entry: &Metadata) -> Option<String> {
        let lower = entry.path_lower.as_str();
        let shown: Vec<&str> = entry.path_display.split('/').skip(1 + self.depth).collect();
        let ends: Vec<usize> = lower.match_indices('/').map(|(at, _)| at).skip(1 + self.depth).collect();
        if lower.matches('/').count() <= self.depth {
            return None;
        }
        let mut key = self.folder.to_owned();
        let outer = ends.iter().enumerate().map(|(at, end)| {
            self.names.get(&lower[..*end]).copied().or(shown.get(at).copied()).unwrap_or_default()
        });
        for name in outer.chain([entry.name.as_str()]) {
            if !key.is_empty() {
                key.push('/');
            }
            key.push_str(name);
        }
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_spelled_as_they_are_wherever_a_path_shows_them_otherwise() {
        let entry = |tag: &str, name: &str, path: &str| Metadata {
            tag: tag.to_owned(),
            name: name.to_owned(),
            path_lower: path.to_lowercase(),
            path_display: path.to_owned(),
            ..Metadata::default()
        };
        let entries = [
            entry("folder", "Below", "/Top/Below"),
            entry("file", "Data", "/top/below/shop/Data"),
            entry("folder", "Shop", "/top/below/Shop"),
            entry("file", "b", "/top/below/elsewhere/b"),
        ];
        let keys = |folder: &'static str| -> Vec<Option<String>> {
            let names = Names::of(&entries, folder, 2);
            entries.iter().map(|entry| names.key(entry)).collect()
        };
        let some = |key: &str| Some(key.to_owned());
        assert_eq!(keys(""), [None, some("Shop/Data"), some("Shop"), some("elsewhere/b")]);
        assert_eq!(keys("Below")[1], some("Below/Shop/Data"));
    }
}
