//! The addresses that take bytes. The service gives one with a token of its own for each upload that runs at the same time;
//! it is good for many uploads, one after the other, until one fails: then another one is asked for.
//!
//! Nothing is repeated here but a token that has expired and bytes that have changed on their way, each once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use sha1::{Digest, Sha1};
use windlass_plugin_api::{Error, Result};

use crate::documents::Version;
use crate::errors::{is_code, is_expired};
use crate::request::Requests;

/// An address and its token.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Door {
    pub upload_url: String,
    pub authorization_token: String,
}

/// Those that nobody uses at the moment, by the large file that they are for; that of whole files is empty.
#[derive(Default)]
pub struct Doors(Mutex<HashMap<String, Vec<Door>>>);

impl Doors {
    fn take(&self, large: &str) -> Option<Door> {
        self.free().get_mut(large)?.pop()
    }

    fn give_back(&self, large: &str, door: Door) {
        self.free().entry(large.to_owned()).or_default().push(door);
    }

    /// Those of a file whose upload is over, or that have become old together.
    pub fn forget(&self, large: &str) {
        self.free().remove(large);
    }

    fn free(&self) -> std::sync::MutexGuard<'_, HashMap<String, Vec<Door>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The checksum that goes with bytes.
pub fn checksum(bytes: &[u8]) -> String {
    Sha1::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Requests {
    /// Stores a whole file (`large` is empty), or a part of a large one; the service's description of it. `sum` is the
    /// checksum of `bytes`, which is proved on both sides.
    pub async fn store(
        &self,
        large: &str,
        mut headers: Vec<(&'static str, String)>,
        bytes: Bytes,
        sum: &str,
    ) -> Result<Version> {
        headers.push(("x-bz-content-sha1", sum.to_owned()));
        let mut again = true;
        loop {
            let door = match self.doors.take(large) {
                Some(door) => door,
                None => self.door(large).await?,
            };
            match self.upload::<Version>(&door, &headers, bytes.clone()).await {
                Ok(stored) => {
                    self.doors.give_back(large, door);
                    let theirs = stored.content_sha1.as_deref().unwrap_or_default();
                    if theirs != sum {
                        return Err(Error::damaged("the service stored other bytes than were sent"));
                    }
                    return Ok(stored);
                }
                // All doors of a run become old at the same time. What the checksum doesn't fit is a bad request too.
                Err(error) if again && (is_expired(&error) || is_code(&error, "bad_request")) => {
                    self.doors.forget(large);
                    again = false;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn door(&self, large: &str) -> Result<Door> {
        if large.is_empty() {
            let bucket = self.account.session().await?.bucket_id.clone();
            return self.call("b2_get_upload_url", "writeFiles", json!({ "bucketId": bucket })).await;
        }
        self.call("b2_get_upload_part_url", "writeFiles", json!({ "fileId": large })).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(name: &str) -> Door {
        Door { upload_url: format!("https://pod.example/{name}"), authorization_token: name.to_owned() }
    }

    #[test]
    fn a_door_is_used_by_one_upload_at_a_time_and_for_one_file() {
        let doors = Doors::default();
        doors.give_back("", door("a"));
        doors.give_back("file", door("b"));
        assert_eq!((doors.take(""), doors.take("")), (Some(door("a")), None));
        doors.forget("file");
        assert_eq!(doors.take("file"), None);
    }

    #[test]
    fn a_checksum_is_written_as_the_service_writes_it() {
        assert_eq!(checksum(b"hello"), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
    }
}
