//! RESTORE.txt: how to restore a snapshot with standard tools, when Windlass is gone.

use std::fmt::Write as _;

use windlass_plugin_api::{Contents, Source, Storage};

use super::chain::Stacked;
use crate::catalog::{SnapshotKey, StreamRecord};

/// The text. `source` and `storage` say their part of the commands; a plugin that has none leaves a gap in words.
pub fn restore_txt(
    key: &SnapshotKey,
    records: &[StreamRecord],
    filters: &[Stacked],
    source: (&str, &dyn Source, &Contents),
    storage: &dyn Storage,
) -> String {
    let (source_name, source, contents) = source;
    let mut text = format!(
        "This folder is one backup: `{key}` of host `{}`, made from a source of type `{source_name}`.\n\
         With windlass:      windlass restore {}/{key}\n\
         Without it: the stored files are in standard formats. Check one with `sha256sum` against\n\
         `stored_sha256` in manifest.json, then run, in this folder:\n",
        key.host, key.host
    );
    for record in records {
        let object = record.object_name();
        let mut steps = vec![format!("cat {object}")];
        let mut gap = None;
        for (stacked, applied) in filters.iter().zip(&record.filters).rev() {
            match stacked.filter.by_hand() {
                Some(command) => steps.push(command),
                None => gap = Some(applied.plugin.clone()),
            }
        }
        if let Some(load) = source.by_hand(&record.name, contents) {
            steps.push(load);
        }
        let _ = write!(
            text,
            "\n# {} ({}, {} bytes decoded)\n",
            record.name, record.stream_format, record.plain_bytes
        );
        match gap {
            Some(plugin) => {
                let _ = writeln!(text, "(the filter `{plugin}` names no command that decodes it)");
            }
            None => {
                let _ = writeln!(text, "{}", steps.join(" | "));
            }
        }
    }
    if let Some(fetch) =
        records.first().and_then(|record| storage.by_hand(&key.object(&record.object_name())))
    {
        let _ = write!(
            text,
            "\nWhen this folder isn't at hand, this writes the first file to standard output:\n{fetch}\n"
        );
    }
    text
}
