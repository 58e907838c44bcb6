//! `windlass init`.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use windlass_plugin_api::{During, ErrorKind};

use super::args::Init;
use super::session::Session;
use crate::config::starter;
use crate::exit::{Exit, Failure, Outcome};
use crate::report::Event;

/// Writes a commented config for a source; refuses to replace one.
pub fn run(session: &Session, arguments: &Init) -> Outcome<Exit> {
    let started = Instant::now();
    let (source, storage) = (arguments.source.as_deref(), arguments.storage.as_deref());
    let text = starter(source, storage, session.registry.as_ref())?;
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
    session.report.event(&Event::Wrote {
        what: "a config".to_owned(),
        path: path.display().to_string(),
        bytes: text.len() as u64,
        seconds: started.elapsed().as_secs_f64(),
    });
    let message = "next: `windlass check`, then `windlass backup`".to_owned();
    session.report.event(&Event::Note { pipeline: None, message });
    Ok(Exit::Ok)
}
