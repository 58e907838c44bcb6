//! Uploads in parts. What doesn't fit is refused when they are put together, as the service does.

use super::objects::judge_condition;
use super::{Fate, S3State, Upload, document, elements, escaped, meta, refused, tag};
use crate::double::{Asked, Said};
use crate::trouble::parameter;

pub fn begin(asked: &Asked, state: &mut S3State, key: &str) -> Fate {
    let (second, id) = state.next();
    let upload = Upload { meta: meta(asked), second, ..Upload::default() };
    state.uploads.insert((key.to_owned(), id.clone()), upload);
    Ok(document("InitiateMultipartUploadResult", &format!("<UploadId>{}</UploadId>", escaped(&id))))
}

pub fn part(asked: &Asked, state: &mut S3State, key: &str) -> Fate {
    let number = parameter(&asked.path, "partNumber").and_then(|number| number.parse().ok());
    let number = number.filter(|number| (1..=10_000).contains(number));
    let number = number.ok_or_else(|| refused(400, "InvalidArgument"))?;
    let upload = state.uploads.get_mut(&named(asked, key)).ok_or_else(|| refused(404, "NoSuchUpload"))?;
    let etag = tag(&asked.body);
    upload.parts.insert(number, (asked.body.clone(), etag.clone()));
    Ok(Said::status(200).header("etag", etag))
}

pub fn complete(asked: &Asked, state: &mut S3State, key: &str) -> Fate {
    let named = named(asked, key);
    let upload = state.uploads.get(&named).ok_or_else(|| refused(404, "NoSuchUpload"))?;
    judge_condition(asked, state, key)?;
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    let numbers = elements(&text, "PartNumber");
    let (mut bytes, mut before) = (Vec::new(), 0);
    for (at, (number, etag)) in numbers.iter().zip(elements(&text, "ETag")).enumerate() {
        let number: u32 = number.parse().map_err(|_| refused(400, "MalformedXML"))?;
        let part = upload.parts.get(&number).filter(|(_, own)| *own == etag);
        let (part, _) = part.ok_or_else(|| refused(400, "InvalidPart"))?;
        if number <= before {
            return Err(refused(400, "InvalidPartOrder"));
        }
        if at + 1 < numbers.len() && part.len() < state.part_min {
            return Err(refused(400, "EntityTooSmall"));
        }
        before = number;
        bytes.extend_from_slice(part);
    }
    if bytes.is_empty() && numbers.is_empty() {
        return Err(refused(400, "MalformedXML"));
    }
    let etag = format!("\"{}-{}\"", tag(&bytes).trim_matches('"'), numbers.len());
    let upload = state.uploads.remove(&named).unwrap_or_default();
    state.keep(key, bytes, upload.meta, Some(etag.clone()));
    Ok(document("CompleteMultipartUploadResult", &format!("<ETag>{}</ETag>", escaped(&etag))))
}

pub fn abort(asked: &Asked, state: &mut S3State, key: &str) -> Fate {
    let upload = state.uploads.remove(&named(asked, key));
    upload.map(|_| Said::status(204)).ok_or_else(|| refused(404, "NoSuchUpload"))
}

fn named(asked: &Asked, key: &str) -> (String, String) {
    (key.to_owned(), parameter(&asked.path, "uploadId").unwrap_or_default())
}
