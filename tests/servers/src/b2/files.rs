//! Files of the double: uploads, whole or in parts, hiding, deleting and downloads.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::{
    Answered, B2Double, B2State, PART_MIN, Version, described, judge_name, judge_prefix, may, ok, refuse,
    sum, text,
};
use crate::double::{Asked, Said};
use crate::trouble::{decoded, parameter, part_of};

pub fn door(state: &mut B2State, large: Option<String>) -> Said {
    state.clock += 1;
    let token = format!("upload-{}", state.clock);
    let call = if large.is_some() { "b2_upload_part" } else { "b2_upload_file" };
    let mut document = json!({
        "uploadUrl": format!("{}/b2api/v3/{call}/c001_v0001_t{}", state.endpoint, state.clock),
        "authorizationToken": token,
    });
    if let Some(id) = &large {
        document["fileId"] = id.as_str().into();
    }
    state.doors.insert(token, large);
    ok(document)
}

pub fn upload(state: &mut B2State, name: &str, asked: &Asked) -> Answered {
    let Some(large) = state.doors.get(asked.header("authorization")).cloned() else {
        return Err(refuse(401, "expired_auth_token", "Authorization token has expired"));
    };
    if asked.headers.contains_key("transfer-encoding") || !asked.headers.contains_key("content-length") {
        return Err(refuse(400, "bad_request", "Missing header: Content-Length"));
    }
    let told = asked.header("x-bz-content-sha1");
    if told.len() != 40 || told != sum(&asked.body) {
        return Err(refuse(400, "bad_request", "Checksum did not match data received"));
    }
    if state.stored_bytes() + asked.body.len() > state.cap_bytes {
        return Err(refuse(403, "storage_cap_exceeded", "Cannot upload files, storage cap exceeded."));
    }
    match (name, large) {
        ("b2_upload_part", Some(id)) => {
            let number: u32 = asked.header("x-bz-part-number").parse().unwrap_or_default();
            if !(1..=10_000).contains(&number) {
                return Err(refuse(400, "bad_request", "Part number must be between 1 and 10000"));
            }
            begun(state, &id)?.parts.insert(number, (asked.body.clone(), told.to_owned()));
            Ok(ok(
                json!({ "fileId": id, "partNumber": number, "contentLength": asked.body.len(), "contentSha1": told }),
            ))
        }
        ("b2_upload_file", None) => {
            let name = decoded(asked.header("x-bz-file-name"));
            judge_name(state, &name)?;
            if asked.header("content-type").is_empty() {
                return Err(refuse(400, "bad_request", "Missing header: Content-Type"));
            }
            let mode = asked.header("x-bz-file-retention-mode").to_owned();
            let until =
                asked.header("x-bz-file-retention-retain-until-timestamp").parse().unwrap_or_default();
            let mut version = state.new_version(&name, "upload");
            lock(state, &mut version, &mode, until)?;
            version.bytes = asked.body.clone();
            version.sum = Some(told.to_owned());
            for (header, value) in &asked.headers {
                if let Some(key) = header.strip_prefix("x-bz-info-") {
                    version.info.insert(key.to_owned(), decoded(value).into());
                }
            }
            let document = described(&version);
            state.versions.push(version);
            Ok(ok(document))
        }
        _ => Err(refuse(400, "bad_request", "that address is for something else")),
    }
}

pub fn lock(state: &B2State, version: &mut Version, mode: &str, until: i64) -> Result<(), Said> {
    if mode.is_empty() {
        return Ok(());
    }
    may(state, "writeFileRetentions")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    if !state.has_lock || until <= now || !matches!(mode, "governance" | "compliance") {
        return Err(refuse(400, "bad_request", "object lock isn't enabled, or the retention is no good"));
    }
    (version.locked_until, version.lock_mode) = (until, mode.to_owned());
    Ok(())
}

pub fn begun<'s>(state: &'s mut B2State, id: &str) -> Result<&'s mut Version, Said> {
    let found = state.versions.iter_mut().find(|version| version.id == id && version.action == "start");
    found.ok_or_else(|| refuse(400, "bad_request", &format!("No active upload for: {id}")))
}

