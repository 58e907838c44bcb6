//! `windlass init`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use windlass_plugin_api::{During, ErrorKind};

use super::args::Init;
use super::session::Session;
use crate::config::starter;
use crate::exit::{Exit, Failure, Outcome};
use crate::report::Event;

/// Writes a commented config for a source; refuses to replace one.
pub fn run(session: &Session, arguments: &Init) -> Outcome<Exit> {
    let source = arguments.source.as_deref().unwrap_or("files:.");
    let text = starter(source, &arguments.storage, session.registry.as_ref())?;
    let mut how = OpenOptions::new();
    how.write(true).mode(0o600);
    if arguments.force {
        how.create(true).truncate(true)
    } else {
        how.create_new(true)
    };
    let path = &arguments.output;
    let written = how.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.during_with(|| format!("can't write `{}`", path.display())).map_err(|error| {
        let exists = error.kind == ErrorKind::AlreadyExists;
        let failure = Failure::from(error);
        if exists {
            failure.hint("Replace it with `--force`, or write another with `--output FILE`.")
        } else {
            failure
        }
    })?;
    let next = format!("Wrote {}. Next: `windlass check`, then `windlass backup`.\n", path.display());
    session.report.event(&Event::Text { text: next });
    Ok(Exit::Ok)
}
