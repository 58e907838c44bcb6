//! The transaction that a parallel dump hangs on: it holds the tables and the moment until every dump has ended.
//!
//! A `psql` is held open by its input. The tables are locked before the moment is fixed: nobody can change or empty one
//! between the two. It reads nothing itself.

use std::io::{self, Cursor, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use windlass_plugin_api::{Context, Error, ErrorKind, Result};

use crate::facts::Relation;
use crate::server::{Login, Server, of_libpq};
use crate::words::{ident, literal};

/// How long to wait before it is asked again whether the tables are held.
const PAUSE: Duration = Duration::from_millis(20);

/// How often `psql` gets an empty line.
const PULSE: Duration = Duration::from_millis(100);

/// So many tables are locked by one statement.
const AT_ONCE: usize = 500;

/// The held tables and the exported snapshot. Dropped, it ends without a verdict.
pub(crate) struct Hold {
    /// What `pg_dump --snapshot` takes.
    pub snapshot: String,
    end: Option<Sender<()>>,
    session: Option<JoinHandle<Result<()>>>,
}

impl Hold {
    /// Waits for the locks of `tables`, at most `lock_timeout`, and exports a snapshot.
    pub(crate) fn take(cx: &Context, server: &Server<'_>, tables: &[Relation]) -> Result<Self> {
        let mark = format!("windlass {} ", nonce()?);
        let script = script(server.options.lock_timeout, tables, &mark);
        let mut args: Vec<String> =
            ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"].map(str::to_owned).into();
        args.push(format!("--dbname={}", server.conninfo(Login::User, None)));
        let tool = server.tool(cx, server.psql(), Login::User, &args)?;
        let (end, ended) = channel();
        let input = Input { text: Cursor::new(script.into_bytes()), ended, is_over: false };
        let its_cx = cx.clone();
        let session = thread::Builder::new()
            .name("windlass-hold".to_owned())
            .spawn(move || tool.load(&its_cx, input).map_err(of_libpq).map(|_| ()))?;
        let mut hold = Self { snapshot: String::new(), end: Some(end), session: Some(session) };
        // Its answers go to the log; what it calls itself can be asked.
        let sql = format!(
            "SELECT coalesce((SELECT to_json(application_name) FROM pg_stat_activity \
             WHERE starts_with(application_name, {})), 'null'::json)",
            literal(&mark)
        );
        loop {
            if hold.session.as_ref().is_none_or(JoinHandle::is_finished) {
                return Err(too_early(hold.finish()));
            }
            if let Some(name) = server.ask::<Option<String>>(cx, None, &sql)? {
                hold.snapshot = name[mark.len()..].to_owned();
                return Ok(hold);
            }
            thread::sleep(PAUSE);
        }
    }

    /// Lets go. An error if the session hadn't lived until now.
    pub(crate) fn finish(mut self) -> Result<()> {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        self.join().map_err(|error| error.during("the session that holds the tables and the snapshot failed"))
    }

    fn join(&mut self) -> Result<()> {
        let panicked = |_| Err(Error::new(ErrorKind::Broken, "the holding session panicked"));
        self.session.take().map_or(Ok(()), |session| session.join().unwrap_or_else(panicked))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Its input fails by this, and it is killed.
        self.end = None;
        let _ = self.join();
    }
}

/// The error of a session that ended before it was told to.
fn too_early(verdict: Result<()>) -> Error {
    let mut error = verdict.err().unwrap_or_else(|| Error::failed("`psql` ended before it was told to"));
    // If it had nothing to say against what it was given, it didn't get it.
    if error.kind == ErrorKind::Failed && !error.details.contains_key("stderr") {
        let hint = "A parallel dump holds a `psql` open by its input: a wrapper must pass that on, such as `docker exec -i`.";
        error.hint = Some(hint.to_owned());
    }
    error
}

fn script(lock_timeout: u32, tables: &[Relation], mark: &str) -> String {
    // Idle is all that it is; and it lives as long as the longest dump.
    let mut text = format!(
        "SET client_encoding = 'UTF8'; SET search_path = pg_catalog; SET lock_timeout = '{lock_timeout}s';\n\
         DO $$ BEGIN PERFORM set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', \
         'transaction_timeout', 'idle_in_transaction_session_timeout'); END $$;\n\
         BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;\n"
    );
    for tables in tables.chunks(AT_ONCE) {
        let names: Vec<String> = tables
            .iter()
            .map(|table| format!("ONLY {}.{}", ident(&table.schema), ident(&table.name)))
            .collect();
        text.push_str(&format!("LOCK TABLE {} IN ACCESS SHARE MODE;\n", names.join(", ")));
    }
    text.push_str(&format!(
        "DO $$ BEGIN PERFORM set_config('application_name', {} || pg_export_snapshot(), false); END $$;\n",
        literal(mark)
    ));
    text
}

/// The script, and then nothing until the end is told.
struct Input {
    text: Cursor<Vec<u8>>,
    ended: Receiver<()>,
    is_over: bool,
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.text.read(buffer)?;
        if count > 0 || self.is_over {
            return Ok(count);
        }
        match self.ended.recv_timeout(PULSE) {
            Ok(()) => {
                self.is_over = true;
                self.text = Cursor::new(b"COMMIT;\n".to_vec());
            }
            // Who feeds `psql` sees by it whether that still lives; `psql` itself ignores it.
            Err(RecvTimeoutError::Timeout) => self.text = Cursor::new(b"\n".to_vec()),
            // Without a word from the other side something failed: the session is to be killed.
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::failed("the dump was given up").into_io());
            }
        }
        self.text.read(buffer)
    }
}

fn nonce() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Error::failed("no random numbers").because(&error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
