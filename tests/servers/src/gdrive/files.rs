//! Files of the double that take one request: made, downloaded and deleted.

use serde_json::Value;

use super::{Answered, DriveState, FOLDER, Stored, described, ok, refuse, sum};
use crate::double::{Asked, Said};
use crate::trouble::{parameter, part_of};

/// The largest file of a request with its description.
const MULTIPART_BYTES: usize = 5 * 1024 * 1024;

pub fn create(state: &mut DriveState, asked: &Asked) -> Answered {
    let file = file(state, &asked.body)?;
    let said = ok(&described(&file));
    state.files.push(file);
    Ok(said)
}

/// A new file of its description.
pub fn file(state: &mut DriveState, described: &[u8]) -> Result<Stored, Said> {
    let document: Value = serde_json::from_slice(described).map_err(|_| refuse(400, "parseError"))?;
    let wrong = || refuse(400, "required");
    let name = document["name"].as_str().filter(|name| !name.is_empty()).ok_or_else(wrong)?;
    let parents = document["parents"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [Value::String(parent)] = parents else { return Err(refuse(403, "teamDrivesParentLimit")) };
    state.judge_parent(parent)?;
    let properties = document.get("appProperties").cloned().unwrap_or_else(|| serde_json::json!({}));
    for (name, value) in properties.as_object().into_iter().flatten() {
        if name.len() + value.as_str().map_or(0, str::len) > 124 {
            return Err(refuse(400, "propertyTooLong"));
        }
    }
    let mime = document["mimeType"].as_str().unwrap_or("application/octet-stream");
    let mut file = state.new_file(name, parent, mime);
    file.properties = properties;
    Ok(file)
}

pub fn multipart(state: &mut DriveState, asked: &Asked) -> Answered {
    let wrong = || refuse(400, "badContent");
    let boundary = asked.header("content-type").split_once("boundary=").ok_or_else(wrong)?.1;
    if !asked.header("content-type").starts_with("multipart/related") {
        return Err(wrong());
    }
    let (line, end) = (format!("--{boundary}\r\n"), format!("\r\n--{boundary}--\r\n"));
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let body = asked.body.strip_prefix(line.as_bytes()).ok_or_else(wrong)?;
    let middle = format!("\r\n{line}");
    let at = find(body, middle.as_bytes()).ok_or_else(wrong)?;
    let (described, media) = (&body[..at], &body[at + middle.len()..]);
    let media = media.strip_suffix(end.as_bytes()).ok_or_else(wrong)?;
    let content = |part: &[u8]| find(part, b"\r\n\r\n").map(|at| part[at + 4..].to_vec());
    let bytes = content(media).ok_or_else(wrong)?;
    if bytes.len() > MULTIPART_BYTES {
        return Err(refuse(413, "uploadTooLarge"));
    }
    if state.quota.is_some_and(|quota| state.stored_bytes() + bytes.len() > quota) {
        return Err(refuse(403, "storageQuotaExceeded"));
    }
    let mut file = file(state, &content(described).ok_or_else(wrong)?)?;
    file.sum = sum(&bytes);
    file.bytes = bytes;
    let said = ok(&super::described(&file));
    state.files.push(file);
    Ok(said)
}

fn id(asked: &Asked) -> &str {
    asked.path.split('?').next().unwrap_or_default().trim_start_matches("/drive/v3/files/")
}

pub fn media(state: &DriveState, asked: &Asked) -> Answered {
    let file = state.files.iter().find(|file| file.id == id(asked)).ok_or_else(|| refuse(404, "notFound"))?;
    if parameter(&asked.path, "alt").as_deref() != Some("media") || file.mime == FOLDER {
        return Err(refuse(403, "fileNotDownloadable"));
    }
    Ok(part_of(&file.bytes, asked.header("range")))
}

pub fn delete(state: &mut DriveState, asked: &Asked) -> Answered {
    let at =
        state.files.iter().position(|file| file.id == id(asked)).ok_or_else(|| refuse(404, "notFound"))?;
    if state.files[at].mime == FOLDER {
        // All that is below goes with it.
        let folder = state.files[at].id.clone();
        state.files.retain(|file| file.parent != folder);
        state.files.retain(|file| file.id != folder);
    } else {
        state.files.remove(at);
    }
    Ok(Said::status(204))
}
