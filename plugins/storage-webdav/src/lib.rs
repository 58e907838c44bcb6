//! Windlass storage: a folder of a WebDAV server.
//!
//! The object `a/b` is the file `<prefix>a/b` below a folder, so that any client can read it. Retries, memory and parallel
//! downloads are `windlass-object`'s; this crate is the protocol (`service`, `tree`, `flights`) and requests with a login
//! (`request`). It takes no locks of the protocol: many servers have none, and a rename is enough.

mod address;
mod errors;
mod flights;
mod limits;
mod options;
mod request;
mod service;
mod tree;
mod xml;

use std::sync::Arc;

use windlass_object::{Http, Objects, storage_of_objects};
use windlass_plugin_api::{Context, Plugin, Result, export_plugin};

pub use options::Options;

use address::Address;
use request::Requests;
use service::Folder;

export_plugin! {
    storage Webdav {
        "name": "webdav",
        "summary": "a folder of a WebDAV server",
        "schemes": ["webdav"],
        "url_option": "url",
    }
    options: "../options.schema.json"
}

/// The storage `webdav`.
pub struct Webdav {
    objects: Objects<Folder>,
    user: Option<String>,
}

impl Plugin for Webdav {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        options.judge()?;
        let address = Address::new(&options)?;
        let http = Arc::new(Http::new(options.http(address.is_plain())));
        let requests = Requests::new(address, http, &options, cx);
        let objects = Objects::new(Folder::new(requests, &options), options.settings());
        Ok(Self { objects, user: options.user })
    }
}

impl Webdav {
    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.address.by_hand(key, self.user.as_deref()))
    }
}

storage_of_objects!(Webdav);
