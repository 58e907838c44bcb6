//! The drive's folders: looked at, walked for a listing, made where they are missing, removed when nothing is left in them.
//!
//! Paths here are the drive's, keys are ours.

use http::Method;
use serde_json::json;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{joined, name, parent};
use crate::documents::{Item, Page, read};
use crate::names::{meant_for, plain, without_parts};
use crate::request::{Ask, Requests};
use crate::service::Drive;

/// Of what is listed this is asked.
const QUERY: &str = "?$top=200&$select=id,name,size,eTag,cTag,lastModifiedDateTime,file,folder";

impl Requests {
    /// What is at a path, in whatever spelling.
    pub async fn item(&self, path: &str) -> Result<Option<Item>> {
        let answer = self.send(Ask::new(Method::GET, self.address.url(path, "")).expect(&[404])).await?;
        match answer.status.as_u16() {
            404 => Ok(None),
            _ => read(answer).await.map(Some),
        }
    }

    /// All that is in a folder, whose URL this is; `None` where there is none.
    pub async fn children(&self, url: String) -> Result<Option<Vec<Item>>> {
        let (mut found, mut next) = (Vec::new(), Some(url + QUERY));
        while let Some(url) = next {
            let answer = self.send(Ask::new(Method::GET, url).expect(&[404])).await?;
            if answer.status.as_u16() == 404 {
                return Ok(None);
            }
            let mut page: Page = read(answer).await?;
            found.append(&mut page.value);
            next = page.next.filter(|next| !next.is_empty());
            if next.as_ref().is_some_and(|next| !self.address.may_ask(next, true)) {
                return Err(Error::failed("the service named another one for the next page"));
            }
        }
        Ok(Some(found))
    }

    /// Removes something. What isn't there is removed.
    pub async fn remove(&self, item: &Item) -> Result<()> {
        let mut ask = Ask::new(Method::DELETE, self.address.item(&item.id, "")).expect(&[404]);
        // Not what took its place meanwhile. A folder's tag changes with all that is in it.
        if item.file.is_some() && !item.e_tag.is_empty() {
            ask = ask.header("if-match", &item.e_tag);
        }
        self.send(ask).await.map(drop)
    }

    /// Makes a folder and those that it is in.
    pub async fn make(&self, folder: &str) -> Result<()> {
        let (mut missing, mut next) = (Vec::new(), folder);
        while !next.is_empty() {
            match self.make_one(next).await {
                Err(error) if error.kind == ErrorKind::NotFound && next.contains('/') => {
                    missing.push(next);
                    next = parent(next);
                }
                made => {
                    made?;
                    break;
                }
            }
        }
        for folder in missing.into_iter().rev() {
            self.make_one(folder).await?;
        }
        Ok(())
    }

    /// `NotFound` where the folder that it is to be in isn't there.
    pub async fn make_one(&self, folder: &str) -> Result<()> {
        let described =
            json!({ "name": name(folder), "folder": {}, "@microsoft.graph.conflictBehavior": "fail" });
        let url = self.address.url(parent(folder), "/children");
        match self.send(Ask::new(Method::POST, url).document(&described)).await {
            Err(error) if error.kind == ErrorKind::AlreadyExists => Ok(()),
            made => made.map(drop),
        }
    }
}

/// What a walk found, by its key.
pub enum Found {
    /// A file.
    Small(String, Item),
    /// A folder of parts.
    Large(String, Item),
    /// A folder that keys go on in.
    Folder(String),
    /// An upload under way: the key that it is meant for, and its path.
    HalfUpload(String, String, Item),
}

impl Drive {
    /// What is in the folder of `prefix` and, with `deep`, below it. Of folders whose keys can't begin with `prefix` nothing.
    pub async fn walk(&self, prefix: &str, deep: bool) -> Result<Vec<Found>> {
        let (mut found, mut open) = (Vec::new(), vec![parent(prefix).to_owned()]);
        while let Some(folder) = open.pop() {
            let path = self.requests.address.path(&folder);
            // It may have gone meanwhile.
            let url = self.requests.address.url(&path, "/children");
            let Some(children) = self.requests.children(url).await? else { continue };
            for item in children {
                let Some(entry) = sorted(&folder, &path, item) else { continue };
                if let Found::Folder(inner) = &entry {
                    self.seen.add(inner);
                    let begin = format!("{inner}/");
                    if deep && (begin.starts_with(prefix) || prefix.starts_with(&begin)) {
                        open.push(inner.clone());
                    }
                }
                found.push(entry);
            }
        }
        Ok(found)
    }

    /// Removes a folder that nothing is in, so that it isn't listed for something. Only the one that a snapshot's files were in: no
    /// other run writes there, while those above are shared.
    pub async fn tidy(&self, folder: &str) -> Result<()> {
        let path = self.requests.address.path(folder);
        if folder.is_empty() || path.is_empty() {
            return Ok(());
        }
        let Some(item) = self.requests.item(&path).await? else { return Ok(()) };
        let inside = self.requests.children(self.requests.address.item(&item.id, "/children")).await?;
        if item.folder.is_none() || inside.is_none_or(|inside| !inside.is_empty()) {
            return Ok(());
        }
        self.seen.forget(folder);
        self.requests.remove(&item).await
    }
}

/// What something in a folder is to us; `None`: nothing.
fn sorted(folder: &str, path: &str, item: Item) -> Option<Found> {
    let key = |name: &str| Some(joined(folder, &plain(name)?));
    if item.file.is_some() {
        return Some(Found::Small(key(&item.name)?, item));
    }
    item.folder.as_ref()?;
    if let Some(name) = meant_for(&item.name) {
        return Some(Found::HalfUpload(key(name)?, joined(path, &item.name), item));
    }
    if let Some(name) = without_parts(&item.name) {
        return Some(Found::Large(key(name)?, item));
    }
    key(&item.name).map(Found::Folder)
}
