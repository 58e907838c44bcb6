//! Listings: a walk in byte order of the keys, which isn't the order of folders.
//!
//! Within a folder, names are sorted as they stand in keys, folders with their `/`: then `a-b` comes before `a/c`, and what is
//! below a folder is one run. A page reads only the folders it needs. Of a folder it holds at most [`HELD`] names, and reads a
//! larger one several times: a page of a folder of any size takes a bounded memory.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use windlass_folder::key::{self, AREA};
use windlass_folder::page::Paging;
use windlass_plugin_api::{Context, Error, ListOptions, Object, Page, Result};

use crate::connect::Connection;
use crate::folder::Folder;
use crate::object::described;
use crate::protocol::{Attrs, Fault, Kind, Name, Session, status};

/// Names held of one folder: about 100 bytes each.
const HELD: usize = 32_768;
/// Folders that are looked into at once, to see whether an object is in them.
const AT_ONCE: usize = 32;

/// One page of what `what` names.
pub fn page(folder: &Arc<Folder>, cx: &Context, what: &ListOptions) -> Result<Page> {
    let page = Paging::new(what)?;
    // Straight to the folder of the prefix: what is beside it isn't read.
    let base = page.base();
    folder.link.run(cx, async {
        let connection = folder.link.connection(cx).await?;
        let mut walk = Walk { folder: folder.clone(), connection, page };
        if walk.begins(base).await? {
            walk.folder(base.to_owned()).await?;
        }
        Ok(walk.page.end())
    })
}

