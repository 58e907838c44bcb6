//! The server's folders: made where they are missing, walked for a listing, removed when nothing is left in them.

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{is_hidden, parent};
use crate::errors::no_folder;
use crate::request::{Ask, Requests};
use crate::xml::{self, QUESTION, Told};

/// A file of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub place: String,
    pub size_bytes: u64,
    pub modified: Option<i64>,
    pub etag: Option<String>,
}

/// What is in a folder.
#[derive(Debug, Default)]
pub struct Folder {
    /// Hidden ones too.
    pub files: Vec<File>,
    /// Their places end in `/`.
    pub folders: Vec<String>,
}

impl Requests {
    /// What is known of a place: `None` where there is nothing, or a folder.
    pub async fn look(&self, place: &str) -> Result<Option<File>> {
        let told = self.ask(place, "0").await?;
        Ok(told.and_then(|told| told.into_iter().next()).filter(|told| !told.is_folder()).map(|told| File {
            place: place.to_owned(),
            size_bytes: told.size_bytes(),
            modified: told.modified(),
            etag: told.etag(),
        }))
    }

    /// What is in a folder; `None` where there is none.
    pub async fn folder(&self, place: &str) -> Result<Option<Folder>> {
        let Some(all) = self.ask(place, "1").await? else { return Ok(None) };
        let mut folder = Folder::default();
        for told in all {
            let Some(named) = self.address.named(&told.href) else { continue };
            // The folder itself is among them. What lies deeper wasn't asked for.
            let name = named.strip_prefix(place).unwrap_or_default().trim_end_matches('/');
            if name.is_empty() || name.contains('/') {
                continue;
            }
            let inner = format!("{place}{name}");
            match told.is_folder() {
                true => folder.folders.push(inner + "/"),
                false => folder.files.push(File {
                    place: inner,
                    size_bytes: told.size_bytes(),
                    modified: told.modified(),
                    etag: told.etag(),
                }),
            }
        }
        Ok(Some(folder))
    }

    async fn ask(&self, place: &str, depth: &str) -> Result<Option<Vec<Told>>> {
        let ask = Ask::new("PROPFIND", place)
            .header("depth", depth)
            .header("content-type", "application/xml; charset=utf-8")
            .body(QUESTION)
            .expect(&[404, 410]);
        let answer = self.send(ask).await?;
        match answer.status.as_u16() {
            404 | 410 => Ok(None),
            _ => xml::read(&answer.text().await?).map(Some),
        }
    }

    /// Nothing is there: an error if that is because the top folder isn't.
    pub async fn judge_top(&self) -> Result<()> {
        match self.ask("", "0").await? {
            Some(_) => Ok(()),
            None => Err(no_folder(&self.address.url(""))),
        }
    }

    /// All files below a folder whose place begins with `prefix`. Folders of which `skip` holds aren't looked into.
    pub async fn walk(&self, prefix: &str, skip: impl Fn(&str) -> bool) -> Result<Vec<File>> {
        let top = prefix.rfind('/').map_or("", |end| &prefix[..=end]).to_owned();
        let (mut found, mut open) = (Vec::new(), vec![top]);
        while let Some(place) = open.pop() {
            // It may have gone meanwhile.
            let Some(folder) = self.folder(&place).await? else { continue };
            found.extend(folder.files.into_iter().filter(|file| file.place.starts_with(prefix)));
            let meant = |inner: &String| {
                (inner.starts_with(prefix) || prefix.starts_with(inner.as_str())) && !skip(inner)
            };
            open.extend(folder.folders.into_iter().filter(meant));
        }
        Ok(found)
    }

    /// Makes a folder and those that it is in, but the top one.
    pub async fn make(&self, folder: &str) -> Result<()> {
        if folder.is_empty() {
            return self.judge_top().await;
        }
        let (mut missing, mut next) = (Vec::new(), folder);
        while !next.is_empty() {
            match self.make_one(next).await {
                Err(error) if error.kind == ErrorKind::NotFound => {
                    missing.push(next);
                    next = parent(next);
                }
                made => {
                    made?;
                    break;
                }
            }
        }
        if next.is_empty() && !missing.is_empty() {
            self.judge_top().await?;
        }
        for folder in missing.into_iter().rev() {
            self.make_one(folder).await?;
        }
        Ok(())
    }

    /// `NotFound` where the folder that it is to be in isn't there.
    async fn make_one(&self, folder: &str) -> Result<()> {
        // 405: it is there.
        let answer = self.send(Ask::new("MKCOL", folder).expect(&[404, 405, 409])).await?;
        match answer.status.as_u16() {
            404 | 409 => Err(Error::new(ErrorKind::NotFound, format!("can't make the folder `{folder}`"))),
            _ => Ok(()),
        }
    }

    /// Removes a folder that nothing is in, so that it isn't listed for something. Only the one that a snapshot's files were
    /// in: no other run writes there, while those above are shared.
    pub async fn tidy(&self, folder: &str) -> Result<()> {
        if folder.is_empty() || folder == self.address.prefix {
            return Ok(());
        }
        let Some(Folder { files, folders }) = self.folder(folder).await? else { return Ok(()) };
        if !files.is_empty() || !folders.is_empty() {
            return Ok(());
        }
        self.send(Ask::new("DELETE", folder).expect(&[404, 410])).await.map(drop)
    }
}

impl File {
    /// Whether it is an object.
    pub fn is_shown(&self) -> bool {
        !is_hidden(&self.place)
    }
}
