//! Whole objects: stored under a condition, read in ranges, deleted by the thousand.

use super::{Fate, S3State, document, elements, escaped, meta, refused};
use crate::double::{Asked, Said};
use crate::trouble::part_of;

/// The condition of a request that shows an object.
pub fn judge_condition(asked: &Asked, state: &S3State, key: &str) -> Result<(), Said> {
    match asked.header("if-none-match") {
        "" => Ok(()),
        "*" if state.objects.contains_key(key) => Err(refused(412, "PreconditionFailed")),
        "*" => Ok(()),
        _ => Err(refused(501, "NotImplemented")),
    }
}

pub fn put(asked: &Asked, state: &mut S3State, key: &str) -> Fate {
    judge_condition(asked, state, key)?;
    state.keep(key, asked.body.clone(), meta(asked), None);
    Ok(Said::status(200).header("etag", &state.objects[key].etag))
}

pub fn get(asked: &Asked, state: &S3State, key: &str) -> Fate {
    let object = state.objects.get(key).ok_or_else(|| refused(404, "NoSuchKey"))?;
    let wanted = asked.header("if-match");
    if !wanted.is_empty() && wanted != object.etag {
        return Err(refused(412, "PreconditionFailed"));
    }
    let mut said = part_of(&object.bytes, asked.header("range")).header("etag", &object.etag);
    if asked.method == "HEAD" {
        said = said.header("content-length", object.bytes.len().to_string());
    }
    for (name, value) in &object.meta {
        said = said.header(name, value);
    }
    Ok(said)
}

/// `?delete`: at most 1000, and only with a checksum of the request. `Quiet`: only what failed is told, which nothing does.
pub fn delete_several(asked: &Asked, state: &mut S3State) -> Fate {
    if asked.header("content-md5").is_empty() {
        return Err(refused(400, "InvalidRequest"));
    }
    let text = String::from_utf8_lossy(&asked.body).into_owned();
    let keys = elements(&text, "Key");
    if keys.is_empty() || keys.len() > 1000 {
        return Err(refused(400, "MalformedXML"));
    }
    let is_quiet = elements(&text, "Quiet") == ["true"];
    let mut told = String::new();
    for key in keys {
        state.objects.remove(&key);
        if !is_quiet {
            told.push_str(&format!("<Deleted><Key>{}</Key></Deleted>", escaped(&key)));
        }
    }
    Ok(document("DeleteResult", &told))
}
