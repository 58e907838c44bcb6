//! Files in the folder, by their names. The service knows files by IDs alone: a name may be that of none, of one, or of several.
//!
//! An object is one file whose name is its whole key. Several files of one name are never chosen from when they are read: that is
//! told. An upload that must replace nothing looks before and after, and takes itself away again if it wasn't the first; one that
//! replaces removes all but the newest.

use bytes::{Bytes, BytesMut};
use http::Method;
use reqsign_core::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use windlass_object::How;
use windlass_plugin_api::{Error, ErrorKind, Object, Result, Stored};

use crate::request::{Ask, Requests, quoted, read};

/// What is asked about files.
pub const FIELDS: &str = "id,name,size,createdTime,modifiedTime,sha256Checksum,appProperties";

/// What the service calls a folder.
pub const FOLDER: &str = "application/vnd.google-apps.folder";

/// The name of our mark with a file.
pub const MARK: &str = "windlass-upload";

/// Behind the mark of an upload that must replace nothing.
const ALONE: &str = "-alone";

/// A file, as the service describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct File {
    pub id: String,
    pub name: String,
    pub size: Option<String>,
    pub created_time: String,
    pub modified_time: String,
    pub sha256_checksum: Option<String>,
    pub app_properties: BTreeMap<String, String>,
}

/// A page of a listing.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Page {
    pub files: Vec<File>,
    pub next_page_token: Option<String>,
}

impl File {
    pub fn size_bytes(&self) -> u64 {
        self.size.as_deref().and_then(|size| size.parse().ok()).unwrap_or_default()
    }

    pub fn stored(&self) -> Stored {
        Stored { version: Some(self.id.clone()), ..Stored::default() }
    }

    pub fn object(&self, key: &str) -> Object {
        let modified = self.modified_time.parse::<Timestamp>().ok().map(Timestamp::as_second);
        Object { key: key.to_owned(), size_bytes: self.size_bytes(), modified, ..Object::default() }
    }

    fn mark(&self) -> &str {
        self.app_properties.get(MARK).map(String::as_str).unwrap_or_default()
    }

    /// The upload with this mark has made it.
    pub fn is_of(&self, mark: &str) -> bool {
        self.mark().trim_end_matches(ALONE) == mark
    }

    /// It was to replace nothing.
    pub fn is_alone(&self) -> bool {
        self.mark().ends_with(ALONE)
    }

    /// Which of two of one name was made first. Times are of milliseconds: IDs decide between equal ones.
    fn age(&self) -> (&str, &str) {
        (&self.created_time, &self.id)
    }
}

/// The mark as it is kept with a file.
pub fn marked(how: &How) -> String {
    format!("{}{}", how.mark, if how.if_absent { ALONE } else { "" })
}

/// What an upload says that must replace nothing.
pub fn taken(key: &str) -> Error {
    Error::new(ErrorKind::AlreadyExists, format!("there is an object `{key}` already"))
}

/// The only one of several files of a name; which one is right, nobody but a person can say.
pub fn only(name: &str, mut files: Vec<File>) -> Result<Option<File>> {
    if files.len() < 2 {
        return Ok(files.pop());
    }
    let ids: Vec<&str> = files.iter().map(|file| file.id.as_str()).collect();
    Err(Error::damaged(format!(
        "{} files are called `{name}`: their IDs are `{}`",
        files.len(),
        ids.join("`, `")
    ))
    .hint("See in Google Drive which one is right, and delete the others; nothing is guessed here."))
}

/// Which of the files `rivals` of one name `own` must give way to, or that must give way to it.
pub fn losers<'f>(own: &'f File, rivals: &'f [File], is_large: bool, is_alone: bool) -> Vec<&'f File> {
    let others = || rivals.iter().filter(|file| file.id != own.id);
    if !is_alone {
        // The newest stays, whoever asks: so one always does.
        let newest = others().chain([own]).max_by_key(|file| file.age());
        return others()
            .chain([own])
            .filter(|file| newest.is_some_and(|newest| newest.id != file.id))
            .collect();
    }
    // A large file may have the time of its beginning: it gives way to every other one.
    let is_second = others().any(|file| is_large || file.age() < own.age());
    if is_second { vec![own] } else { Vec::new() }
}

