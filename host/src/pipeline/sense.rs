//! What can be told of a plan by the descriptions of its plugins alone: an order of filters that makes no sense, a stored chain
//! that lacks what its pipeline has today, a storage that nothing can be stored in.
//!
//! It loads no plugin and reads no stream; whether the bytes come back is [`super::check`]'s to prove.

use windlass_plugin_api::Kind;

use super::plan::Chosen;
use crate::catalog::{AppliedFilter, Manifest};
use crate::config::Known;
use crate::exit::{Failure, Outcome};
use crate::plugins::Registry;

/// What the user should know of filters in this order; a sentence's part each, none if it makes sense.
pub fn order(filters: &[Chosen]) -> Vec<String> {
    let mut told = Vec::new();
    for (position, filter) in filters.iter().enumerate().filter(|(_, filter)| filter.info.compresses) {
        let before = &filters[..position];
        let name = &filter.name;
        if let Some(other) = before.iter().find(|other| other.info.encrypts) {
            let other = &other.name;
            told.push(format!(
                "`{name}` gets what `{other}` has encrypted, and that can't be compressed: put `{name}` before `{other}`"
            ));
        } else if let Some(other) = before.iter().find(|other| other.info.compresses) {
            let other = &other.name;
            told.push(format!("`{name}` gets what `{other}` has compressed already: leave one of them out"));
        }
    }
    told
}

/// Refuses to back up to what can only be read.
pub fn can_be_stored(pipeline: &str, storages: &[Chosen]) -> Outcome<()> {
    let Some(storage) = storages.iter().find(|storage| storage.info.read_only) else { return Ok(()) };
    let what = format!("nothing can be stored in `{}`: it can only be read", storage.name);
    let hint = "Back up to another storage; this one is for `list`, `verify` and `restore --storage`.";
    Err(Failure::usage(what).hint(hint).in_pipeline(pipeline))
}

/// Refuses a snapshot of which a part isn't encrypted, though its pipeline encrypts today: whoever can write to the storage
/// may have put it there. `today` names the pipeline's filters.
pub fn keeps_encryption(registry: &Registry, today: &[&str], manifest: &Manifest) -> Outcome<()> {
    // What the manifest says of a filter isn't believed; one that isn't installed decodes nothing.
    let encrypts = |plugin: &str| registry.info(Kind::Filter, plugin).is_ok_and(|info| info.encrypts);
    let is_open = |filters: &[AppliedFilter]| !filters.iter().any(|filter| encrypts(&filter.plugin));
    let Some(lost) = today.iter().find(|plugin| encrypts(plugin)) else { return Ok(()) };
    let mut records = manifest.streams.iter().chain([&manifest.contents]);
    let Some(open) = records.find(|record| is_open(&record.filters)) else { return Ok(()) };
    let (snapshot, object) = (manifest.key(), open.object_name());
    let what =
        format!("`{object}` of `{snapshot}` isn't encrypted, and its pipeline has the filter `{lost}` today");
    Err(Failure::refused(what).hint(
        "If the snapshot is older than the encryption, restore it with `--accept-chain`; if not, somebody has replaced it.",
    ))
}
