//! Windlass storage: S3, and every service that speaks its protocol.
//!
//! The object `a/b` is the object `<prefix>a/b` of a bucket, so that any tool can read it. Parallel parts, retries and
//! memory are `windlass-object`'s; this crate is the protocol (`service`), signed requests (`request`, `credentials`) and what
//! is known of the services (`presets`). It makes no bucket and sets no policy.

mod address;
mod credentials;
mod errors;
mod limits;
mod lists;
mod options;
mod presets;
mod request;
mod service;
mod xml;

use std::sync::Arc;

use windlass_object::{Http, Objects, signing, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::{Encryption, LockMode, ObjectLock, Options};
pub use presets::Preset;

use address::Address;
use credentials::Credentials;
use request::Requests;
use service::Bucket;

export_plugin! {
    storage S3 {
        "name": "s3",
        "summary": "a bucket of Amazon S3 or of a service that speaks its protocol",
        "schemes": ["s3"],
        "url_option": "bucket",
    }
    options: "../options.schema.json"
}

/// The storage `s3`.
pub struct S3 {
    objects: Objects<Bucket>,
}

impl Plugin for S3 {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        options.judge()?;
        let address = Address::new(&options, |name| std::env::var(name).ok())?;
        let http = Arc::new(Http::new(options.http(address.is_plain())));
        let credentials = Credentials::new(&options, cx, signing::context(http.clone()));
        let settings = options.settings();
        let requests = Requests::new(address, http, credentials);
        Ok(Self { objects: Objects::new(Bucket::new(requests, options), settings) })
    }
}

impl S3 {
    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.address.by_hand(key))
    }
}

storage_of_objects!(S3);
