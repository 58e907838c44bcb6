//! Listings: objects page by page, and half uploads.

use http::Method;
use reqsign_core::time::Timestamp;
use windlass_object::{Listed, Listing};
use windlass_plugin_api::{Leftover, Object, Result};

use crate::request::Ask;
use crate::service::{Bucket, unquoted};
use crate::xml;

impl Bucket {
    /// One page of the objects; see [`Service::list`](windlass_object::Service::list).
    pub async fn page(&self, what: &Listing<'_>) -> Result<Listed> {
        let address = &self.requests.address;
        let (prefix, limit) = (format!("{}{}", address.prefix, what.prefix), what.limit.to_string());
        let after = what.after.map(|after| format!("{}{after}", address.prefix));
        let mut ask = Ask::new(Method::GET, None)
            .query("list-type", "2")
            .query("encoding-type", "url")
            .query("max-keys", &limit)
            .query("prefix", &prefix);
        ask.query.extend(what.delimiter.map(|delimiter| ("delimiter", delimiter)));
        ask.query.extend(after.as_deref().map(|after| ("start-after", after)));
        ask.query.extend(what.token.map(|token| ("continuation-token", token)));
        let answer = self.requests.send(ask).await?;
        // It walks folders: what is below `a` comes before `a-b`, and `start-after=a` skips it.
        let is_unordered = answer.header("server").is_some_and(|server| server.starts_with("SeaweedFS"));
        let page: xml::Bucket = xml::read(&answer.text().await?)?;
        let mut entries = Vec::with_capacity(page.contents.len() + page.common_prefixes.len());
        for content in page.contents {
            let Some(key) = self.ours(xml::decoded(&content.key, &page.encoding_type)) else { continue };
            // Consoles make empty objects that end in `/` for folders. They are no keys of ours.
            if !key.is_empty() && !key.ends_with('/') {
                let modified = seconds(&content.last_modified);
                let version = Some(unquoted(&content.etag)).filter(|etag| !etag.is_empty());
                entries.push(Object {
                    key,
                    size_bytes: content.size,
                    modified,
                    version,
                    ..Object::default()
                });
            }
        }
        for folded in page.common_prefixes {
            let key = self.ours(xml::decoded(&folded.prefix, &page.encoding_type));
            entries.extend(key.map(|key| Object { key, ..Object::default() }));
        }
        let next = page.next_continuation_token.filter(|token| page.is_truncated && !token.is_empty());
        Ok(Listed { entries, next, is_unordered })
    }

    /// All uploads in parts that were begun and never ended.
    pub async fn half_uploads(&self, prefix: &str) -> Result<Vec<Leftover>> {
        let whole = format!("{}{prefix}", self.requests.address.prefix);
        let (mut found, mut key_marker, mut id_marker) = (Vec::new(), String::new(), String::new());
        loop {
            let mut ask = Ask::new(Method::GET, None)
                .query("uploads", "")
                .query("encoding-type", "url")
                .query("prefix", &whole);
            if !key_marker.is_empty() {
                ask = ask.query("key-marker", &key_marker).query("upload-id-marker", &id_marker);
            }
            let page: xml::Uploads = xml::read(&self.requests.send(ask).await?.text().await?)?;
            for upload in page.uploads {
                let Some(key) = self.ours(xml::decoded(&upload.key, &page.encoding_type)) else { continue };
                let (handle, started) = (upload.upload_id, seconds(&upload.initiated));
                found.push(Leftover { key, handle, started, ..Leftover::default() });
            }
            let marker = xml::decoded(&page.next_key_marker, &page.encoding_type);
            let is_new = (&marker, &page.next_upload_id_marker) != (&key_marker, &id_marker);
            if !page.is_truncated || marker.is_empty() || !is_new {
                return Ok(found);
            }
            (key_marker, id_marker) = (marker, page.next_upload_id_marker);
        }
    }

    /// A key of the storage, of one of the bucket. `None`: it lies outside of our prefix.
    fn ours(&self, key: String) -> Option<String> {
        key.strip_prefix(&self.requests.address.prefix).map(str::to_owned)
    }
}

fn seconds(time: &str) -> Option<i64> {
    time.parse().ok().map(Timestamp::as_second)
}
