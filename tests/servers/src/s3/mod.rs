//! A double of Amazon S3, written from its API reference: objects in the order of their bytes, listings in pages, uploads in
//! parts, conditions, ranges, and the refusals that go with them. It is there for what the servers that can be run do
//! otherwise: how AWS lists. Signatures it doesn't check; SeaweedFS does.

mod lists;
mod objects;
mod uploads;

use std::collections::BTreeMap;

use md5::{Digest, Md5};

use crate::double::{Asked, Said};
use crate::faulty::Faulty;
use crate::trouble::{decoded, parameter};

/// The service, with one bucket.
pub type S3Double = Faulty<S3State>;

/// What the service keeps.
#[derive(Debug)]
pub struct S3State {
    /// At most so many entries in one page, of objects and of uploads; the service's own number is 1000.
    pub page: usize,
    /// The smallest part but the last.
    pub part_min: usize,
    objects: BTreeMap<String, Object>,
    /// By key and id.
    uploads: BTreeMap<(String, String), Upload>,
    /// Objects and uploads so far: their times and ids are made of it.
    count: u32,
}

#[derive(Clone, Debug, Default)]
struct Object {
    bytes: Vec<u8>,
    etag: String,
    meta: Vec<(String, String)>,
    second: u32,
}

#[derive(Debug, Default)]
struct Upload {
    meta: Vec<(String, String)>,
    parts: BTreeMap<u32, (Vec<u8>, String)>,
    second: u32,
}

impl S3Double {
    /// The only bucket.
    pub const BUCKET: &str = "acme-backups";

    /// Starts one with nothing in the bucket.
    pub fn start() -> Self {
        let (objects, uploads) = (BTreeMap::new(), BTreeMap::new());
        let state = S3State { page: 1000, part_min: 5 * 1024 * 1024, objects, uploads, count: 0 };
        Self::begin(state, answered)
    }

    /// A refusal as the service words it.
    pub fn refusal(status: u16, code: &str) -> Said {
        refused(status, code)
    }
}

impl S3State {
    /// An object's bytes.
    pub fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.get(key).map(|object| object.bytes.clone())
    }

    /// Stores an object as another client does.
    pub fn put(&mut self, key: &str, bytes: &[u8]) {
        self.keep(key, bytes.to_vec(), Vec::new(), None);
    }

    /// Begins an upload as another client does; its id.
    pub fn begin(&mut self, key: &str) -> String {
        let (second, id) = self.next();
        self.uploads.insert((key.to_owned(), id.clone()), Upload { second, ..Upload::default() });
        id
    }

    /// The uploads that are begun, by key and id.
    pub fn unfinished(&self) -> Vec<(String, String)> {
        self.uploads.keys().cloned().collect()
    }

    fn next(&mut self) -> (u32, String) {
        self.count += 1;
        (self.count, format!("upload+{:04}=", self.count))
    }

    fn keep(&mut self, key: &str, bytes: Vec<u8>, meta: Vec<(String, String)>, etag: Option<String>) {
        let etag = etag.unwrap_or_else(|| tag(&bytes));
        let second = self.next().0;
        self.objects.insert(key.to_owned(), Object { bytes, etag, meta, second });
    }
}

/// An answer, or one that refuses.
type Fate = Result<Said, Said>;

fn answered(asked: &Asked, state: &mut S3State) -> Said {
    let said = answer(asked, state);
    said.unwrap_or_else(|refusal| refusal).header("server", "AmazonS3")
}

fn answer(asked: &Asked, state: &mut S3State) -> Fate {
    if !asked.header("authorization").starts_with("AWS4-HMAC-SHA256 ") {
        return Err(refused(403, "AccessDenied"));
    }
    let path = asked.path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
    if bucket != S3Double::BUCKET {
        return Err(refused(404, "NoSuchBucket"));
    }
    if !asked.header("content-md5").is_empty() && asked.header("content-md5") != in_base64(&asked.body) {
        return Err(refused(400, "BadDigest"));
    }
    let key = decoded(key);
    if key.len() > 1024 {
        return Err(refused(400, "KeyTooLongError"));
    }
    let has = |name: &str| parameter(&asked.path, name).is_some();
    match (asked.method.as_str(), key.as_str()) {
        ("HEAD", "") => Ok(Said::status(200)),
        ("GET", "") if has("uploads") => lists::uploads(asked, state),
        ("GET", "") if has("list-type") => lists::objects(asked, state),
        ("POST", "") if has("delete") => objects::delete_several(asked, state),
        (_, "") => Err(refused(405, "MethodNotAllowed")),
        ("POST", key) if has("uploads") => uploads::begin(asked, state, key),
        ("POST", key) if has("uploadId") => uploads::complete(asked, state, key),
        ("PUT", key) if has("partNumber") => uploads::part(asked, state, key),
        ("DELETE", key) if has("uploadId") => uploads::abort(asked, state, key),
        ("PUT", key) => objects::put(asked, state, key),
        ("GET" | "HEAD", key) => objects::get(asked, state, key),
        // What isn't there is deleted.
        ("DELETE", key) => {
            state.objects.remove(key);
            Ok(Said::status(204))
        }
        _ => Err(refused(405, "MethodNotAllowed")),
    }
}

fn refused(status: u16, code: &str) -> Said {
    let text = format!("<Error><Code>{code}</Code><Message>{code} of {}</Message></Error>", S3Double::BUCKET);
    Said::status(status).header("content-type", "application/xml").body(text)
}

fn document(name: &str, inner: &str) -> Said {
    let space = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{name} {space}>{inner}</{name}>");
    Said::status(200).header("content-type", "application/xml").body(text)
}

/// What an object's owner says of it.
fn meta(asked: &Asked) -> Vec<(String, String)> {
    let ours = asked.headers.iter().filter(|(name, _)| name.starts_with("x-amz-meta-"));
    ours.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn tag(bytes: &[u8]) -> String {
    format!("\"{}\"", Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn in_base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(Md5::digest(bytes))
}

fn time(second: u32) -> String {
    format!("2026-11-22T{:02}:{:02}:{:02}.000Z", second / 3600 % 24, second / 60 % 60, second % 60)
}

/// As text of XML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The texts of all elements of this name, with what they were escaped as.
fn elements(document: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let texts = document.split(&open).skip(1).filter_map(|rest| Some(rest.split_once(&close)?.0));
    let plain = |text: &str| text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    texts.map(|text| plain(text).replace("&apos;", "'").replace("&amp;", "&")).collect()
}
