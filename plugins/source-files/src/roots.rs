//! The roots of a tree source and the labels under which their files stand in the archive.
//!
//! A member's path is `<label>/<path below the root>`. Labels depend on the configured paths alone, never on the disk.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use windlass_plugin_api::{Contents, Error, ErrorKind, RawName, Result};

/// A root and its label; recorded as `details.roots` of [`Contents`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The first part of each of its members' paths. Never empty, `.`, `..`, or with a `/`.
    pub label: RawName,
    /// Where it is, absolute.
    pub path: RawName,
}

impl Root {
    /// [`path`](Self::path) as a path.
    pub fn to_path(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(self.path.as_bytes()))
    }
}

/// Labels `paths`: the base name, with `-2`, `-3`, … where it is taken; `root` for `/`.
pub fn labelled(paths: &[PathBuf]) -> Result<Vec<Root>> {
    let mut roots: Vec<Root> = Vec::with_capacity(paths.len());
    let mut labels = BTreeSet::new();
    for path in paths {
        let path = absolute(path)?;
        let name = RawName::from(path.clone().into_os_string().into_vec());
        if roots.iter().any(|root| root.path == name) {
            return Err(Error::new(ErrorKind::Config, format!("`roots` names `{name}` twice")));
        }
        let base = path.file_name().unwrap_or(OsStr::new("root")).as_bytes();
        let mut label = base.to_vec();
        let mut number = 1;
        while !labels.insert(label.clone()) {
            number += 1;
            label = [base, format!("-{number}").as_bytes()].concat();
        }
        roots.push(Root { label: label.into(), path: name });
    }
    Ok(roots)
}

/// `path` from `/` on, without `..`: a label must be a name. Symlinks are kept unless there is a `..` to resolve.
fn absolute(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let plain: PathBuf = absolute.components().collect();
    if plain.components().any(|part| part == std::path::Component::ParentDir) {
        return Ok(std::fs::canonicalize(&plain)?);
    }
    Ok(plain)
}

/// The roots that a snapshot says it has. `None`: it says nothing of roots (a bare archive).
pub fn recorded(contents: Option<&Contents>) -> Result<Option<Vec<Root>>> {
    let Some(value) = contents.and_then(|contents| contents.details.get("roots")) else { return Ok(None) };
    let roots: Vec<Root> = serde_json::from_value(value.clone())
        .map_err(|error| Error::damaged("the snapshot's list of roots can't be read").because(&error))?;
    let mut labels = BTreeSet::new();
    for root in &roots {
        let label = root.label.as_bytes();
        let is_a_name = !label.is_empty()
            && label != b"."
            && label != b".."
            && !label.contains(&b'/')
            && !label.contains(&0);
        if !is_a_name || !labels.insert(label) {
            return Err(Error::damaged(format!(
                "the snapshot's list of roots has the label `{}`",
                root.label
            )));
        }
    }
    Ok(Some(roots))
}

/// `roots` as a value for `details`.
pub fn to_value(roots: &[Root]) -> Value {
    serde_json::to_value(roots).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(paths: &[&str]) -> Vec<String> {
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        labelled(&paths).unwrap().iter().map(|root| root.label.to_string()).collect()
    }

    #[test]
    fn equal_base_names_get_numbers_and_numbers_that_are_taken_are_passed_over() {
        assert_eq!(
            labels(&["/a/media", "/b/media", "/c/media-2", "/"]),
            ["media", "media-2", "media-2-2", "root"]
        );
    }

    #[test]
    fn the_same_root_twice_is_a_config_error() {
        let error = labelled(&["/a".into(), "/a/.".into()]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Config);
    }

    #[test]
    fn a_label_that_leaves_the_target_is_damage() {
        for label in ["..", "a/b", "", "."] {
            let contents = Contents {
                details: serde_json::from_value(
                    serde_json::json!({"roots": [{"label": label, "path": "/x"}]}),
                )
                .unwrap(),
                ..Contents::default()
            };
            assert_eq!(recorded(Some(&contents)).unwrap_err().kind, ErrorKind::Damaged, "{label}");
        }
    }
}
