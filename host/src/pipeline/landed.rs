//! Looks whether what was published is there.
//!
//! A storage may say that it has stored an object and lack it all the same. One listing of the snapshot's folder tells, before
//! a manifest names what isn't there. It reads no bytes: that is a verify's.

use std::time::Duration;

use windlass_plugin_api::{Context, Error, ErrorKind, ListOptions, Object, Result, Storage};

use crate::run::cancel::Cancel;

/// How long to wait before each further look: listings of some services come late.
const LATER: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];

/// Looks for each of `published`, key and bytes, all below `prefix`. A credential that may not list leaves it unknown.
pub fn look(
    storage: &dyn Storage,
    prefix: &str,
    published: &[(String, u64)],
    (cx, cancel): (&Context, &std::sync::Arc<Cancel>),
) -> Result<()> {
    let mut waits = LATER.iter();
    loop {
        let there = match below(storage, prefix, cx) {
            Err(error) if error.kind == ErrorKind::Denied => return Ok(()),
            there => there?,
        };
        let mut missing = published.iter().filter(|(key, _)| !there.iter().any(|object| object.key == *key));
        let Some((key, _)) = missing.next() else { return same_sizes(&there, published) };
        let Some(wait) = waits.next() else { return Err(lacks(key)) };
        cancel.wait(*wait);
        cx.go_on()?;
    }
}

fn same_sizes(there: &[Object], published: &[(String, u64)]) -> Result<()> {
    for (key, bytes) in published {
        if let Some(object) = there.iter().find(|object| object.key == *key && object.size_bytes != *bytes) {
            let what = format!("`{key}` has {} bytes there instead of {bytes}", object.size_bytes);
            return Err(Error::new(ErrorKind::Broken, what));
        }
    }
    Ok(())
}

fn lacks(key: &str) -> Error {
    Error::new(ErrorKind::Broken, format!("`{key}` isn't there, though the storage said that it is stored"))
        .hint("Something removes or hides new objects there: another program, a lifecycle rule, a full disk.")
}

/// Every object below `prefix`.
pub fn below(storage: &dyn Storage, prefix: &str, cx: &Context) -> Result<Vec<Object>> {
    let mut objects: Vec<Object> = Vec::new();
    let mut what = ListOptions { prefix: prefix.to_owned(), ..ListOptions::default() };
    loop {
        let page = storage.list(cx, &what)?;
        objects.extend(page.entries);
        let last = objects.last().map(|object| object.key.clone());
        if !page.more || last == what.after {
            return Ok(objects);
        }
        what.after = last;
    }
}
