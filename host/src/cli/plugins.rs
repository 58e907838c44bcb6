//! `windlass plugins`.
//!
//! The suite of `plugins test` is in [`trial`](super::trial).

use windlass_plugin_api::{Kind, PluginInfo};

use super::args::{Plugins, PluginsCommand, Testable};
use super::session::Session;
use super::trial;
use crate::config::Known;
use crate::exit::{Exit, Failure, Outcome};
use crate::plugins::Listed;
use crate::report::{Event, PluginRow};

/// Looks at the plugins; loads none but to test it.
pub fn run(session: &Session, arguments: &Plugins) -> Outcome<Exit> {
    match &arguments.command {
        PluginsCommand::List => Ok(list(session)),
        PluginsCommand::Info { plugin } => info(session, plugin),
        PluginsCommand::Path => {
            let lines =
                session.plugin_dirs().into_iter().map(|(path, why)| format!("{}  # {why}\n", path.display()));
            session.report.event(&Event::Text { text: lines.collect() });
            Ok(Exit::Ok)
        }
        PluginsCommand::Test { kind: Testable::Storage, name } => trial::storage(session, name),
    }
}

fn list(session: &Session) -> Exit {
    let listed = session.registry.list();
    let broken = listed.iter().any(|listed| listed.info.is_err() && listed.candidate.shadowed_by.is_none());
    for (dir, error) in session.registry.unreadable() {
        let message = format!("`{}` can't be searched: {error}", dir.path.display());
        session.report.event(&Event::Warning { pipeline: None, message });
    }
    session.report.event(&Event::Plugins { plugins: listed.iter().map(row).collect() });
    if broken { Exit::Failed } else { Exit::Ok }
}

fn row(listed: &Listed) -> PluginRow {
    let (candidate, info) = (&listed.candidate, listed.info.as_ref());
    PluginRow {
        kind: candidate.kind.to_string(),
        name: info.map_or_else(|_| candidate.name.clone(), |info| info.short_name()),
        version: info.ok().map(|info| info.version.clone()),
        summary: info.map(|info| info.summary.clone()).unwrap_or_default(),
        path: candidate.path.display().to_string(),
        shadowed_by: candidate.shadowed_by.as_ref().map(|path| path.display().to_string()),
        problem: info.err().map(|error| error.one_line()),
    }
}

/// Of a bare name every kind that has it; `filter/zstd` names the kind.
fn info(session: &Session, name: &str) -> Outcome<Exit> {
    let (kinds, wanted) = match name.split_once('/') {
        Some((kind, rest)) if Kind::ALL.iter().any(|known| known.as_str() == kind) => {
            (Kind::ALL.into_iter().filter(|known| known.as_str() == kind).collect(), rest)
        }
        _ => (Kind::ALL.to_vec(), name),
    };
    let mut last = None;
    let mut shown = 0;
    for kind in kinds {
        match session.registry.info(kind, wanted) {
            Ok(info) => {
                shown += 1;
                show(session, &info)?;
            }
            Err(error) if error.kind == windlass_plugin_api::ErrorKind::NotFound => {
                last = last.filter(|_: &windlass_plugin_api::Error| error.hint.is_none()).or(Some(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    match last {
        Some(error) if shown == 0 => {
            let message = format!("no plugin `{name}`");
            let failure = Failure::not_found(message);
            Err(error.hint.into_iter().fold(failure, Failure::hint))
        }
        _ => Ok(Exit::Ok),
    }
}

fn show(session: &Session, info: &PluginInfo) -> Outcome<()> {
    let mut document = serde_json::to_value(info).unwrap_or_default();
    let path = session.registry.path(info)?;
    if let Some(object) = document.as_object_mut() {
        object.insert("path".to_owned(), path.display().to_string().into());
    }
    session.report.event(&Event::Document { name: info.full_name(), document });
    Ok(())
}
