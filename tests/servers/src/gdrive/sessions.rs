//! Resumable uploads of the double: bytes in order, in steps of 256 KiB, and a file with the last one.

use super::{Answered, DriveState, Session, described, files, ok, refuse, sum};
use crate::double::{Asked, Said};
use crate::trouble::parameter;

/// What a request that isn't the last brings comes in multiples of this.
pub const STEP: usize = 256 * 1024;

pub fn begin(state: &mut DriveState, asked: &Asked) -> Answered {
    let file = files::file(state, &asked.body)?;
    let id = format!("session-{}", file.id);
    let place = format!("{}/upload/drive/v3/files?uploadType=resumable&upload_id={id}", state.endpoint);
    state.sessions.insert(id, Session { file, is_done: false });
    Ok(Said::status(200).header("location", place))
}

fn id(asked: &Asked) -> String {
    parameter(&asked.path, "upload_id").unwrap_or_default()
}

pub fn cancel(state: &mut DriveState, asked: &Asked) -> Answered {
    state.sessions.remove(&id(asked)).ok_or_else(|| refuse(404, "notFound"))?;
    Ok(Said::status(499))
}

pub fn send(state: &mut DriveState, asked: &Asked) -> Answered {
    let wrong = || refuse(400, "invalidContentRange");
    let (quota, stored, keeps) = (state.quota, state.stored_bytes(), state.keeps);
    let session = state.sessions.get_mut(&id(asked)).ok_or_else(|| refuse(404, "notFound"))?;
    if session.is_done {
        return Ok(ok(&described(&session.file)));
    }
    let had = session.file.bytes.len();
    let range = asked.header("content-range").strip_prefix("bytes ").ok_or_else(wrong)?;
    let (range, total) = range.split_once('/').ok_or_else(wrong)?;
    if range == "*" {
        return Ok(so_far(had));
    }
    let (from, last) = range.split_once('-').ok_or_else(wrong)?;
    let (from, last): (usize, usize) =
        (from.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
    let total: Option<usize> = total.parse().ok();
    let is_last = total == Some(last + 1);
    if from != had
        || last + 1 - from != asked.body.len()
        || !is_last && !asked.body.len().is_multiple_of(STEP)
    {
        return Err(wrong());
    }
    if quota.is_some_and(|quota| stored + asked.body.len() > quota) {
        return Err(refuse(403, "storageQuotaExceeded"));
    }
    let kept = asked.body.len().min(keeps.unwrap_or(usize::MAX));
    session.file.bytes.extend_from_slice(&asked.body[..kept]);
    if total != Some(session.file.bytes.len()) {
        return Ok(so_far(session.file.bytes.len()));
    }
    session.is_done = true;
    session.file.sum = sum(&session.file.bytes);
    let file = session.file.clone();
    let said = ok(&described(&file));
    state.files.push(file);
    Ok(said)
}

fn so_far(had: usize) -> Said {
    match had {
        0 => Said::status(308),
        had => Said::status(308).header("range", format!("bytes=0-{}", had - 1)),
    }
}
