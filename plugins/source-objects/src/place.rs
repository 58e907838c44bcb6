//! The storage and the part of it that a source is about.

use std::sync::Arc;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use windlass_plugin_api::{Context, Error, ErrorKind, ListOptions, Object, Result, Storage};

use crate::options::Options;

/// A storage below a prefix.
pub struct Place {
    pub storage: Arc<dyn Storage>,
    pub workers: usize,
    name: String,
    prefix: String,
    exclude: GlobSet,
}

impl Place {
    /// Asks the host for the storage.
    pub fn open(cx: &Context, options: &Options) -> Result<Self> {
        Ok(Self {
            exclude: compiled(&options.exclude)?,
            storage: cx.storage(&options.storage)?,
            workers: options.workers(),
            name: options.storage.clone(),
            prefix: options.prefix.clone(),
        })
    }

    /// For messages.
    pub fn shown(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("the storage `{}`", self.name),
            prefix => format!("`{prefix}` of the storage `{}`", self.name),
        }
    }

    /// The key of the object that the archive knows as `name`.
    pub fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// What the archive calls the object `key`.
    pub fn name<'k>(&self, key: &'k str) -> &'k str {
        key.strip_prefix(&self.prefix).unwrap_or(key)
    }

    /// Whether the config leaves `name` in: neither it nor a folder that it is in is excluded.
    pub fn selects(&self, name: &str) -> bool {
        let folders = name.match_indices('/').map(|(at, _)| &name[..at]);
        !folders.chain([name]).any(|path| self.exclude.is_match(path))
    }

    /// The listing of all of it.
    pub fn listing(&self) -> ListOptions {
        ListOptions { prefix: self.prefix.clone(), ..ListOptions::default() }
    }

    /// Calls `each` for every object that is left in, in byte order of the keys.
    pub fn each(&self, cx: &Context, mut each: impl FnMut(Object) -> Result<()>) -> Result<()> {
        let mut what = self.listing();
        loop {
            cx.go_on()?;
            let page = self.storage.list(cx, &what)?;
            let last = page.entries.last().map(|object| object.key.clone()).filter(|_| page.more);
            for object in page.entries {
                if self.selects(self.name(&object.key)) {
                    each(object)?;
                }
            }
            if last.is_none() {
                return Ok(());
            }
            what.after = last;
        }
    }
}

/// A name that can stand in an archive and be a key again.
pub fn is_name(name: &str) -> bool {
    name.split('/').all(|segment| !matches!(segment, "" | "." | "..") && !segment.contains('\0'))
}

fn compiled(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let wrong = |error: &dyn std::error::Error| {
            Error::new(ErrorKind::Config, format!("`exclude` has the pattern `{pattern}`, which is none"))
                .because(error)
        };
        let anchored = match pattern.strip_prefix('/') {
            Some(rest) => rest.to_owned(),
            None if pattern.contains('/') => pattern.clone(),
            None => format!("**/{pattern}"),
        };
        set.add(GlobBuilder::new(&anchored).literal_separator(true).build().map_err(|error| wrong(&error))?);
    }
    set.build().map_err(|error| Error::new(ErrorKind::Config, "`exclude` can't be used").because(&error))
}
