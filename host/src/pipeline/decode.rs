//! Decode: one stream of a snapshot into a writer, and no source.

use windlass_plugin_api::Error;

use super::copies::Held;
use super::plan::Engine;
use super::restore::streams;
use super::run::{Run, Ticker};
use crate::exit::{Failure, Outcome};

/// Decodes one stream of a snapshot into `out`; its last bytes come only once all is proved.
pub fn decode(
    engine: &Engine,
    held: &Held,
    stream: Option<&str>,
    out: &mut dyn std::io::Write,
) -> Outcome<u64> {
    let run = Run::new(engine, held.manifest.id.clone());
    let name = held.manifest.key().to_string();
    let mut work = || -> Outcome<u64> {
        let (streams, _) = streams(engine, held, &run)?;
        let chosen = match (stream, streams.as_slice()) {
            (Some(wanted), all) => all.iter().find(|stream| stream.record.name == wanted),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let Some(chosen) = chosen else {
            let names: Vec<&str> = streams.iter().map(|stream| stream.record.name.as_str()).collect();
            return Err(Failure::usage(format!("the snapshot has the streams {}", names.join(", ")))
                .hint("Choose one with `--only STREAM`."));
        };
        let _ticker = Ticker::start(engine, &run, "restore", &name, Some(chosen.record.plain_bytes));
        let mut reader = chosen.open(&run.reading())?;
        let count = std::io::copy(&mut reader, out).map_err(|error| Failure::from(Error::from(error)))?;
        out.flush()?;
        Ok(count)
    };
    work().map_err(|failure| run.faults.cause_of(failure).in_pipeline(&name))
}