struct Walk<'a> {
    folder: Arc<Folder>,
    connection: Arc<Connection>,
    page: Paging<'a>,
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl Walk<'_> {
    /// Whether there is a folder to begin in.
    async fn begins(&self, base: &str) -> Result<bool> {
        let sftp = &self.connection.sftp;
        match base.strip_suffix('/') {
            None => self.folder.is_there(sftp).await,
            Some(path) if key::judge(path).is_ok() => {
                let attrs = self.folder.look(sftp, path).await?;
                Ok(attrs.is_some_and(|attrs| attrs.kind() == Kind::Folder))
            }
            // No key begins like that.
            Some(_) => Ok(false),
        }
    }

    /// Lists what is in the folder whose keys begin with `base`. False once the page is full.
    fn folder(&mut self, base: String) -> Later<'_, bool> {
        Box::pin(async move {
            let mut after = None;
            loop {
                let (names, is_all) = self.names(&base, after.as_deref()).await?;
                after = names.last().filter(|_| !is_all).map(|(name, _)| name.clone());
                if !self.entries(&base, names).await? {
                    return Ok(false);
                }
                if after.is_none() {
                    return Ok(true);
                }
            }
        })
    }

    /// Lists names of a folder and what is below them. False once the page is full.
    async fn entries(&mut self, base: &str, names: Vec<(String, Attrs)>) -> Result<bool> {
        let mut names = names.into_iter().peekable();
        while let Some((name, attrs)) = names.next() {
            let key = format!("{base}{name}");
            let goes_on = if !name.ends_with('/') {
                self.page.put(described(key, &attrs))
            } else if !self.page.folds(&key) {
                self.folder(key).await?
            } else {
                let mut run = vec![key];
                while run.len() < AT_ONCE && names.peek().is_some_and(|(name, _)| name.ends_with('/')) {
                    run.extend(names.next().map(|(name, _)| format!("{base}{name}")));
                }
                self.folded(run).await?
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts those of the folders that are the beginning of a key.
    async fn folded(&mut self, folders: Vec<String>) -> Result<bool> {
        let look = |key: String| {
            let (folder, connection) = (self.folder.clone(), self.connection.clone());
            tokio::spawn(async move {
                holds_object(&folder, &connection.sftp, key.clone()).await.map(|is| (key, is))
            })
        };
        let mut goes_on = true;
        for looked in folders.into_iter().map(look).collect::<Vec<_>>() {
            let looked = looked.await.map_err(|_| Error::failed("listing was ended"))?;
            let (key, holds) = looked?;
            goes_on = goes_on && (!holds || self.page.put(Object { key, ..Object::default() }));
        }
        Ok(goes_on)
    }

    /// The first names in a folder behind `after`, sorted, folders with a `/`; and whether these are all.
    async fn names(&self, base: &str, after: Option<&str>) -> Result<(Vec<(String, Attrs)>, bool)> {
        let mut held = BTreeMap::new();
        let mut is_all = true;
        each_name(&self.folder, &self.connection.sftp, base, |name, attrs| {
            if after.is_none_or(|after| name.as_str() > after) && self.page.concerns(&format!("{base}{name}"))
            {
                held.insert(name, attrs);
            }
            if held.len() > HELD {
                held.pop_last();
                is_all = false;
            }
            true
        })
        .await?;
        Ok((held.into_iter().collect(), is_all))
    }
}

/// Whether any object is in the folder `base` or below: goes no further than to the first.
fn holds_object<'a>(folder: &'a Folder, sftp: &'a Session, base: String) -> Later<'a, bool> {
    Box::pin(async move {
        let (mut found, mut folders) = (false, Vec::new());
        each_name(folder, sftp, &base, |name, _| {
            match name.ends_with('/') {
                true => folders.push(name),
                false => found = true,
            }
            !found
        })
        .await?;
        for name in folders {
            found = found || holds_object(folder, sftp, format!("{base}{name}")).await?;
        }
        Ok(found)
    })
}

/// Calls `take` with each name in the folder `base` that is an object or, with a `/`, a folder, until it says false. Links,
/// pipes and the like are nothing; neither are names that aren't UTF-8, for no key is.
async fn each_name(
    folder: &Folder,
    sftp: &Session,
    base: &str,
    mut take: impl FnMut(String, Attrs) -> bool + Send,
) -> Result<()> {
    let path = base.trim_end_matches('/');
    let mut reading = Some(match sftp.opendir(&folder.path(path)).await {
        Ok(handle) => handle,
        // It may have gone since its name was read.
        Err(Fault::Status { code: status::NO_SUCH_FILE, .. }) if !base.is_empty() => return Ok(()),
        Err(fault) => return Err(folder.failed("list", path, &fault)),
    });
    while let Some(handle) = reading.take() {
        let names = sftp.readdir(&handle).await.map_err(|fault| folder.failed("list", path, &fault))?;
        let goes_on = names.is_some_and(|names| names.into_iter().all(|name| taken(name, base, &mut take)));
        if goes_on {
            reading = Some(handle);
        } else {
            sftp.forget(&handle).await;
        }
    }
    Ok(())
}

fn taken(name: Name, base: &str, take: &mut impl FnMut(String, Attrs) -> bool) -> bool {
    let Ok(text) = std::str::from_utf8(&name.name) else { return true };
    // Our own, and the one that a disk's own root has. A name with a `/` is a lie that could lead outside.
    let is_ours = base.is_empty() && matches!(text, AREA | "lost+found");
    if is_ours || matches!(text, "" | "." | "..") || text.contains(['/', '\0']) {
        return true;
    }
    match name.attrs.kind() {
        Kind::File => take(text.to_owned(), name.attrs),
        Kind::Folder => take(format!("{text}/"), name.attrs),
        Kind::Link | Kind::Other => true,
    }
}

/// All names in the folder `path`.
pub async fn names(folder: &Folder, sftp: &Session, path: &str) -> Result<Vec<Name>> {
    let mut all = Vec::new();
    let failed = |fault| folder.failed("list", path, &fault);
    let handle = match sftp.opendir(&folder.path(path)).await {
        Err(Fault::Status { code: status::NO_SUCH_FILE, .. }) => return Ok(all),
        handle => handle.map_err(failed)?,
    };
    while let Some(names) = sftp.readdir(&handle).await.map_err(failed)? {
        all.extend(names);
    }
    sftp.forget(&handle).await;
    Ok(all)
}
