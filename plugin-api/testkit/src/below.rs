//! A part of a storage that looks like a whole one.
//!
//! Keys get a prefix on their way in and lose it on their way out. Whether they are keys is for the inner storage to judge.

use std::sync::Arc;

use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Leftover, ListOptions, Object, Page, Reader, Result, Storage,
    StorageReport, Upload,
};

/// So many of the keys that stay are named.
const NAMED: usize = 20;

/// Keys of one call to `delete`.
const AT_ONCE: usize = 500;

/// What lies below a prefix of a storage.
pub struct Below {
    inner: Arc<dyn Storage>,
    prefix: String,
}

impl Below {
    /// What lies below `prefix`, which ends in a `/`.
    pub fn new(inner: Arc<dyn Storage>, prefix: &str) -> Self {
        Self { inner, prefix: prefix.to_owned() }
    }

    /// Removes everything below the prefix, half uploads too. What can't be removed doesn't keep the rest; it is the error,
    /// with the keys that stay.
    pub fn clear(&self, cx: &Context) -> Result<()> {
        let left = self.leftovers(cx, "")?;
        let discarded = if left.is_empty() { Ok(()) } else { self.discard(cx, &left) };
        let (mut kept, mut first, mut after) = (Vec::new(), None, None);
        loop {
            let what = ListOptions { limit: Some(AT_ONCE), after: after.clone(), ..ListOptions::default() };
            let page = self.list(cx, &what)?;
            let keys: Vec<String> = page.entries.into_iter().map(|entry| entry.key).collect();
            let Some(last) = keys.last() else { break };
            after = Some(last.clone());
            for (key, fate) in keys.iter().zip(self.delete(cx, &keys)?) {
                if let Err(error) = fate {
                    kept.push(format!("`{}`", self.inside(key)));
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            Some(error) => Err(error.during(told(&kept))),
            None => discarded,
        }
    }

    fn inside(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn outside(&self, key: &mut String) {
        if let Some(rest) = key.strip_prefix(&self.prefix) {
            *key = rest.to_owned();
        }
    }
}

/// Which objects stay.
fn told(kept: &[String]) -> String {
    let named = &kept[..kept.len().min(NAMED)];
    let more = match kept.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("can't remove {}{more}", named.join(", "))
}

impl Storage for Below {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        self.inner.create(cx, &self.inside(key), how)
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        self.inner.open(cx, &self.inside(key), range)
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        let mut found = self.inner.stat(cx, &self.inside(key))?;
        found.iter_mut().for_each(|object| self.outside(&mut object.key));
        Ok(found)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        let (prefix, after) = (self.inside(&what.prefix), what.after.as_deref());
        let after = after.map(|after| self.inside(after));
        let mut page = self.inner.list(cx, &ListOptions { prefix, after, ..what.clone() })?;
        page.entries.iter_mut().for_each(|entry| self.outside(&mut entry.key));
        Ok(page)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        let keys: Vec<String> = keys.iter().map(|key| self.inside(key)).collect();
        self.inner.delete(cx, &keys)
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        let mut found = self.inner.leftovers(cx, &self.inside(prefix))?;
        found.iter_mut().for_each(|left| self.outside(&mut left.key));
        Ok(found)
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        let inside = |left: &Leftover| Leftover { key: self.inside(&left.key), ..left.clone() };
        self.inner.discard(cx, &leftovers.iter().map(inside).collect::<Vec<_>>())
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.inner.check(cx)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        self.inner.by_hand(&self.inside(key))
    }
}
