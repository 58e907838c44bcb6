//! Windlass storage: a bucket of Google Cloud Storage.
//!
//! The object `a/b` is the object `<prefix>a/b` of a bucket, so that any tool can read it. Retries, memory and parallel
//! downloads are `windlass-object`'s; this crate is the JSON API (`service`, `parts`) and requests with tokens (`request`,
//! `credentials`). It makes no bucket and sets no policy of one.

mod address;
mod credentials;
mod documents;
mod errors;
mod limits;
mod options;
mod parts;
mod request;
mod service;

use std::sync::Arc;

use windlass_object::{Http, Objects, signing, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::{Options, Retention, RetentionMode};

use address::Address;
use credentials::Credentials;
use request::Requests;
use service::Bucket;

export_plugin! {
    storage Gcs {
        "name": "gcs",
        "summary": "a bucket of Google Cloud Storage",
        "schemes": ["gcs", "gs"],
        "url_option": "bucket",
    }
    options: "../options.schema.json"
}

/// The storage `gcs`.
pub struct Gcs {
    objects: Objects<Bucket>,
}

impl Plugin for Gcs {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        options.judge()?;
        let address = Address::new(&options)?;
        let http = Arc::new(Http::new(options.http(address.is_plain())));
        let credentials = Credentials::new(&options, cx, signing::context(http.clone()));
        let settings = options.settings();
        let requests = Requests::new(address, http, credentials);
        Ok(Self { objects: Objects::new(Bucket { requests, options }, settings) })
    }
}

impl Gcs {
    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.address.by_hand(key))
    }
}

storage_of_objects!(Gcs);
