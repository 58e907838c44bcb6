//! `windlass restore`.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use windlass_plugin_api::{During, Kind, RawName, Reader, RestoreMode};

use super::args::{AdHoc, Mode, Restore};
use super::ask;
use super::output::to_file;
use super::session::{Keys, Session, base, item_options};
use crate::catalog::Manifest;
use crate::config::{Located, Selection, set, set_text};
use crate::exit::{Exit, Failure, Outcome};
use crate::pipeline::bare::{Bare, restore_bare};
use crate::pipeline::copies::Held;
use crate::pipeline::decode::decode;
use crate::pipeline::plan::{Chosen, Engine, Plan};
use crate::pipeline::restore::{Request, restore};
use crate::pipeline::sense;
use crate::report::Event;

/// Restores a snapshot or a bare stream, or decodes a stream.
pub fn run(session: &Session, arguments: &Restore) -> Outcome<Exit> {
    if session.is_json() && arguments.output.as_deref() == Some(Path::new("-")) {
        return Err(Failure::usage("`--json` and `--output -` both write to standard output")
            .hint("Name a file: `--output FILE`."));
    }
    session.judge(Selection::Pipelines(&[]))?;
    let engine = session.engine_with(Keys::of_command(&arguments.identities, &session.cancel)?)?;
    if let Some(input) = &arguments.input {
        let request = request(session, arguments, None)?;
        let bare = bare(session, &engine, arguments, input, &request.to)?;
        return restore_bare(&engine, bare, &request);
    }
    let snapshot = arguments.snapshot.as_deref().unwrap_or_default();
    let held = session.resolve(&engine, snapshot, arguments.storage.as_deref())?.held(session);
    if !arguments.accept_chain {
        keeps_encryption(session, &held.manifest)?;
    }
    if let Some(output) = &arguments.output {
        return output_stream(&engine, &held, arguments, output);
    }
    let request = request(session, arguments, Some(&held.manifest))?;
    restore(&engine, &held, &request)
}

/// Compares with the pipeline of that name, whoever's snapshot it is: a config is shared by hosts.
fn keeps_encryption(session: &Session, manifest: &Manifest) -> Outcome<()> {
    let Some(pipeline) = session.config.pipelines.get(base(&manifest.pipeline)) else { return Ok(()) };
    let today: Vec<&str> = pipeline.filters.iter().map(|filter| filter.plugin.value.as_str()).collect();
    sense::keeps_encryption(&session.registry, &today, manifest)
}

fn request(session: &Session, arguments: &Restore, manifest: Option<&Manifest>) -> Outcome<Request> {
    let (to, source_name) = target(session, arguments, manifest)?;
    let item = manifest.and_then(|manifest| manifest.pipeline.split_once('/'));
    let only = arguments.only.iter().cloned().map(OsString::into_vec).map(RawName::from).collect();
    let (yes, cancel) = (arguments.yes, session.cancel.clone());
    Ok(Request {
        to,
        mode: match arguments.mode {
            Mode::Fail => RestoreMode::Fail,
            Mode::Replace => RestoreMode::Replace,
            Mode::Merge => RestoreMode::Merge,
        },
        only,
        dry_run: arguments.dry_run,
        pipelines: readers(session, source_name.as_deref(), item)?,
        confirm: Arc::new(move |question| ask::confirm(question, yes, &cancel)),
    })
}

/// The source to restore to: the one that `--to` names, else the pipeline's; with `--set`.
fn target(
    session: &Session,
    arguments: &Restore,
    manifest: Option<&Manifest>,
) -> Outcome<(Chosen, Option<String>)> {
    let (name, key) = match (&arguments.to, manifest) {
        (Some(to), _) => (Located::from_command_line(to.clone()), "source".to_owned()),
        (None, Some(manifest)) => {
            let base = base(&manifest.pipeline);
            let pipeline = session.config.pipelines.get(base).ok_or_else(|| {
                let message =
                    format!("the config has no pipeline `{base}`, so where should this be restored to?");
                Failure::usage(message)
                    .hint("Name a source or its URL with `--to`; or decode it with `--output FILE`.")
            })?;
            (pipeline.source.clone(), pipeline.source_key())
        }
        (None, None) => return Err(Failure::usage("name a source with `--to`")),
    };
    let mut entry = session.config.entry(Kind::Source, &name, &key, session.registry.as_ref())?;
    // What an item of an `each` is restored to is what its name says, unless the user says something else.
    let item =
        manifest.filter(|_| arguments.to.is_none()).and_then(|manifest| manifest.pipeline.split_once('/'));
    if let Some((base, label)) = item {
        let each = session.config.pipelines.get(base).and_then(|pipeline| pipeline.each.as_ref());
        let options = item_options(each, label).ok_or_else(|| {
            let message = format!(
                "the pipeline `{base}` has no `each` that takes `{label}`, so where should it be restored to?"
            );
            Failure::usage(message)
                .hint("Name a source or its URL with `--to`; or decode it with `--output FILE`.")
        })?;
        for (option, value) in options {
            set_text(&mut entry, &option, value.as_str().unwrap_or_default());
        }
    }
    for assignment in &arguments.set {
        set(&mut entry, assignment, session.registry.as_ref())?;
    }
    if arguments.force {
        set(&mut entry, "force=true", session.registry.as_ref()).map_err(|problem| problem.key("--force"))?;
    }
    let chosen = session.choose(Kind::Source, &entry, &crate::config::redact_url(&name))?;
    // Set to another place it is no longer what the pipelines read.
    let is_theirs = arguments.set.is_empty() && session.config.sources.contains_key(&name.value);
    Ok((chosen, is_theirs.then(|| name.value.clone())))
}

