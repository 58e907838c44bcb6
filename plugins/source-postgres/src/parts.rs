//! The archives of a parallel dump loaded into a new database at the same time: definitions, then all rows at once, then
//! what is made over them.
//!
//! There is no transaction around all. Nobody knows the database yet, and it is dropped if anything fails: `sibling` sees to
//! that, and judges nothing of it as restored before all of this has gone well.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tempfile::NamedTempFile;
use windlass_plugin_api::{Context, Error, ErrorKind, Reader, Result};
use windlass_tool::Tool;

use crate::archives::Archives;
use crate::programs::Found;
use crate::server::{Login, Server, of_libpq};
use crate::toc::{Entry, Own};

/// What will be loaded, in order.
pub(crate) struct Parts {
    pre: Reader,
    data: Vec<Reader>,
    post: Reader,
}

impl Parts {
    /// The entries of `archives` that `keep` wants, with the roles of `server`'s options.
    pub(crate) fn new(archives: Archives, server: &Server<'_>, keep: impl Fn(&Entry) -> bool) -> Self {
        let map = &server.options.role_map;
        let nothing = || Box::new(io::empty()) as Reader;
        let data = archives.data.into_iter();
        Self {
            pre: archives.pre.reader(nothing(), &Own::Nothing, &keep, map),
            data: data.map(|archive| archive.toc.reader(archive.rest, &Own::Nothing, &keep, map)).collect(),
            post: archives.post.reader(nothing(), &Own::Nothing, &keep, map),
        }
    }

    /// Loads all with `program` and `args`.
    pub(crate) fn run(
        self,
        cx: &Context,
        server: &Server<'_>,
        program: &Found,
        args: &[String],
    ) -> Result<()> {
        let tool = server.tool(cx, program, Login::User, args)?;
        load(cx, &tool, self.pre).map_err(|error| error.during("can't make the tables"))?;
        rows(cx, &tool, self.data, server.options.jobs)?;
        let last = "can't make indexes, keys and the like";
        // A program elsewhere can't see a file of ours, and several sessions need one.
        if server.options.restore_command.is_empty() {
            let file = spooled(self.post)?;
            let mut args = args.to_vec();
            args.push(format!("--jobs={}", server.options.jobs));
            args.push(file.path().display().to_string());
            let tool = server.tool(cx, program, Login::User, &args)?;
            let outcome = tool.dump(cx, &mut io::sink()).map_err(of_libpq);
            log(&outcome.map_err(|error| error.during(last))?.stderr);
            return Ok(());
        }
        load(cx, &tool, self.post).map_err(|error| error.during(last))
    }
}

/// A private file of an archive without data, which is small.
fn spooled(mut archive: Reader) -> Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("windlass-post-data-").tempfile()?;
    io::copy(&mut archive, &mut file)?;
    file.flush()?;
    Ok(file)
}

/// Loads `data`, as many at the same time as `jobs` says. After the first failure the others are stopped.
fn rows(cx: &Context, tool: &Tool, mut data: Vec<Reader>, jobs: u32) -> Result<()> {
    // Taken from the end: the shares of the tables begin, and large objects follow when one is done.
    data.reverse();
    let failed = Arc::new(AtomicBool::new(false));
    let error = Mutex::new(None);
    let count = data.len().min(jobs as usize);
    let waiting = Mutex::new(data);
    thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                // Not in the loop's head: the lock would be held while the archive is loaded.
                let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop();
                while let Some(archive) = next() {
                    let input = Unless { input: archive, failed: failed.clone() };
                    if let Err(its) = load(cx, tool, Box::new(input)) {
                        failed.store(true, Ordering::SeqCst);
                        error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(its);
                    }
                }
            });
        }
    });
    match error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error.during("can't load the rows")),
        None => Ok(()),
    }
}

fn load(cx: &Context, tool: &Tool, archive: Reader) -> Result<()> {
    log(&tool.load(cx, archive).map_err(of_libpq)?.stderr);
    Ok(())
}

fn log(stderr: &str) {
    stderr.lines().for_each(|line| tracing::info!("{line}"));
}

/// A reader that fails once another one has.
struct Unless {
    input: Reader,
    failed: Arc<AtomicBool>,
}

impl Read for Unless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.failed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Cancelled, "another part of the restore failed").into_io());
        }
        self.input.read(buffer)
    }
}
