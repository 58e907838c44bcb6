//! Where a snapshot lies: `<host>/<pipeline>/<id>/`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_plugin_api::{Error, ErrorKind};

/// A snapshot's id: the run's start in UTC and a short random part, such as `20261122T185903Z-k3f9`.
/// Ids sort by time. That of a run that found a later id than its own, because a clock went back, says so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId(String);

/// What the random part of a belated id begins with. No other one has it.
const BELATED: &str = "0";

const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

impl SnapshotId {
    /// An id for a run that starts at `now`.
    pub fn new(now: Timestamp) -> Self {
        let mut random = [0u8; 4];
        // Without randomness the process id has to do: the lock keeps two runs of one pipeline apart anyway.
        if getrandom::fill(&mut random).is_err() {
            random = std::process::id().to_le_bytes();
        }
        let tail: String = random.iter().map(|byte| ALPHABET[usize::from(byte % 32)] as char).collect();
        Self(format!("{}-{tail}", now.strftime("%Y%m%dT%H%M%SZ")))
    }

    /// The same, saying that it may not be later than all before it.
    #[must_use]
    pub fn belated(self) -> Self {
        let (time, tail) = self.0.split_at(TIME_BYTES + 1);
        Self(format!("{time}{BELATED}{}", &tail[BELATED.len()..]))
    }

    /// Whether there may be later ids of earlier runs: what comes last only the sequence in the manifests says. All others
    /// are later than every id that their runs found.
    pub fn is_belated(&self) -> bool {
        self.0[TIME_BYTES + 1..].starts_with(BELATED)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run started.
    pub fn time(&self) -> Timestamp {
        // Checked when it was made or parsed.
        parse_time(&self.0).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// `20261122T185903Z`.
const TIME_BYTES: usize = 16;

fn parse_time(id: &str) -> Option<Timestamp> {
    let stamp = id.get(..TIME_BYTES)?;
    jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", stamp)
        .ok()?
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()
        .map(|zoned| zoned.timestamp())
}

impl FromStr for SnapshotId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let fits = text.len() == 21
            && text.as_bytes()[TIME_BYTES] == b'-'
            && text[TIME_BYTES + 1..].bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            && parse_time(text).is_some();
        if fits {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::new(ErrorKind::Damaged, format!("`{text}` is not a snapshot id")))
    }
}

impl TryFrom<String> for SnapshotId {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl From<SnapshotId> for String {
    fn from(id: SnapshotId) -> Self {
        id.0
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a snapshot lies in every storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SnapshotKey {
    /// The host label of the machine that made it.
    pub host: String,
    /// The pipeline.
    pub pipeline: String,
    /// The id.
    pub id: SnapshotId,
}

/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";
/// The name of the instructions for people.
pub const RESTORE_TXT: &str = "RESTORE.txt";
/// What the description of the content begins with; the filters' suffixes follow.
pub const CONTENTS: &str = "contents.json";

impl SnapshotKey {
    /// `<host>/<pipeline>/<id>/`.
    pub fn prefix(&self) -> String {
        format!("{}{}/", pipeline_prefix(&self.host, &self.pipeline), self.id)
    }

    /// The key of one of its objects.
    pub fn object(&self, name: &str) -> String {
        format!("{}{name}", self.prefix())
    }
}

impl fmt::Display for SnapshotKey {
    /// As a user names it: `shop@20261122T185903Z-k3f9`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.pipeline, self.id)
    }
}

/// `<host>/<pipeline>/`.
pub fn pipeline_prefix(host: &str, pipeline: &str) -> String {
    format!("{host}/{pipeline}/")
}

/// Whether `name` can be a pipeline's: `[a-z0-9][a-z0-9-]{0,62}`. An item of an `each` adds `/<item>`.
pub fn is_pipeline_name(name: &str) -> bool {
    name.split('/').count() <= 2
        && name
            .split('/')
            .enumerate()
            .all(|(i, part)| if i == 0 { is_name(part) } else { is_host_label(part) })
}

fn is_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    (1..=63).contains(&bytes.len())
        && bytes[0] != b'-'
        && bytes.iter().all(|&b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `label` can be a host label: a key segment of at most 63 bytes that doesn't begin with a dot.
pub fn is_host_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('.')
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

/// Whether `name` can be a stream's: `[a-z0-9][a-z0-9-]{0,31}`.
pub fn is_stream_name(name: &str) -> bool {
    is_name(name) && name.len() <= 32
}

/// Whether `suffix` can be a filter's: a dot and one to eight small letters or digits.
pub fn is_suffix(suffix: &str) -> bool {
    suffix.strip_prefix('.').is_some_and(|rest| {
        (1..=8).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_its_time_and_comes_back_from_text() {
        let now: Timestamp = "2026-11-22T18:59:03Z".parse().unwrap();
        let id = SnapshotId::new(now);
        assert!(id.as_str().starts_with("20261122T185903Z-"), "{id}");
        assert_eq!((id.time(), id.as_str().parse::<SnapshotId>().unwrap()), (now, id));
    }

    #[test]
    fn a_belated_id_says_so_and_no_other_does() {
        let now: Timestamp = "2026-11-22T18:59:03Z".parse().unwrap();
        for _ in 0..1000 {
            let id = SnapshotId::new(now);
            assert!(!id.is_belated(), "{id}");
            let belated = id.clone().belated();
            assert!(belated.is_belated() && belated < id, "{belated}");
            assert_eq!((belated.time(), belated.as_str().parse::<SnapshotId>().unwrap()), (now, belated));
        }
    }

    #[test]
    fn what_could_leave_its_folder_is_no_name() {
        for bad in ["", ".", "..", "../x", "a/../b", "-a", "A", "a b", "x/y/z", "a/.hidden"] {
            assert!(!is_pipeline_name(bad), "{bad}");
        }
        assert!(is_pipeline_name("shop") && is_pipeline_name("fleet/db_1"));
        for bad in ["", ".", ".zst/x", "zst", ".ZST", ".a.b"] {
            assert!(!is_suffix(bad), "{bad}");
        }
        assert!("20261122T185903Z-../".parse::<SnapshotId>().is_err());
        assert!("2026112ÄT18590Z-k3f9".parse::<SnapshotId>().is_err());
    }
}
