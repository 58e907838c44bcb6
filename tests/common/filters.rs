//! The filters that a chain can be made of, each with the keys that it needs: a line in [`FILTERS`] adds one to every test
//! over chains.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::gpg::Gpg;

/// What a decoder can tell of bytes that were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proves {
    /// It has no checksum: other bytes may come out.
    Nothing,
    /// A checksum: other bytes never come out, but a bit that carries no information may be anything.
    Content,
    /// Each bit of what it reads.
    Everything,
}

/// A filter of this repository.
pub struct Filter {
    /// As a config has it.
    pub name: &'static str,
    /// What its decoder notices.
    pub proves: Proves,
    set_up: fn(&Path) -> Ready,
}

/// With what a filter works, and how its command in RESTORE.txt finds its keys.
#[derive(Clone, Default)]
pub struct Ready {
    /// Options to encode with.
    pub encode: Map<String, Value>,
    /// Options to decode with, as `[decode.NAME]` has them.
    pub decode: Map<String, Value>,
    /// Variables of the shell that runs its command.
    pub environment: Vec<(&'static str, PathBuf)>,
    /// What must last as long.
    keeps: Option<Arc<Gpg>>,
}

static FILTERS: &[Filter] = &[
    Filter { name: "zstd", proves: Proves::Content, set_up: codec },
    Filter { name: "gzip", proves: Proves::Content, set_up: codec },
    Filter { name: "xz", proves: Proves::Content, set_up: light },
    Filter { name: "bzip2", proves: Proves::Content, set_up: light },
    Filter { name: "lz4", proves: Proves::Content, set_up: codec },
    Filter { name: "brotli", proves: Proves::Nothing, set_up: light },
    Filter { name: "age", proves: Proves::Everything, set_up: age },
    // The number of the key that it is for may be anything: all keys are tried.
    Filter { name: "openpgp", proves: Proves::Content, set_up: openpgp },
];

/// Every filter, its keys made in `place`.
pub fn all(place: &Path) -> Vec<(&'static Filter, Ready)> {
    fs::create_dir_all(place).unwrap();
    FILTERS.iter().map(|filter| (filter, (filter.set_up)(place))).collect()
}

impl Filter {
    /// As it stands in a pipeline's `filters`.
    pub fn in_config(&self, ready: &Ready) -> String {
        let options = ready.encode.iter().map(|(key, value)| format!(", {key} = {value}"));
        format!("{{ plugin = \"{}\"{} }}", self.name, options.collect::<String>())
    }

    /// Its `[decode.NAME]`, if it needs one.
    pub fn decode_section(&self, ready: &Ready) -> String {
        if ready.decode.is_empty() {
            return String::new();
        }
        let options = ready.decode.iter().map(|(key, value)| format!("{key} = {value}\n"));
        format!("[decode.{}]\n{}", self.name, options.collect::<String>())
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// One thread: chains of short streams gain nothing by more.
fn codec(_: &Path) -> Ready {
    Ready { encode: object(json!({ "threads": 1 })), ..Ready::default() }
}

/// Not the usual level, whose tables take longer to set up than a short stream to compress.
fn light(_: &Path) -> Ready {
    Ready { encode: object(json!({ "level": 1 })), ..Ready::default() }
}

fn age(place: &Path) -> Ready {
    let (identity, public) = super::age_key_at(place.join("age.txt"));
    Ready {
        encode: object(json!({ "recipients": [public] })),
        decode: object(json!({ "identity_files": [&identity] })),
        environment: vec![("AGE_IDENTITY", identity)],
        keeps: None,
    }
}

fn openpgp(place: &Path) -> Ready {
    let gpg = Gpg::new();
    gpg.key_of("future-default", place, "openpgp", "");
    Ready {
        encode: object(json!({ "recipient_files": [place.join("openpgp.pub")] })),
        decode: object(json!({ "identity_files": [place.join("openpgp.sec")] })),
        environment: vec![("GNUPGHOME", gpg.home().to_owned())],
        keeps: Some(Arc::new(gpg)),
    }
}
