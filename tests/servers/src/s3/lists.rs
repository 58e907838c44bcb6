//! Listings: objects by ListObjectsV2, uploads by ListMultipartUploads. Both go in the order of the bytes, and a page that isn't
//! the last says where the next begins.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Fate, S3Double, S3State, document, escaped, refused, time};
use crate::double::Asked;
use crate::trouble::parameter;

/// What `encoding-type=url` leaves as it is. A space becomes a plus.
const KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/').remove(b' ');

/// What a listing was asked for.
struct Asking {
    prefix: String,
    delimiter: Option<String>,
    is_encoded: bool,
}

impl Asking {
    fn of(asked: &Asked) -> Self {
        let named = |name: &str| parameter(&asked.path, name).filter(|value| !value.is_empty());
        Self {
            prefix: named("prefix").unwrap_or_default(),
            delimiter: named("delimiter"),
            is_encoded: named("encoding-type").is_some_and(|kind| kind == "url"),
        }
    }

    /// A key in the document. Not every one can stand in XML as it is: then the document can't be read.
    fn shown(&self, key: &str) -> String {
        match self.is_encoded {
            true => utf8_percent_encode(key, KEPT).to_string().replace(' ', "+"),
            false => escaped(key),
        }
    }

    /// What a key is folded to.
    fn folded(&self, key: &str) -> Option<String> {
        let delimiter = self.delimiter.as_ref()?;
        let end = key[self.prefix.len()..].find(delimiter)? + delimiter.len();
        Some(key[..self.prefix.len() + end].to_owned())
    }

    fn encoding(&self) -> &'static str {
        if self.is_encoded { "<EncodingType>url</EncodingType>" } else { "" }
    }
}

/// `list-type=2`. The token is opaque to the client: here it is the last entry of the page.
pub fn objects(asked: &Asked, state: &S3State) -> Fate {
    let asking = Asking::of(asked);
    let token = parameter(&asked.path, "continuation-token");
    let behind = match &token {
        Some(token) => {
            token.strip_prefix("after:").ok_or_else(|| refused(400, "InvalidArgument"))?.to_owned()
        }
        None => parameter(&asked.path, "start-after").unwrap_or_default(),
    };
    let wanted = parameter(&asked.path, "max-keys").map_or(Some(1000), |number| number.parse().ok());
    let limit: usize = wanted.ok_or_else(|| refused(400, "InvalidArgument"))?;
    let limit = limit.min(state.page);
    let (mut inner, mut last, mut count, mut is_truncated) = (String::new(), String::new(), 0, false);
    for (key, object) in state.objects.iter().filter(|(key, _)| key.starts_with(&asking.prefix)) {
        let folded = asking.folded(key);
        // What was folded on the page before is over with all that is in it.
        let is_over = *key <= behind || token.is_some() && folded.as_ref() == Some(&behind);
        if is_over || folded.as_ref().is_some_and(|folded| *folded == last) {
            continue;
        }
        if count == limit {
            is_truncated = true;
            break;
        }
        count += 1;
        inner.push_str(&match &folded {
            Some(folded) => {
                format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", asking.shown(folded))
            }
            None => format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                asking.shown(key),
                time(object.second),
                escaped(&object.etag),
                object.bytes.len()
            ),
        });
        last = folded.unwrap_or_else(|| key.clone());
    }
    let next = format!("<NextContinuationToken>after:{}</NextContinuationToken>", escaped(&last));
    let next = if is_truncated { next } else { String::new() };
    let head = format!("<Name>{}</Name><KeyCount>{count}</KeyCount>{}", S3Double::BUCKET, asking.encoding());
    Ok(document("ListBucketResult", &format!("{head}<IsTruncated>{is_truncated}</IsTruncated>{next}{inner}")))
}

/// `?uploads`: by key, and of one key by id. The marker of an id means something only beside that of a key.
pub fn uploads(asked: &Asked, state: &S3State) -> Fate {
    let asking = Asking::of(asked);
    let named = |name: &str| parameter(&asked.path, name).filter(|value| !value.is_empty());
    let (key_marker, id_marker) = (named("key-marker"), named("upload-id-marker"));
    let is_behind = |key: &String, id: &String| match (&key_marker, &id_marker) {
        (None, _) => true,
        (Some(marker), None) => key > marker,
        (Some(marker), Some(after)) => key > marker || key == marker && id > after,
    };
    let begun = state.uploads.iter().filter(|((key, _), _)| key.starts_with(&asking.prefix));
    let mut begun = begun.filter(|((key, id), _)| is_behind(key, id)).peekable();
    let (mut inner, mut last) = (String::new(), None);
    for ((key, id), upload) in begun.by_ref().take(state.page) {
        inner.push_str(&format!(
            "<Upload><Key>{}</Key><UploadId>{}</UploadId><Initiated>{}</Initiated></Upload>",
            asking.shown(key),
            escaped(id),
            time(upload.second)
        ));
        last = Some((key, id));
    }
    let is_truncated = begun.peek().is_some();
    let next = last.filter(|_| is_truncated).map(|(key, id)| {
        let (key, id) = (asking.shown(key), escaped(id));
        format!("<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>{id}</NextUploadIdMarker>")
    });
    let head = format!("<Bucket>{}</Bucket>{}", S3Double::BUCKET, asking.encoding());
    let next = next.unwrap_or_default();
    Ok(document(
        "ListMultipartUploadsResult",
        &format!("{head}<IsTruncated>{is_truncated}</IsTruncated>{next}{inner}"),
    ))
}
