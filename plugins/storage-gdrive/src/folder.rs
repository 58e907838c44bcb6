//! The folder that everything is kept in, found by its path or named by its ID, and made by the first upload.
//!
//! Names of folders aren't unique either: two of one name on the way are told. It keeps what it has found.

use http::Method;
use serde_json::json;
use tokio::sync::Mutex;
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::files::{FIELDS, FOLDER, File, losers, only};
use crate::options::Options;
use crate::request::{Ask, Requests, read};

/// Where everything is kept.
pub struct Folder {
    id: Option<String>,
    segments: Vec<String>,
    /// Of a shared drive.
    pub drive: Option<String>,
    found: Mutex<Option<String>>,
}

impl Folder {
    pub fn new(options: &Options) -> Self {
        let (id, drive) = (options.folder_id.clone(), options.drive_id.clone());
        Self { id, segments: options.segments(), drive, found: Mutex::default() }
    }

    /// For messages.
    pub fn shown(&self) -> String {
        match &self.id {
            Some(id) => format!("gdrive:{id}"),
            None => format!("gdrive:{}", self.segments.join("/")),
        }
    }

    /// Its ID; `None` if it isn't there.
    pub async fn find(&self, requests: &Requests) -> Result<Option<String>> {
        self.walk(requests, false).await
    }

    /// Its ID; it is made if it isn't there.
    pub async fn make(&self, requests: &Requests) -> Result<String> {
        let id = self.walk(requests, true).await?;
        id.ok_or_else(|| Error::failed("the folder can't be made"))
    }

    async fn walk(&self, requests: &Requests, is_made: bool) -> Result<Option<String>> {
        if let Some(id) = &self.id {
            return Ok(Some(id.clone()));
        }
        // Held while it is made: two of our own uploads make one folder.
        let mut found = self.found.lock().await;
        if let Some(id) = &*found {
            return Ok(Some(id.clone()));
        }
        let mut at = self.drive.clone().unwrap_or_else(|| "root".to_owned());
        for segment in &self.segments {
            at = match only(segment, self.below(requests, segment, &at).await?)? {
                Some(folder) => folder.id,
                None if is_made => self.made(requests, segment, &at).await?,
                None => return Ok(None),
            };
        }
        *found = Some(at.clone());
        Ok(Some(at))
    }

    async fn below(&self, requests: &Requests, name: &str, parent: &str) -> Result<Vec<File>> {
        let kind = format!("mimeType = '{FOLDER}'");
        requests.called(name, parent, self.drive.as_deref(), &kind).await
    }

    /// Another machine may make it at the same moment: the older one stays.
    async fn made(&self, requests: &Requests, name: &str, parent: &str) -> Result<String> {
        let body = json!({ "name": name, "mimeType": FOLDER, "parents": [parent] }).to_string();
        let url = requests.url("drive/v3/files", &[("fields", FIELDS)]);
        let ask =
            Ask::new(Method::POST, url).header("content-type", "application/json; charset=utf-8").body(body);
        let own: File = read(requests.send(ask).await?).await?;
        let rivals = self.below(requests, name, parent).await?;
        if losers(&own, &rivals, false, true).is_empty() {
            return Ok(own.id);
        }
        requests.remove(&own.id).await?;
        let others = rivals.into_iter().filter(|file| file.id != own.id).collect();
        let other = only(name, others)?;
        other.map(|folder| folder.id).ok_or_else(|| windlass_object::unavailable("the folder is being made"))
    }

    /// What was kept isn't there any more.
    pub async fn forget(&self) {
        *self.found.lock().await = None;
    }

    /// What it means that the service finds nothing where the folder should be.
    pub fn missing(&self) -> Error {
        Error::new(ErrorKind::Config, format!("there is no folder for `{}`", self.shown()))
            .hint("Correct `folder_id` or `drive_id`; the scope `drive.file` sees only folders that the client has made itself.")
    }
}
