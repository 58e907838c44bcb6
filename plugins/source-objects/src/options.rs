//! What a config may say of the objects of a storage, and what of it can be judged without asking the storage.

use schemars::JsonSchema;
use serde::Deserialize;
use windlass_plugin_api::{Error, ErrorKind, Result};

/// Options of `objects`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// The storage: the name of a `[storage.…]` of this config.
    pub storage: String,
    /// Only objects whose keys begin with this, which ends with a `/`; names in the archive are what follows it. A restore
    /// puts them back below it. Empty: the whole storage.
    pub prefix: String,
    /// Leave out objects whose key behind the prefix one of these patterns matches, and all that is below a folder that it
    /// matches. `*` and `?` stop at `/`, `**` doesn't; `[ab]` and `{a,b}` choose. A pattern without `/` matches a name
    /// at any depth; one with `/` begins at the prefix. A restore with `--mode replace` doesn't remove them.
    pub exclude: Vec<String>,
    /// How many small objects are read, or written, at the same time.
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: Option<u8>,
}

/// Unless the config says otherwise: as many as hide the way to a storage far away.
const CONCURRENCY: u8 = 8;

impl Options {
    /// Refuses what can't be meant.
    pub fn judge(&self) -> Result<()> {
        let wrong = |message: String| Error::new(ErrorKind::Config, message);
        if self.storage.is_empty() {
            return Err(wrong("`storage` names no storage".to_owned())
                .hint("Name one of the config's: `storage = \"bucket\"` for `[storage.bucket]`."));
        }
        if !self.prefix.is_empty() && !self.prefix.ends_with('/') {
            return Err(wrong(format!("the prefix `{}` doesn't end with `/`", self.prefix))
                .hint(format!("Write `{}/`: it is cut off the names in the archive.", self.prefix)));
        }
        if self.prefix.starts_with('/') || self.prefix.contains("//") {
            return Err(wrong(format!("the prefix `{}` has a segment without a name", self.prefix)));
        }
        if !matches!(self.concurrency, None | Some(1..=64)) {
            return Err(wrong("`concurrency` is a number from 1 to 64".to_owned()));
        }
        Ok(())
    }

    /// How many small objects are under way at once.
    pub fn workers(&self) -> usize {
        usize::from(self.concurrency.unwrap_or(CONCURRENCY))
    }
}
