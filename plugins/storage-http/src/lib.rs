//! Windlass storage: a folder that a web server shows, to be read only.
//!
//! A folder of snapshots that was published, by whatever means, is listed, verified and restored from. The object `a/b` is what
//! the server gives for `<url>/a/b`. HTTP has no listings: the pages are read that servers make for people or programs to
//! browse a folder. Retries and cancelling are `windlass-object`'s.
//!
//! `request` makes one request with a login and follows it where it leads, `service` reads objects, `index` reads pages,
//! `walk` makes listings of them.

mod address;
mod errors;
mod index;
mod options;
mod request;
mod service;
mod walk;

use windlass_object::{Http, Objects, Settings};
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Plugin, Reader,
    Result, Storage, StorageReport, Upload, export_plugin,
};

pub use options::{Options, Url};

use address::Address;
use request::Requests;
use service::Web;

export_plugin! {
    storage Published {
        "name": "http",
        "summary": "what a web server shows of a folder, to be read only",
        "schemes": ["http", "https"],
        "read_only": true,
    }
    options: "../options.schema.json"
}

/// The storage `http`.
pub struct Published {
    objects: Objects<Web>,
}

impl Plugin for Published {
    type Options = Options;

    fn new(options: Options, cx: &Context) -> Result<Self> {
        let settled = options.settle()?;
        let address = Address::new(&settled.url)?;
        let http = Http::new(settled.http(address.is_plain()));
        let requests = Requests::new(address, http, &settled, cx);
        // One request a download: the next bytes come from the answer that the last ones came from.
        let settings = Settings { concurrency: 1, ..Settings::default() };
        Ok(Self { objects: Objects::new(Web::new(requests), settings) })
    }
}

impl Storage for Published {
    fn create(&self, _: &Context, key: &str, _: &CreateOptions) -> Result<Box<dyn Upload>> {
        Err(self.read_only(&format!("store `{key}`")))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        self.objects.open(cx, key, range)
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        self.objects.stat(cx, key)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.objects.list(cx, what)
    }

    fn delete(&self, _: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        Ok(keys.iter().map(|key| Err(self.read_only(&format!("delete `{key}`")))).collect())
    }

    /// A web server makes none, and those of the folder are its maker's business.
    fn leftovers(&self, _: &Context, _: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        let started = std::time::Instant::now();
        let top = ListOptions { delimiter: Some("/".to_owned()), ..ListOptions::default() };
        let page = self.objects.list(cx, &top)?;
        let latency = started.elapsed().as_millis();
        let mut report = StorageReport::default();
        report
            .notes
            .push(format!("listing the folder took {latency} ms and showed {} names", page.entries.len()));
        report.notes.push("this storage can only be read".to_owned());
        self.tell_skew(&mut report);
        if page.entries.is_empty() {
            report.warnings.push(
                "The server shows no name in the folder: is that page its listing, and not one made for people?".to_owned(),
            );
        }
        if self.objects.service().requests.address.is_plain() {
            report.warnings.push(
                "Nothing is encrypted on the way, and nothing proves who answers: use `https://` where you can.".to_owned(),
            );
        }
        Ok(report)
    }

    fn by_hand(&self, key: &str) -> Option<String> {
        Some(self.objects.service().requests.by_hand(key))
    }
}

impl Published {
    /// By the `Date` of its answers. Nothing is refused for it.
    fn tell_skew(&self, report: &mut StorageReport) {
        let text = match self.objects.service().requests.http.skew_seconds() {
            None => return,
            Some(0) => "the clocks agree".to_owned(),
            Some(behind @ 1..) => format!("this clock is {behind} s behind the server's"),
            Some(ahead) => format!("this clock is {} s ahead of the server's", -ahead),
        };
        report.notes.push(text);
    }

    fn read_only(&self, what: &str) -> Error {
        let place = self.objects.service().requests.address.shown();
        Error::new(ErrorKind::Unsupported, format!("can't {what} in `{place}`: it can only be read"))
            .hint("Store to the folder that the server shows, by the storage that reaches it.")
    }
}
