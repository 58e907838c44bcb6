//! Listings: a walk in byte order of the keys, which isn't the order of folders.
//!
//! Within a folder, names are sorted as they stand in keys, folders with their `/`: then `a-b` comes before `a/c`, and what is
//! below a folder is one run. A page reads only the folders it needs. Of a folder it holds at most [`HELD`] names, and reads a
//! larger one several times: a page of a folder of any size takes a bounded memory.
//!
//! A folder counts as the beginning of keys without a look into it, which would take a data connection for each. Folders that
//! nothing is left in are removed when their last object goes.

use std::collections::BTreeMap;
use std::pin::Pin;

use windlass_folder::key::AREA;
use windlass_folder::page::Paging;
use windlass_plugin_api::{Context, ListOptions, Object, Page, Result};

use crate::folder::Folder;
use crate::key;
use crate::object::described;
use crate::pool::Lease;
use crate::protocol::{Facts, Kind, Session};

/// Names held of one folder: about 100 bytes each.
const HELD: usize = 32_768;

/// One page of what `what` names.
pub fn page(folder: &Folder, cx: &Context, what: &ListOptions) -> Result<Page> {
    let page = Paging::new(what)?;
    // Straight to the folder of the prefix: what is beside it isn't read.
    let base = page.base();
    folder.link.run(cx, async {
        let ftp = folder.link.lease(cx).await?;
        let mut walk = Walk { folder, ftp, page };
        if walk.begins(base).await? {
            walk.folder(base.to_owned()).await?;
        }
        Ok(walk.page.end())
    })
}

struct Walk<'a> {
    folder: &'a Folder,
    ftp: Lease,
    page: Paging<'a>,
}

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

impl Walk<'_> {
    /// Whether there is a folder to begin in.
    async fn begins(&mut self, base: &str) -> Result<bool> {
        match base.strip_suffix('/') {
            None => self.folder.is_there(&mut self.ftp).await,
            Some(path) if key::judge(path).is_ok() => {
                let facts = self.folder.look(&mut self.ftp, path).await?;
                Ok(facts.is_some_and(|facts| facts.kind == Kind::Folder))
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
    async fn entries(&mut self, base: &str, names: Vec<(String, Facts)>) -> Result<bool> {
        for (name, facts) in names {
            let key = format!("{base}{name}");
            let goes_on = if !name.ends_with('/') {
                self.page.put(described(key, &facts))
            } else if !self.page.folds(&key) {
                self.folder(key).await?
            } else {
                self.page.put(Object { key, ..Object::default() })
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The first names in a folder behind `after`, sorted, folders with a `/`; and whether these are all.
    async fn names(&mut self, base: &str, after: Option<&str>) -> Result<(Vec<(String, Facts)>, bool)> {
        let mut held = BTreeMap::new();
        let mut is_all = true;
        let (folder, path) = (self.folder, base.trim_end_matches('/'));
        let mut lines = match self.ftp.list(&folder.path(path)).await {
            Ok(lines) => Some(lines),
            // It may have gone since its name was read.
            Err(fault) if fault.may_be_absent() && self.is_gone(base).await? => None,
            Err(fault) => return Err(folder.failed("list", path, &fault)),
        };
        loop {
            let next = self.ftp.next(&mut lines).await;
            let Some((name, facts)) = next.map_err(|fault| folder.failed("list", path, &fault))? else {
                break;
            };
            let Some(name) = taken(&name, facts.kind, base) else { continue };
            if after.is_none_or(|after| name.as_str() > after) && self.page.concerns(&format!("{base}{name}"))
            {
                held.insert(name, facts);
            }
            if held.len() > HELD {
                held.pop_last();
                is_all = false;
            }
        }
        Ok((held.into_iter().collect(), is_all))
    }

    async fn is_gone(&mut self, base: &str) -> Result<bool> {
        match base.strip_suffix('/') {
            Some(path) => Ok(self.folder.look(&mut self.ftp, path).await?.is_none()),
            None => Ok(false),
        }
    }
}

/// The name as it stands in keys. `None` for what is no object: links, pipes and the like, names that no key has, and those
/// that aren't UTF-8.
fn taken(name: &str, kind: Kind, base: &str) -> Option<String> {
    // Our own, and the one that a disk's own root has. A name with a `/` is a lie that could lead outside.
    let is_ours = base.is_empty() && matches!(name, AREA | "lost+found");
    if is_ours || name.contains(['/', '\u{fffd}']) || key::judge(name).is_err() {
        return None;
    }
    match kind {
        Kind::File => Some(name.to_owned()),
        Kind::Folder => Some(format!("{name}/")),
        Kind::Link | Kind::Other => None,
    }
}

/// All names in the folder `path`, which must be there.
pub async fn names(folder: &Folder, ftp: &mut Session, path: &str) -> Result<Vec<(String, Facts)>> {
    let failed = |fault| folder.failed("list", path, &fault);
    let mut all = Vec::new();
    let mut lines = Some(ftp.list(&folder.path(path)).await.map_err(failed)?);
    while let Some(named) = ftp.next(&mut lines).await.map_err(failed)? {
        all.push(named);
    }
    Ok(all)
}
