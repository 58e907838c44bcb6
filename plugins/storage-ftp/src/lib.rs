//! Windlass storage: a folder on another machine, by FTP and FTPS.
//!
//! The object `a/b` is the file `a/b` below the root, so that any tool can read it; half uploads lie in a hidden folder beside
//! them and are renamed into place when they are published: as the storage `fs` has it on the server itself. Encryption and
//! the host's retries are not its business.
//!
//! `protocol` is FTP, `connect` makes a connection of it, `pool` lends connections, `link` leads from blocking calls to all of
//! them; `folder`, `half`, `sending`, `object` and `list` are the storage.

mod address;
mod area;
mod by_hand;
mod check;
mod connect;
mod failure;
mod folder;
mod half;
mod key;
mod leftover;
mod link;
mod list;
mod object;
mod options;
mod pool;
mod protocol;
mod sending;

use std::sync::Arc;

use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Leftover, ListOptions, Object, Page, Plugin, Reader, Result, Storage,
    StorageReport, Upload, export_plugin,
};

pub use options::{Options, Security, Url};

use folder::Folder;
use half::Half;
use link::Link;

export_plugin! {
    storage Ftp {
        "name": "ftp",
        "summary": "a folder on another machine, by FTP with TLS",
        "schemes": ["ftp", "ftps"],
    }
    options: "../options.schema.json"
}

/// The storage `ftp`.
pub struct Ftp {
    folder: Arc<Folder>,
}

impl Plugin for Ftp {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { folder: Arc::new(Folder::new(Link::new(options.settle()?))) })
    }
}

impl Storage for Ftp {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        key::judge(key)?;
        Ok(Box::new(Half::begin(&self.folder, cx, key, how)?))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        key::judge(key)?;
        object::open(&self.folder, cx, key, range)
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        key::judge(key)?;
        object::stat(&self.folder, cx, key)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        list::page(&self.folder, cx, what)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.folder.link.run(cx, async {
            let mut ftp = self.folder.link.lease(cx).await?;
            let mut results = Vec::with_capacity(keys.len());
            for key in keys {
                results.push(match key::judge(key) {
                    Ok(()) => object::delete(&self.folder, &mut ftp, key).await,
                    Err(error) => Err(error),
                });
            }
            Ok(results)
        })
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        leftover::leftovers(&self.folder, cx, prefix)
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        leftover::discard(&self.folder, cx, leftovers)
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        check::check(self, &self.folder, cx)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        Some(by_hand::command(&self.folder.link.settings, &self.folder.path(key)))
    }
}
