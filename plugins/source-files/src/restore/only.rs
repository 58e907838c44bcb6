//! The part of a snapshot that `--only` asks for.
//!
//! A first look through the archive proves that every name is there before anything is written, and finds hard links whose
//! file isn't asked for: the first such link gets the file's data.

use std::collections::HashMap;

use windlass_plugin_api::{Error, ErrorKind, RawName, Result};

use super::place::clean;
use crate::archive::Kind;
use crate::archive::read::Archive;
use crate::report::quoted;

/// How many names an error suggests.
const SUGGESTED: usize = 3;

/// Whether a member is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selected {
    /// It, or a folder that it is in.
    Yes,
    /// Something in it.
    Above,
    /// No.
    No,
}

/// What is asked for.
pub struct Only {
    names: Vec<Vec<u8>>,
    /// Files that aren't asked for by a link that is: where the data go.
    carriers: HashMap<Vec<u8>, Vec<u8>>,
}

impl Only {
    /// `None` if everything is asked for.
    pub fn new(names: &[RawName]) -> Result<Option<Self>> {
        if names.is_empty() {
            return Ok(None);
        }
        let clean = |name: &RawName| {
            clean(name.as_bytes()).map_err(|_| {
                Error::new(ErrorKind::NotFound, format!("no `{name}` in the snapshot"))
                    .hint("Names are `<label>/<path>`, as they stand in the archive.")
            })
        };
        let names = names.iter().map(clean).collect::<Result<_>>()?;
        Ok(Some(Self { names, carriers: HashMap::new() }))
    }

    /// Whether `path` is asked for.
    pub fn selects(&self, path: &[u8]) -> Selected {
        let holds = |outer: &[u8], inner: &[u8]| {
            outer.is_empty()
                || inner.strip_prefix(outer).is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        if self.names.iter().any(|name| holds(name, path)) {
            Selected::Yes
        } else if self.names.iter().any(|name| holds(path, name)) {
            Selected::Above
        } else {
            Selected::No
        }
    }

    /// Where the data of the file `path`, which isn't asked for, must go all the same.
    pub fn carrier(&self, path: &[u8]) -> Option<&[u8]> {
        self.carriers.get(path).map(Vec::as_slice)
    }

    /// Looks through the whole archive. An error of kind `NotFound` names what isn't there and what is like it.
    pub fn look(&mut self, mut archive: Archive<'_>) -> Result<()> {
        let mut missing: Vec<(Vec<u8>, Nearest)> =
            self.names.iter().map(|name| (name.clone(), Nearest::default())).collect();
        while let Some(member) = archive.next_member()? {
            let path = clean(&member.path)?;
            let selected = self.selects(&path);
            if selected == Selected::Yes {
                missing.retain(|(name, _)| !(path.starts_with(name) && holds_whole_parts(name, &path)));
                if member.kind == Kind::Hardlink {
                    let target = clean(&member.link)?;
                    if self.selects(&target) != Selected::Yes {
                        self.carriers.entry(target).or_insert(path);
                    }
                }
            } else {
                missing.iter_mut().for_each(|(name, nearest)| nearest.look(name, &path));
            }
        }
        let Some((name, nearest)) = missing.into_iter().next() else { return Ok(()) };
        let error = Error::new(ErrorKind::NotFound, format!("no {} in the snapshot", quoted(&name)));
        Err(match nearest.names() {
            Some(names) => error.hint(format!("There is {names}.")),
            None => error.hint("Names are `<label>/<path>`, as they stand in the archive."),
        })
    }
}

fn holds_whole_parts(name: &[u8], path: &[u8]) -> bool {
    name.is_empty() || matches!(path.get(name.len()), None | Some(b'/'))
}

/// The paths that are most like a name.
#[derive(Default)]
struct Nearest(Vec<(f64, String)>);

impl Nearest {
    fn look(&mut self, name: &[u8], path: &[u8]) {
        let (name, path) = (String::from_utf8_lossy(name), String::from_utf8_lossy(path));
        let likeness = strsim::normalized_damerau_levenshtein(&name, &path);
        // A path that was asked for without its label, or by its last part.
        let likeness = if path.ends_with(&format!("/{name}")) { likeness + 1.0 } else { likeness };
        if likeness < 0.5 || (self.0.len() == SUGGESTED && self.0[SUGGESTED - 1].0 >= likeness) {
            return;
        }
        self.0.push((likeness, path.into_owned()));
        self.0.sort_by(|a, b| b.0.total_cmp(&a.0));
        self.0.truncate(SUGGESTED);
    }

    fn names(&self) -> Option<String> {
        let names: Vec<String> = self.0.iter().map(|(_, path)| quoted(path.as_bytes())).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}
