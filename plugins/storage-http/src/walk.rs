//! Listings: a walk from page to page, in byte order of the keys.
//!
//! Names are sorted as they stand in keys, folders with their `/`: then `a-b` comes before `a/c`, and what is below a folder is
//! one run. Pages of folders that have no part in the listing aren't asked for. What a page doesn't tell exactly, size and
//! time, the server is asked for object by object.

use std::pin::Pin;

use http::Method;
use windlass_object::{Listed, Listing, Service};
use windlass_plugin_api::{Error, ErrorKind, Object, Result};

use crate::errors::no_listing;
use crate::index;
use crate::service::Web;

/// Of half uploads, in folders of the storage `fs` and its like.
const AREA: &str = ".windlass-uploads";
/// Questions about objects that are under way at once.
const AT_ONCE: usize = 16;

type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// One page of what `what` names.
pub async fn page(web: &Web, what: &Listing<'_>) -> Result<Listed> {
    if what.delimiter.is_some_and(|delimiter| delimiter != "/") {
        return Err(Error::new(ErrorKind::Unsupported, "keys can be folded at `/` only"));
    }
    // The page before ended with this key.
    let after = what.token.or(what.after);
    let base = what.prefix.rfind('/').map_or("", |slash| &what.prefix[..=slash]);
    let mut walk = Walk { web, what, after, keys: Vec::new() };
    let is_all = !is_a_path(base) || walk.folder(base.to_owned()).await?;
    let next = walk.keys.last().filter(|_| !is_all).cloned();
    Ok(Listed { entries: described(web, walk.keys).await?, next, is_unordered: false })
}

/// Whether keys can begin so: nothing leads out of the folder.
fn is_a_path(base: &str) -> bool {
    base.is_empty() || base.trim_end_matches('/').split('/').all(crate::address::is_name)
}

struct Walk<'a> {
    web: &'a Web,
    what: &'a Listing<'a>,
    after: Option<&'a str>,
    keys: Vec<String>,
}

impl Walk<'_> {
    /// Lists what is in the folder whose keys begin with `base`. False once the page is full.
    fn folder(&mut self, base: String) -> Later<'_, bool> {
        Box::pin(async move {
            for name in self.web.folder(&base).await?.unwrap_or_default() {
                let is_ours = base.is_empty() && name.trim_end_matches('/') == AREA;
                let key = format!("{base}{name}");
                if is_ours || !self.concerns(&key) {
                    continue;
                }
                if self.keys.len() >= self.what.limit {
                    return Ok(false);
                }
                if !key.ends_with('/') || self.folds(&key) {
                    self.keys.push(key);
                } else if !self.folder(key).await? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// All keys below the folder `key` (which ends in `/`) become one entry.
    fn folds(&self, key: &str) -> bool {
        self.what.delimiter.is_some() && key.len() > self.what.prefix.len()
    }

    /// Whether `key`, an object or with its `/` a folder, can have a part in this page. Keys that are too long for any object
    /// end the walk where a server shows a folder in itself.
    fn concerns(&self, key: &str) -> bool {
        let is_folder = key.ends_with('/');
        let is_named = key.starts_with(self.what.prefix) || (is_folder && self.what.prefix.starts_with(key));
        let is_later = |after: &str| key > after || (is_folder && !self.folds(key) && after.starts_with(key));
        is_named && key.len() <= self.web.limits().key_bytes && self.after.is_none_or(is_later)
    }
}

/// The keys with what is known of them. One that has gone meanwhile is left out.
async fn described(web: &Web, keys: Vec<String>) -> Result<Vec<Object>> {
    let mut entries = Vec::with_capacity(keys.len());
    for keys in keys.chunks(AT_ONCE) {
        let mut asked = Vec::with_capacity(keys.len());
        for key in keys {
            let describe = async move {
                match key.ends_with('/') {
                    true => Ok(Some(Object { key: key.clone(), ..Object::default() })),
                    false => web.stat(key).await,
                }
            };
            asked.push(Box::pin(describe));
        }
        for described in all(asked).await {
            entries.extend(described?);
        }
    }
    Ok(entries)
}

/// The results of all, which run at the same time.
async fn all<T>(mut running: Vec<Pin<Box<impl Future<Output = T>>>>) -> Vec<T> {
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (result, one) in results.iter_mut().zip(&mut running).filter(|(result, _)| result.is_none()) {
            match one.as_mut().poll(cx) {
                std::task::Poll::Ready(value) => *result = Some(value),
                std::task::Poll::Pending => is_done = false,
            }
        }
        if is_done { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    results.into_iter().flatten().collect()
}

impl Web {
    /// The names in the folder whose keys begin with `base`, sorted, folders with a `/`. `None`: it isn't there.
    pub async fn folder(&self, base: &str) -> Result<Option<Vec<String>>> {
        let url = self.requests.address.url(base);
        let shown = url.to_string();
        let found = self.requests.send(&Method::GET, url, &[], &[404, 410]).await;
        let found = found.map_err(|error| error.during(format!("can't list `{shown}`")))?;
        if !found.answer.status.is_success() {
            return Ok(None);
        }
        let kind = found.answer.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if !["text/html", "application/json", "application/xhtml+xml"]
            .iter()
            .any(|known| kind.starts_with(known))
        {
            return Err(no_listing(&shown));
        }
        let page = found.url;
        let text = found.answer.text().await?;
        index::names(&page, &kind, &text).map(Some).ok_or_else(|| no_listing(&shown))
    }
}