impl Requests {
    /// One page of what a query finds. `drive` is the ID of a shared drive.
    pub async fn search(&self, query: &str, drive: Option<&str>, token: Option<&str>) -> Result<Page> {
        let fields = format!("nextPageToken,files({FIELDS})");
        let mut parameters = vec![
            ("q", query),
            ("fields", &fields),
            ("pageSize", "1000"),
            ("includeItemsFromAllDrives", "true"),
        ];
        if let Some(drive) = drive {
            parameters.extend([("corpora", "drive"), ("driveId", drive)]);
        }
        parameters.extend(token.map(|token| ("pageToken", token)));
        read(self.send(Ask::new(Method::GET, self.url("drive/v3/files", &parameters))).await?).await
    }

    /// All files of a name in a folder. Pages may be empty before the last.
    pub async fn called(
        &self,
        name: &str,
        folder: &str,
        drive: Option<&str>,
        kind: &str,
    ) -> Result<Vec<File>> {
        let query = format!(
            "name = {} and {} in parents and trashed = false and {kind}",
            quoted(name),
            quoted(folder)
        );
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let page = self.search(&query, drive, token.as_deref()).await?;
            // What counts as equal in a query isn't said: here, only what is.
            found.extend(page.files.into_iter().filter(|file| file.name == name));
            token = page.next_page_token;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// Deletes a file for good, past the bin.
    pub async fn remove(&self, id: &str) -> Result<()> {
        let url = self.url(&format!("drive/v3/files/{id}"), &[]);
        self.send(Ask::new(Method::DELETE, url).expect(&[404])).await.map(drop)
    }
}

/// Description and bytes in one body (RFC 2387). The boundary is a random word that the bytes can't be expected to hold.
pub fn related(boundary: &str, described: &Value, bytes: &Bytes) -> Bytes {
    let head = format!(
        "--{boundary}\r\ncontent-type: application/json; charset=utf-8\r\n\r\n{described}\r\n\
         --{boundary}\r\ncontent-type: application/octet-stream\r\n\r\n"
    );
    let mut body = BytesMut::with_capacity(head.len() + bytes.len() + boundary.len() + 8);
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(id: &str, time: &str) -> File {
        File { id: id.to_owned(), created_time: time.to_owned(), ..File::default() }
    }

    fn lose(own: &File, rivals: &[File], is_large: bool, is_alone: bool) -> Vec<String> {
        losers(own, rivals, is_large, is_alone).iter().map(|file| file.id.clone()).collect()
    }

    #[test]
    fn of_several_that_replace_nothing_the_oldest_stays() {
        let both = [file("b", "2026-01-01T00:00:00.001Z"), file("a", "2026-01-01T00:00:00.002Z")];
        assert_eq!(lose(&both[0], &both, false, true), Vec::<String>::new());
        assert_eq!(lose(&both[1], &both, false, true), ["a"]);
        assert_eq!(lose(&both[0], &both, true, true), ["b"], "a large one gives way");
        let same = [file("b", "t"), file("a", "t")];
        assert_eq!(lose(&same[0], &same, false, true), ["b"]);
    }

    #[test]
    fn of_several_that_replace_the_newest_stays_whoever_asks() {
        let three = [file("a", "1"), file("b", "3"), file("c", "2")];
        for own in &three {
            let mut gone = lose(own, &three, false, false);
            gone.sort();
            assert_eq!(gone, ["a", "c"]);
        }
    }

    #[test]
    fn two_files_of_one_name_are_told_with_their_ids() {
        let error = only("x", vec![file("a", "1"), file("b", "2")]).unwrap_err();
        assert!(error.kind == ErrorKind::Damaged && error.message.contains("`a`, `b`"), "{error}");
    }
}