/// The pipelines that read the source of this name, of one with an `each` only the item: a backup of theirs must not read while it is being written.
fn readers(session: &Session, source: Option<&str>, item: Option<(&str, &str)>) -> Outcome<Vec<Plan>> {
    let Some(source) = source else { return Ok(Vec::new()) };
    let all = session.config.pipelines.values();
    let names: Vec<String> = all
        .filter(|pipeline| pipeline.source.value == source)
        .map(|pipeline| match item.filter(|(base, _)| *base == pipeline.name) {
            Some((base, label)) => format!("{base}/{label}"),
            None => pipeline.name.clone(),
        })
        .collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    session.plans(&names, &AdHoc { storages: Vec::new(), filters: Vec::new() })
}

fn bare(session: &Session, engine: &Engine, arguments: &Restore, input: &Path, to: &Chosen) -> Outcome<Bare> {
    let mut filters = match &arguments.decode {
        Some(names) => {
            names.iter().filter(|name| !name.is_empty()).map(|name| filter(session, name)).collect()
        }
        None => by_suffixes(session, input),
    }?;
    for filter in &mut filters {
        filter.options = (engine.decode)(&filter.info)?;
    }
    let is_stdin = input == Path::new("-");
    let again = !is_stdin && fs::metadata(input).is_ok_and(|metadata| metadata.is_file());
    let path = input.to_owned();
    let open = move || -> windlass_plugin_api::Result<Reader> {
        if is_stdin {
            return Ok(Box::new(std::io::stdin()));
        }
        let file = File::open(&path).during_with(|| format!("can't open `{}`", path.display()))?;
        Ok(Box::new(file))
    };
    let format = arguments.format.clone().or_else(|| to.info.reads.first().cloned()).unwrap_or_default();
    if !to.info.can_read(&format) {
        return Err(Failure::usage(format!("it doesn't read the format `{format}`"))
            .at(to.stage())
            .hint(format!("It reads {}.", to.info.reads.join(", "))));
    }
    let name = if is_stdin { "standard input".to_owned() } else { input.display().to_string() };
    Ok(Bare { open: Box::new(open), again, name, filters, stream_format: format })
}

fn filter(session: &Session, name: &str) -> Outcome<Chosen> {
    let info = crate::config::Known::info(session.registry.as_ref(), Kind::Filter, name)
        .map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok(Chosen { name: name.to_owned(), info, options: serde_json::json!({}), limit: None })
}

/// `data.tar.zst` was compressed with whatever writes `.zst`. The outermost suffix was applied last.
fn by_suffixes(session: &Session, input: &Path) -> Outcome<Vec<Chosen>> {
    let mut filters = Vec::new();
    let mut name = PathBuf::from(input.file_name().unwrap_or_default());
    while let Some(suffix) =
        name.extension().and_then(|suffix| suffix.to_str()).map(|suffix| format!(".{suffix}"))
    {
        let Some(info) = session.registry.by_suffix(&suffix) else { break };
        filters
            .insert(0, Chosen { name: info.short_name(), info, options: serde_json::json!({}), limit: None });
        name.set_extension("");
    }
    Ok(filters)
}

fn output_stream(engine: &Arc<Engine>, held: &Held, arguments: &Restore, output: &Path) -> Outcome<Exit> {
    let stream = arguments.only.first().map(|name| name.to_string_lossy().into_owned());
    let started = Instant::now();
    if output == Path::new("-") {
        decode(engine, held, stream.as_deref(), &mut std::io::stdout().lock())?;
        return Ok(Exit::Ok);
    }
    if output.exists() {
        ask::confirm(&format!("Replace `{}`?", output.display()), arguments.yes, &engine.cancel)?;
    }
    let bytes = to_file(output, |file| decode(engine, held, stream.as_deref(), file))?;
    engine.report.event(&Event::Wrote {
        what: held.manifest.key().to_string(),
        path: output.display().to_string(),
        bytes,
        seconds: started.elapsed().as_secs_f64(),
    });
    Ok(Exit::Ok)
}
