//! The listings of the double: of buckets, files, their versions, and large files that are begun.

use serde_json::{Value, json};

use super::{Answered, B2Double, B2State, Version, described, judge_prefix, ok, refuse, text};
use crate::double::Said;

pub fn list_buckets(state: &B2State, body: &Value) -> Answered {
    let name = text(body, "bucketName")?;
    if state.only_bucket.as_ref().is_some_and(|only| *only != name) || body["accountId"] != "account-1" {
        return Err(refuse(401, "unauthorized", "the key is for another bucket"));
    }
    let buckets: Vec<Value> = [B2Double::BUCKET]
        .iter()
        .filter(|own| **own == name)
        .map(|own| json!({ "bucketId": "bucket-1", "bucketName": own }))
        .collect();
    Ok(ok(json!({ "buckets": buckets })))
}

pub fn count(state: &B2State, body: &Value, most: usize) -> Result<usize, Said> {
    let asked = body["maxFileCount"].as_u64().unwrap_or(100) as usize;
    if asked > most {
        return Err(refuse(400, "bad_request", "maxFileCount out of range"));
    }
    Ok(asked.clamp(1, state.page))
}

pub fn list_names(state: &B2State, body: &Value) -> Answered {
    let (prefix, start) = (body["prefix"].as_str().unwrap_or_default(), body["startFileName"].as_str());
    judge_prefix(state, prefix)?;
    let most = count(state, body, 10_000)?;
    let (mut files, mut last) = (Vec::<Value>::new(), String::new());
    for version in state.ordered(prefix, false) {
        let is_newest = state.visible(&version.name).is_some_and(|visible| visible.id == version.id);
        if !is_newest {
            continue;
        }
        let folded = body["delimiter"].as_str().and_then(|delimiter| {
            let end = version.name[prefix.len()..].find(delimiter)? + delimiter.len();
            Some(version.name[..prefix.len() + end].to_owned())
        });
        let name = folded.clone().unwrap_or_else(|| version.name.clone());
        if name == last || start.is_some_and(|start| *version.name < *start && *name < *start) {
            continue;
        }
        if files.len() == most {
            return Ok(ok(json!({ "files": files, "nextFileName": name })));
        }
        files.push(match folded {
            Some(_) => json!({ "action": "folder", "fileName": name, "fileId": null, "contentLength": 0,
                               "uploadTimestamp": 0, "contentSha1": null, "fileInfo": {} }),
            None => described(version),
        });
        last = name;
    }
    Ok(ok(json!({ "files": files, "nextFileName": null })))
}

pub fn list_versions(state: &B2State, body: &Value) -> Answered {
    let prefix = body["prefix"].as_str().unwrap_or_default();
    judge_prefix(state, prefix)?;
    let most = count(state, body, 10_000)?;
    let mut all = state.ordered(prefix, true);
    let start = body["startFileName"].as_str().unwrap_or_default();
    all.retain(|version| *version.name >= *start);
    if let Some(id) = body["startFileId"].as_str() {
        let at = all.iter().position(|version| version.id == id).unwrap_or_default();
        all.drain(..at);
    }
    let files: Vec<Value> = all.iter().take(most).map(|version| described(version)).collect();
    let next = all.get(most);
    Ok(ok(
        json!({ "files": files, "nextFileName": next.map(|v| &v.name), "nextFileId": next.map(|v| &v.id) }),
    ))
}

pub fn list_unfinished(state: &B2State, body: &Value) -> Answered {
    let prefix = body["namePrefix"].as_str().unwrap_or_default();
    judge_prefix(state, prefix)?;
    let most = count(state, body, 100)?;
    let mut all: Vec<&Version> = state.versions.iter().filter(|v| v.action == "start").collect();
    all.retain(|version| version.name.starts_with(prefix));
    if let Some(id) = body["startFileId"].as_str() {
        let at = all.iter().position(|version| version.id == id).unwrap_or_default();
        all.drain(..at);
    }
    let files: Vec<Value> = all.iter().take(most).map(|version| described(version)).collect();
    Ok(ok(json!({ "files": files, "nextFileId": all.get(most).map(|version| &version.id) })))
}
