//! What describes a snapshot: `contents.json`, RESTORE.txt and the manifest.
//!
//! All of it is made once and is the same in every storage. Nothing here is published.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use windlass_plugin_api::{Contents, Error, ErrorKind, Probe, Sink, Source, StreamInfo};

use super::guide::restore_txt;
use super::outputs::{SnapshotOutputs, Writing};
use super::plan::{Engine, Plan};
use super::verify::DESCRIPTION_BYTES;
use crate::catalog::manifest::{FORMAT, ObjectRecord};
use crate::catalog::snapshot::{CONTENTS, RESTORE_TXT};
use crate::catalog::{Manifest, SourceRecord, StreamRecord};
use crate::exit::{Failure, Outcome};

/// Writes what describes the streams, all but the manifest, and makes that.
pub fn describe(
    engine: &Engine,
    plan: &Plan,
    writing: &Writing,
    (source, probe): (&dyn Source, &Probe),
    sequence: u64,
    outputs: &SnapshotOutputs,
    contents: Contents,
) -> Outcome<Manifest> {
    let (streams, plain): (Vec<StreamRecord>, Vec<String>) = outputs.records().into_iter().unzip();
    let plain: BTreeMap<_, _> = streams.iter().map(|stream| stream.name.clone()).zip(plain).collect();
    let document = json!({ "format": 1, "plain_sha256": plain, "contents": contents });
    let document = document.to_string();
    if document.len() as u64 > DESCRIPTION_BYTES {
        let message = format!(
            "the source describes its content in {} bytes, more than {DESCRIPTION_BYTES}",
            document.len()
        );
        return Err(Failure::from(Error::new(ErrorKind::Broken, message)));
    }
    write_own(outputs, CONTENTS, "contents/1", document.as_bytes(), true)?;
    // The text is the same in every storage: of several it names one that surely has the snapshot.
    let member =
        writing.fan.in_it().find(|member| member.is_required()).or_else(|| writing.fan.in_it().next());
    let first = member.ok_or_else(|| Failure::usage("the pipeline has no storage"))?;
    let name = plan.source.info.short_name();
    let guide = restore_txt(
        &writing.key,
        &streams,
        &writing.filters,
        (&name, source, &contents),
        first.open.storage.as_ref(),
    );
    // Its commands come from plugins, of which one may be careless.
    let guide = engine.secrets.redact(&guide);
    write_own(outputs, RESTORE_TXT, "text/1", guide.as_bytes(), false)?;
    let mut own = outputs.records().into_iter().skip(streams.len()).map(|(record, _)| record);
    let (Some(contents_record), Some(guide)) = (own.next(), own.next()) else {
        return Err(Failure::usage("the description wasn't written"));
    };
    let mut versions = probe.versions.clone();
    versions.extend(contents.versions);
    Ok(Manifest {
        format: FORMAT,
        requires: Vec::new(),
        sequence,
        host: writing.key.host.clone(),
        pipeline: writing.key.pipeline.clone(),
        id: writing.key.id.clone(),
        started: writing.key.id.time(),
        finished: now(),
        tags: plan.tags.clone(),
        source: SourceRecord {
            plugin: plan.source.info.full_name(),
            version: plan.source.info.version.clone(),
        },
        versions,
        consistency_point: contents.consistency_point,
        left_out: contents.left_out_count.max(contents.left_out.len() as u64),
        streams,
        contents: contents_record,
        restore_txt: ObjectRecord {
            name: guide.name,
            stored_bytes: guide.stored_bytes,
            stored_sha256: guide.stored_sha256,
        },
        index: None,
        extra: serde_json::Map::new(),
    })
}

/// Writes an object of the host's own and makes it durable, in every storage.
pub fn write_own(
    outputs: &SnapshotOutputs,
    name: &str,
    format: &str,
    bytes: &[u8],
    filtered: bool,
) -> Outcome<()> {
    let info = StreamInfo::new(format).size_hint(bytes.len() as u64);
    let mut sink: Box<dyn Sink> = outputs.create_own(name, info, filtered)?;
    sink.write_all(bytes)?;
    sink.finish()?;
    Ok(())
}

fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
