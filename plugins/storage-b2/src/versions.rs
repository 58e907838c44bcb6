//! The versions of a file. The service replaces nothing: an upload under a name that is taken lies above what was there,
//! and it knows no condition for that. So an upload that must replace nothing looks before, and looks once more at what lies
//! beside it when it is there: of several, the one that was first stays, and the others take themselves away again.
//!
//! The order of versions is that of their times. A large file has, or may have, that of its beginning: it can end up below one
//! that was stored while it was uploaded, so it gives way to every other one.

use serde_json::{Value, json};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::documents::{Page, Version};
use crate::request::Requests;

/// How many versions one request lists.
const VERSIONS: u32 = 100;

/// Whether another upload stands in the way of `own`, which must replace nothing. `versions` are those of one name, newest
/// first.
pub fn is_second(versions: &[Version], own: &str, is_large: bool) -> bool {
    let at = versions.iter().position(|version| version.id() == own);
    let (newer, older) = match at {
        Some(at) => (&versions[..at], &versions[at + 1..]),
        None => (&[][..], versions),
    };
    // What lies below a hidden version was deleted.
    let before = older.iter().take_while(|version| version.action != "hide").any(Version::is_file);
    before || is_large && newer.iter().any(Version::is_file)
}

impl Requests {
    /// What is visible under a name.
    pub async fn newest(&self, name: &str) -> Result<Option<Version>> {
        let bucket = self.account.session().await?.bucket_id.clone();
        let body = json!({ "bucketId": bucket, "startFileName": name, "prefix": name, "maxFileCount": 1 });
        let page: Page = self.call("b2_list_file_names", "listFiles", body).await?;
        Ok(page.files.into_iter().find(|file| file.file_name == name && file.is_file()))
    }

    /// All versions of a file, newest first, hidden ones and half uploads among them.
    pub async fn versions(&self, name: &str) -> Result<Vec<Version>> {
        let bucket = self.account.session().await?.bucket_id.clone();
        let (mut versions, mut from) = (Vec::new(), None::<String>);
        loop {
            let mut body = json!({ "bucketId": bucket, "startFileName": name, "prefix": name, "maxFileCount": VERSIONS });
            if let Some(id) = &from {
                body["startFileId"] = id.as_str().into();
            }
            let page: Page = self.call("b2_list_file_versions", "listFiles", body).await?;
            // Names that only begin like it come after it.
            let is_more = page.next_file_name.as_deref() == Some(name);
            versions.extend(page.files.into_iter().filter(|file| file.file_name == name));
            from = page.next_file_id.filter(|_| is_more);
            if from.is_none() {
                return Ok(versions);
            }
        }
    }

    /// Whether this upload was the first where it had to be. Otherwise it is taken away again.
    pub async fn is_first(&self, name: &str, own: &Version) -> Result<bool> {
        if !self.account.session().await?.may("listFiles") {
            return Ok(true);
        }
        if !is_second(&self.versions(name).await?, own.id(), own.is_large()) {
            return Ok(true);
        }
        if let Err(error) = self.delete_version(name, own.id()).await {
            // The first one is there, below. Nobody but who deletes this one reads it again.
            let told = format!(
                "`{name}` was stored twice at the same time, and the second version stays above the first"
            );
            tracing::warn!("{told}: {}", error.one_line());
        }
        Ok(false)
    }

    /// Deletes a file with all of its versions, but no half uploads. The newest one goes last: where this is cut short, what
    /// is seen is what was seen before. Who may not delete is told so even where nothing is there.
    pub async fn delete_all(&self, name: &str) -> Result<()> {
        self.account.session().await?.judge("deleteFiles")?;
        let versions = self.versions(name).await?;
        for version in versions.iter().rev().filter(|version| version.action != "start") {
            self.delete_version(name, version.id()).await?;
        }
        Ok(())
    }

    async fn delete_version(&self, name: &str, id: &str) -> Result<()> {
        let body = json!({ "fileName": name, "fileId": id });
        gone(self.call("b2_delete_file_version", "deleteFiles", body).await)
    }

    /// Hides a file. Its versions stay.
    pub async fn hide(&self, name: &str) -> Result<()> {
        let bucket = self.account.session().await?.bucket_id.clone();
        // Hiding what isn't there would leave a version of its own.
        if self.account.session().await?.may("listFiles") && self.newest(name).await?.is_none() {
            return Ok(());
        }
        let body = json!({ "bucketId": bucket, "fileName": name });
        match gone(self.call("b2_hide_file", "writeFiles", body).await) {
            Err(error) if crate::errors::is_code(&error, "already_hidden") => Ok(()),
            result => result,
        }
    }
}

fn gone(result: Result<Value>) -> Result<()> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        result => result.map(drop),
    }
}

/// What an upload says that must replace nothing.
pub fn taken(key: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("there is an object `{key}` already"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn versions(actions: &[(&str, &str)]) -> Vec<Version> {
        let of = |(id, action): &(&str, &str)| Version {
            file_id: Some((*id).to_owned()),
            action: (*action).to_owned(),
            ..Version::default()
        };
        actions.iter().map(of).collect()
    }

    #[test]
    fn the_older_of_two_small_files_is_the_first_and_a_hidden_one_is_none() {
        let both = versions(&[("new", "upload"), ("old", "upload")]);
        assert!(is_second(&both, "new", false) && !is_second(&both, "old", false));
        let hidden = versions(&[("new", "upload"), ("x", "hide"), ("old", "upload")]);
        assert!(!is_second(&hidden, "new", false));
        let begun = versions(&[("new", "upload"), ("x", "start")]);
        assert!(!is_second(&begun, "new", false));
        assert!(is_second(&both, "not listed yet", false));
    }

    #[test]
    fn a_large_file_gives_way_to_every_other_one() {
        let both = versions(&[("new", "upload"), ("large", "upload")]);
        assert!(is_second(&both, "large", true));
        assert!(!is_second(&versions(&[("large", "upload")]), "large", true));
    }
}
