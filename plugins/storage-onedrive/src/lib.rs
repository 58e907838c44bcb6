//! Windlass storage: a OneDrive, personal or of a company, or a document library of SharePoint.
//!
//! A small object `a/b` is the file `<prefix>/a/b` of a drive. A large one is a folder of parts, for the service takes no file
//! whose length isn't known before its first byte (`service` says how it is published). Retries, memory and parallel requests
//! are `windlass-object`'s; this crate is Microsoft Graph (`service`, `tree`, `parts`), requests with tokens (`request`), and what
//! follows from names that the service doesn't take (`names`) or doesn't tell apart (`spelling`). It shares nothing with anybody.

mod address;
mod documents;
mod errors;
mod limits;
mod names;
mod options;
mod parts;
mod quickxor;
mod removal;
mod request;
mod service;
mod spelling;
mod tree;

use std::sync::Arc;

use windlass_object::oauth::Tokens;
use windlass_object::{Http, Objects, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::Options;

use address::Address;
use request::Requests;
use service::Drive;

export_plugin! {
    storage OneDrive {
        "name": "onedrive",
        "summary": "a OneDrive, or a document library of SharePoint",
        "schemes": ["onedrive"],
        "url_option": "prefix",
    }
    options: "../options.schema.json"
}

/// The storage `onedrive`.
pub struct OneDrive {
    objects: Objects<Drive>,
}

impl Plugin for OneDrive {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        let grant = options.grant()?;
        let address = Address::new(&options)?;
        let http = Arc::new(Http::new(options.http(address.is_plain())));
        let tokens = Tokens::new(cx, http.clone(), grant);
        let drive = Drive::new(Requests::new(address, http, tokens));
        Ok(Self { objects: Objects::new(drive, options.settings()) })
    }
}

impl OneDrive {
    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.address.by_hand(key))
    }
}

storage_of_objects!(OneDrive);
