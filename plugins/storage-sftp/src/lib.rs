//! Windlass storage: a folder on another machine, by SFTP.
//!
//! The object `a/b` is the file `a/b` below the root, so that any tool can read it; half uploads lie in a hidden folder beside
//! them and are renamed into place when they are published: as the storage `fs` has it on the server itself. Nothing but an
//! account with SFTP is needed there. Encryption and retries are not its business.
//!
//! `connect` makes a connection, `protocol` is SFTP on it, `link` leads from blocking calls to both; `folder`, `half`,
//! `object` and `list` are the storage.

mod address;
mod by_hand;
mod check;
mod connect;
mod failure;
mod flow;
mod folder;
mod half;
mod leftover;
mod link;
mod list;
mod object;
mod options;
mod protocol;

use std::sync::Arc;

use windlass_folder::key;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Leftover, ListOptions, Object, Page, Plugin, Reader, Result, Storage,
    StorageReport, Upload, export_plugin,
};

pub use options::{File, Options, Url};

use folder::Folder;
use half::Half;
use link::Link;

export_plugin! {
    storage Sftp {
        "name": "sftp",
        "summary": "a folder on another machine, by SFTP",
        "schemes": ["sftp"],
        "odd_keys": true,
    }
    options: "../options.schema.json"
}

/// Keys that are deleted at once.
const AT_ONCE: usize = 16;

/// The storage `sftp`.
pub struct Sftp {
    folder: Arc<Folder>,
}

impl Plugin for Sftp {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { folder: Arc::new(Folder::new(Link::new(options.settle()?))) })
    }
}

impl Storage for Sftp {
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
        let mut results = Vec::with_capacity(keys.len());
        for keys in keys.chunks(AT_ONCE) {
            results.extend(self.delete_some(cx, keys)?);
        }
        Ok(results)
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

impl Sftp {
    fn delete_some(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.folder.link.run(cx, async {
            let connection = self.folder.link.connection(cx).await?;
            let delete = |key: &String| {
                let (folder, connection, key) = (self.folder.clone(), connection.clone(), key.clone());
                tokio::spawn(async move {
                    key::judge(&key)?;
                    object::delete(&folder, &connection.sftp, &key).await
                })
            };
            let mut results = Vec::with_capacity(keys.len());
            for deleted in keys.iter().map(delete).collect::<Vec<_>>() {
                let deleted = deleted.await;
                results.push(
                    deleted.unwrap_or_else(|_| Err(windlass_plugin_api::Error::failed("it was ended"))),
                );
            }
            Ok(results)
        })
    }
}
