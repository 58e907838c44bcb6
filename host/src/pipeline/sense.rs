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

/// Refuses a snapshot of which a part lacks an encryption that its pipeline has today: whoever can write to the storage may
/// have put it there. `today` names the pipeline's filters.
///
/// Any other encryption is none: to encrypt to somebody takes nothing but the public key, and only a signature, which one filter
/// may ask for and another can't, tells who did.
pub fn keeps_encryption(registry: &Registry, today: &[&str], manifest: &Manifest) -> Outcome<()> {
    // What the manifest says of a filter isn't believed; one that isn't installed decodes nothing.
    let encrypting = |plugin: &&str| registry.info(Kind::Filter, plugin).ok().filter(|info| info.encrypts);
    let today: Vec<_> = today.iter().filter_map(encrypting).collect();
    for record in manifest.streams.iter().chain([&manifest.contents]) {
        let stored = record.filters.iter().map(|filter: &AppliedFilter| filter.plugin.as_str());
        let mut stored: Vec<_> = stored.filter_map(|plugin| encrypting(&plugin)).collect();
        for info in &today {
            match stored.iter().position(|other| other.full_name() == info.full_name()) {
                Some(place) => _ = stored.swap_remove(place),
                None => return Err(lacks(&info.short_name(), record.object_name().as_str(), manifest)),
            }
        }
    }
    Ok(())
}

fn lacks(filter: &str, object: &str, manifest: &Manifest) -> Failure {
    let snapshot = manifest.key();
    let what = format!(
        "`{object}` of `{snapshot}` isn't encrypted by the filter `{filter}`, which its pipeline has today"
    );
    Failure::refused(what).hint(
        "If the snapshot is older than that, restore it with `--accept-chain`; if not, somebody has replaced it.",
    )
}
