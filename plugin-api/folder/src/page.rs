//! One page of a listing: what belongs to it, and when it is full.
//!
//! Names are sorted as they stand in keys, folders with their `/`. Who walks the folders asks here which of them are worth it.

use windlass_plugin_api::{Error, ErrorKind, ListOptions, Object, Page, Result};

/// Entries of a page where the caller sets no limit.
const ENTRIES: usize = 4096;

/// A page that is being filled.
pub struct Paging<'a> {
    what: &'a ListOptions,
    limit: usize,
    page: Page,
}

impl<'a> Paging<'a> {
    /// An empty page of what `what` names.
    pub fn new(what: &'a ListOptions) -> Result<Self> {
        if what.delimiter.as_deref().is_some_and(|delimiter| delimiter != "/") {
            return Err(Error::new(ErrorKind::Unsupported, "keys can be folded at `/` only"));
        }
        Ok(Self { what, limit: what.limit.unwrap_or(ENTRIES), page: Page::default() })
    }

    /// The folder of the prefix, with its `/`: what is beside it need not be read.
    pub fn base(&self) -> &'a str {
        self.what.prefix.rfind('/').map_or("", |slash| &self.what.prefix[..=slash])
    }

    /// Adds an entry; false once the page is full.
    pub fn put(&mut self, entry: Object) -> bool {
        self.page.more = self.page.entries.len() >= self.limit;
        if !self.page.more {
            self.page.entries.push(entry);
        }
        !self.page.more
    }

    /// All keys below the folder `key` (which ends in `/`) become one entry.
    pub fn folds(&self, key: &str) -> bool {
        self.what.delimiter.is_some() && key.len() > self.what.prefix.len()
    }

    /// Whether `key`, an object or with its `/` a folder, can have a part in this page.
    pub fn concerns(&self, key: &str) -> bool {
        let is_folder = key.ends_with('/');
        let (prefix, after) = (&self.what.prefix, self.what.after.as_deref());
        let is_named = key.starts_with(prefix) || (is_folder && prefix.starts_with(key));
        let is_later = |after: &str| key > after || (is_folder && !self.folds(key) && after.starts_with(key));
        is_named && after.is_none_or(is_later)
    }

    /// The page, as far as it was filled.
    pub fn end(self) -> Page {
        self.page
    }
}
