//! Windlass storage: a container of Azure Blob Storage.
//!
//! The object `a/b` is the block blob `<prefix>a/b` of a container, so that any tool can read it. Parallel parts, retries
//! and memory are `windlass-object`'s; this crate is the protocol (`service`) and signed requests (`request`,
//! `credentials`). It makes no container and sets no policy of one.

mod address;
mod credentials;
mod errors;
mod limits;
mod options;
mod request;
mod service;
mod xml;

use std::sync::Arc;

use windlass_object::{Http, Objects, signing, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::{AccessTier, Immutability, ImmutabilityMode, Options};

use address::{Address, Environment};
use credentials::Credentials;
use request::Requests;
use service::Container;

export_plugin! {
    storage Azblob {
        "name": "azblob",
        "summary": "a container of Azure Blob Storage",
        "schemes": ["azblob"],
        "url_option": "container",
    }
    options: "../options.schema.json"
}

/// The storage `azblob`.
pub struct Azblob {
    objects: Objects<Container>,
}

impl Plugin for Azblob {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        options.judge()?;
        let environment = Environment::read(|name| std::env::var(name).ok());
        let address = Address::new(&options, &environment)?;
        let http = Arc::new(Http::new(options.http(address.is_plain())));
        let outside = signing::context(http.clone());
        let credentials = Credentials::new(&options, address.account.clone(), environment, cx, outside);
        let settings = options.settings();
        let requests = Requests::new(address, http, credentials);
        Ok(Self { objects: Objects::new(Container::new(requests, options), settings) })
    }
}

impl Azblob {
    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.address.by_hand(key))
    }
}

storage_of_objects!(Azblob);
