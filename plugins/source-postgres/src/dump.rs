//! Runs one dump program into one stream, and judges whether what came is whole.
//!
//! The program's exit status is the first verdict. The second is what was written: a wrapper (`ssh`, a script around a pipe)
//! may end well though the program behind it died.

use std::io::{self, Write};

use windlass_plugin_api::{Context, ErrorKind, Result, Sink};
use windlass_tool::Tool;

use crate::follow::Follow;
use crate::script::{TAIL, holds, no_end};
use crate::server::{Login, of_libpq};
use crate::survey::Survey;

/// The arguments of `pg_dump`: those that every dump has around its `own`.
pub(crate) fn dump_arguments(
    survey: &Survey<'_>,
    format: &str,
    lock_seconds: u32,
    own: Vec<String>,
) -> Vec<String> {
    let mut arguments = vec![
        format!("--format={format}"),
        // The pipeline's filters compress, and better.
        "--compress=0".to_owned(),
        "--no-password".to_owned(),
        format!("--lock-wait-timeout={lock_seconds}s"),
    ];
    arguments.extend(own);
    arguments.extend(survey.server.options.dump_args.clone());
    arguments.push(format!("--dbname={}", survey.server.conninfo(Login::User, None)));
    arguments
}

/// How a whole dump is known.
pub(crate) enum End {
    /// All the data that its table of contents announces has come.
    Archive,
    /// This comment stands in its last lines.
    Comment(&'static [u8]),
}

/// Runs `tool` into `sink`, and finishes that if the dump is whole.
pub(crate) fn write(cx: &Context, tool: &Tool, sink: Box<dyn Sink>, end: End) -> Result<()> {
    let proof = match end {
        End::Archive => Proof::Archive(Follow::new()),
        End::Comment(comment) => Proof::Comment(comment, Vec::new()),
    };
    let mut watched = Watched { sink, proof };
    let outcome = tool.dump(cx, &mut watched).map_err(of_libpq)?;
    watched.proof.end().map_err(|mut error| {
        // It is the program's fault, and nothing that is stored.
        error.kind = ErrorKind::Failed;
        error
            .during("the dump program ended well and its output isn't whole")
            .detail("stderr", outcome.stderr.clone())
    })?;
    for line in outcome.stderr.lines() {
        tracing::info!("{line}");
    }
    watched.sink.finish()?;
    Ok(())
}

/// What is known so far of a dump's wholeness.
enum Proof {
    Archive(Follow),
    /// The last bytes, in which the comment must stand.
    Comment(&'static [u8], Vec<u8>),
}

impl Proof {
    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Archive(follow) => follow.take(bytes),
            Self::Comment(_, last) => {
                last.extend_from_slice(&bytes[bytes.len().saturating_sub(TAIL)..]);
                last.drain(..last.len().saturating_sub(TAIL));
                Ok(())
            }
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Archive(follow) => follow.end(),
            Self::Comment(comment, last) if holds(&last, comment) => Ok(()),
            Self::Comment(..) => Err(no_end()),
        }
    }
}

/// A sink whose bytes are looked at.
struct Watched {
    sink: Box<dyn Sink>,
    proof: Proof,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.sink.write(bytes)?;
        self.proof.take(&bytes[..count]).map_err(|mut error| {
            error.kind = ErrorKind::Failed;
            error.during("what the dump program writes isn't what it announced").into_io()
        })?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
