//! Windlass storage: a Dropbox.
//!
//! The object `a/b` is the file `<prefix>/a/b` of an account, so that every client of the service sees it. Retries, memory and
//! parallel downloads are `windlass-object`'s; this crate is the service's API (`service`, `listing`, `removal`), requests with
//! tokens (`request`), and what follows from names whose case the service doesn't tell apart (`spelling`). It shares nothing
//! with anybody and touches no file that isn't asked for.

mod address;
mod documents;
mod errors;
mod hash;
mod limits;
mod listing;
mod options;
mod removal;
mod request;
mod service;
mod spelling;

use std::sync::Arc;

use windlass_object::oauth::Tokens;
use windlass_object::{Http, Objects, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::Options;

use address::Address;
use request::Requests;
use service::Account;

export_plugin! {
    storage Dropbox {
        "name": "dropbox",
        "summary": "a Dropbox",
        "schemes": ["dropbox"],
        "url_option": "prefix",
    }
    options: "../options.schema.json"
}

/// The storage `dropbox`.
pub struct Dropbox {
    objects: Objects<Account>,
}

impl Plugin for Dropbox {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        let grant = options.grant()?;
        let address = Address::new(&options)?;
        let http = Arc::new(Http::new(options.http(address.is_plain())));
        let tokens = Tokens::new(cx, http.clone(), grant);
        let account = Account::new(Requests::new(address, http, tokens));
        Ok(Self { objects: Objects::new(account, options.settings()) })
    }
}

impl Dropbox {
    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.address.by_hand(key))
    }
}

storage_of_objects!(Dropbox);