pub fn start(state: &mut B2State, body: &Value) -> Answered {
    let name = text(body, "fileName")?;
    judge_name(state, &name)?;
    text(body, "contentType")?;
    let mut version = state.new_version(&name, "start");
    let retention = &body["fileRetention"];
    let until = retention["retainUntilTimestamp"].as_i64().unwrap_or_default();
    lock(state, &mut version, retention["mode"].as_str().unwrap_or_default(), until)?;
    version.info = body["fileInfo"].as_object().cloned().unwrap_or_default();
    let document = described(&version);
    state.versions.push(version);
    Ok(ok(document))
}

pub fn finish(state: &mut B2State, body: &Value) -> Answered {
    let id = text(body, "fileId")?;
    let sums: Vec<&str> =
        body["partSha1Array"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let version = begun(state, &id)?;
    let wrong = |why: &str| Err(refuse(400, "bad_request", why));
    if version.parts.len() < 2 || version.parts.keys().copied().ne(1..=version.parts.len() as u32) {
        return wrong("large files must have at least 2 parts, without gaps");
    }
    if version.parts.values().map(|(_, sum)| sum.as_str()).ne(sums.iter().copied()) {
        return wrong("the checksums are not those of the parts");
    }
    if version.parts.values().rev().skip(1).any(|(bytes, _)| bytes.len() < PART_MIN) {
        return wrong("Part is too small");
    }
    version.bytes = std::mem::take(&mut version.parts).into_values().flat_map(|(bytes, _)| bytes).collect();
    version.action = "upload";
    Ok(ok(described(version)))
}

pub fn cancel(state: &mut B2State, body: &Value) -> Answered {
    let id = text(body, "fileId")?;
    let name = begun(state, &id)?.name.clone();
    state.versions.retain(|version| version.id != id);
    Ok(ok(json!({ "fileId": id, "fileName": name })))
}

pub fn hide(state: &mut B2State, body: &Value) -> Answered {
    let name = text(body, "fileName")?;
    judge_name(state, &name)?;
    match state.ordered(&name, false).into_iter().find(|version| version.name == name) {
        None => return Err(refuse(400, "no_such_file", "File not present")),
        Some(newest) if newest.action == "hide" => {
            return Err(refuse(400, "already_hidden", "already hidden"));
        }
        Some(_) => {}
    }
    let version = state.new_version(&name, "hide");
    let document = described(&version);
    state.versions.push(version);
    Ok(ok(document))
}

pub fn delete(state: &mut B2State, body: &Value) -> Answered {
    let (name, id) = (text(body, "fileName")?, text(body, "fileId")?);
    judge_prefix(state, &name)?;
    let Some(at) = state.versions.iter().position(|version| version.id == id && version.name == name) else {
        return Err(refuse(400, "file_not_present", "file not present"));
    };
    if state.versions[at].locked_until > 0 {
        return Err(refuse(403, "access_denied", "the file is under object lock"));
    }
    state.versions.remove(at);
    Ok(ok(json!({ "fileId": id, "fileName": name })))
}

pub fn download(state: &B2State, name: &str, asked: &Asked) -> Answered {
    let version = if name == "file" {
        let rest = asked.path.split_once("/file/").map(|(_, rest)| decoded(rest)).unwrap_or_default();
        let Some((B2Double::BUCKET, name)) = rest.split_once('/') else {
            return Err(refuse(404, "not_found", "Bucket does not exist"));
        };
        judge_prefix(state, name)?;
        state.visible(name)
    } else {
        let id = parameter(&asked.path, "fileId").unwrap_or_default();
        state.versions.iter().find(|version| version.id == id && version.action == "upload")
    };
    let version = version.ok_or_else(|| refuse(404, "not_found", "File not present"))?;
    let said = part_of(&version.bytes, asked.header("range"));
    Ok(said.header("x-bz-file-id", version.id.as_str()).header("x-bz-file-name", version.name.as_str()))
}
