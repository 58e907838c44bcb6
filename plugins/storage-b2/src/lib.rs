//! Windlass storage: a bucket of Backblaze B2, by its native API.
//!
//! The object `a/b` is the file `<prefix>a/b` of a bucket, so that any tool can read it. Retries, memory, parallel uploads and
//! downloads are `windlass-object`'s; this crate is who we are (`account`), requests with tokens (`request`), the addresses that
//! take bytes (`doors`), versions of files (`versions`) and all of it together (`service`). It makes no bucket and no key.

mod account;
mod address;
mod documents;
mod doors;
mod errors;
mod limits;
mod options;
mod request;
mod service;
mod versions;

use std::sync::Arc;

use windlass_object::{Http, Objects, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::{Delete, Options, Retention, RetentionMode};

use account::Account;
use address::Address;
use request::Requests;
use service::Bucket;

export_plugin! {
    storage B2 {
        "name": "b2",
        "summary": "a bucket of Backblaze B2, by its native API",
        "schemes": ["b2"],
        "url_option": "bucket",
    }
    options: "../options.schema.json"
}

/// The storage `b2`.
pub struct B2 {
    objects: Objects<Bucket>,
}

impl Plugin for B2 {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        options.judge()?;
        let address = Address::new(&options)?;
        let http = Arc::new(Http::new(options.http(address.is_plain())));
        let account = Account::new(&options, cx, http.clone(), address.clone());
        let settings = options.settings();
        let bucket = Bucket { requests: Requests::new(address, http, account), options };
        Ok(Self { objects: Objects::new(bucket, settings) })
    }
}

impl B2 {
    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.address.by_hand(key))
    }
}

storage_of_objects!(B2);
