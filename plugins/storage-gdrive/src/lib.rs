//! Windlass storage: a folder in Google Drive, by its API, version 3.
//!
//! The object `a/b` is a file that is called `a/b`, in one folder (`folder`, `files`). Retries, memory, parallel downloads and tokens
//! are `windlass-object`'s; this crate is requests (`request`), resumable uploads (`sessions`) and all of it together
//! (`service`). It makes no drive, changes no file and sets no right.

mod errors;
mod files;
mod folder;
mod limits;
mod options;
mod request;
mod service;
mod sessions;

use std::sync::Arc;

use windlass_object::oauth::Tokens;
use windlass_object::{Http, Objects, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::Options;

use folder::Folder;
use request::Requests;
use service::Drive;
use sessions::Sessions;

export_plugin! {
    storage Gdrive {
        "name": "gdrive",
        "summary": "a folder in Google Drive",
        "schemes": ["gdrive"],
        "url_option": "folder",
    }
    options: "../options.schema.json"
}

/// The storage `gdrive`.
pub struct Gdrive {
    objects: Objects<Drive>,
}

impl Plugin for Gdrive {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        options.judge()?;
        let http = Arc::new(Http::new(options.http()));
        let tokens = Tokens::new(cx, http.clone(), options.grant()?);
        let requests = Requests::new(http, tokens, &options.endpoint);
        let drive = Drive { requests, folder: Folder::new(&options), sessions: Sessions::default() };
        Ok(Self { objects: Objects::new(drive, options.settings()) })
    }
}

impl Gdrive {
    /// With a token in the environment's `TOKEN`: files are fetched by their IDs, which are asked for first.
    fn by_hand(&self, key: &str) -> Option<String> {
        if !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte)) {
            return None;
        }
        let api = "https://www.googleapis.com/drive/v3/files";
        let curl = r#"curl -fsS -H "Authorization: Bearer $TOKEN""#;
        let found = format!(
            r#"{curl} -G -d supportsAllDrives=true -d includeItemsFromAllDrives=true --data-urlencode "q=name = '{key}' and trashed = false" {api} | jq -r '.files[].id'"#
        );
        Some(format!(r#"{curl} "{api}/$({found})?alt=media&supportsAllDrives=true""#))
    }
}

storage_of_objects!(Gdrive);
