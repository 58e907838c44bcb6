//! The server as the tools reach it: which programs, with which arguments, and short questions to it.
//!
//! There is no driver: what reaches a server in a container or behind `ssh` is the client there, and what it reads of its
//! own option files holds for everything.

use std::time::Duration;

use windlass_plugin_api::{Context, Error, ErrorKind, Result};
use windlass_tool::{Tool, shell};

use crate::Mysql;
use crate::bounded::Bounded;
use crate::errors::explained;
use crate::login;
use crate::names::text;
use crate::options::{Options, PROGRAMS, Tls};
use crate::programs::Programs;
use crate::url::{self, Parts};

/// How long the server may take to answer a question, beside connecting to it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The server of the options.
pub(crate) struct Server<'a> {
    pub(crate) cx: &'a Context,
    pub(crate) options: &'a Options,
    pub(crate) programs: &'a Programs,
    parts: Parts,
}

/// The rows of one question.
pub(crate) type Rows = Vec<Vec<String>>;

impl<'a> Server<'a> {
    pub(crate) fn new(cx: &'a Context, source: &'a Mysql) -> Result<Self> {
        let Mysql { options, programs, .. } = source;
        let mut parts = match &options.url {
            Some(url) => url::parse(&url.0)?,
            None => Parts::default(),
        };
        let over = |part: &mut Option<String>, option: &Option<String>| {
            if option.is_some() {
                part.clone_from(option);
            }
        };
        over(&mut parts.host, &options.host);
        over(&mut parts.user, &options.user);
        over(&mut parts.database, &options.database);
        parts.port = options.port.or(parts.port);
        Ok(Self { cx, options, programs, parts })
    }

    /// The same server for another context.
    pub(crate) fn within<'b>(&'b self, cx: &'b Context) -> Server<'b> {
        Server { cx, options: self.options, programs: self.programs, parts: self.parts.clone() }
    }

    /// The database that the options name.
    pub(crate) fn database(&self) -> Result<&str> {
        self.parts.database.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::Config, "the option `database` is missing")
                .hint("Name it in `database` or in the URL; for every database of a server use `each`.")
        })
    }

    /// Where a database is, for people.
    pub(crate) fn place(&self, database: &str) -> String {
        format!("`{database}`{}", self.at())
    }

    /// The server, behind the names of databases.
    pub(crate) fn at(&self) -> String {
        match (&self.options.socket, &self.parts.host, self.parts.port) {
            (Some(socket), ..) => format!(" on `{}`", socket.display()),
            (None, Some(host), Some(port)) => format!(" on `{host}:{port}`"),
            (None, Some(host), None) => format!(" on `{host}`"),
            (None, None, Some(port)) => format!(" on port {port}"),
            (None, None, None) => String::new(),
        }
    }

    /// The client, connected to nothing in particular.
    pub(crate) fn client(&self) -> Result<Tool> {
        self.reached(&self.options.restore_command, &self.options.dump_command, |(dump, client)| {
            (client, dump)
        })
    }

    /// The dump program.
    pub(crate) fn dump(&self) -> Result<Tool> {
        self.reached(&self.options.dump_command, &self.options.restore_command, |pair| pair)
    }

    /// A program, of which and of its sibling `roles` makes a pair: by its `own` command, by that of its sibling, or as it
    /// is installed.
    fn reached(&self, own: &[String], other: &[String], roles: fn(Pair) -> Pair) -> Result<Tool> {
        if !own.is_empty() {
            return self.connected(own.to_vec());
        }
        let programs = PROGRAMS.map(roles);
        self.connected(match swapped(other, programs) {
            Some(command) => command,
            None => vec![self.installed(programs.map(|(name, _)| name))],
        })
    }

    /// The first of two names that is there; the first one for the error if none is.
    fn installed(&self, names: [&str; 2]) -> String {
        let found = names.into_iter().find(|name| {
            let tool = self
                .options
                .env
                .get("PATH")
                .map_or(Tool::new(*name), |path| Tool::new(*name).env("PATH", path));
            tool.bin_dirs(&self.options.bin_dirs).path().is_ok()
        });
        found.unwrap_or(names[0]).to_owned()
    }

    /// A command with all that it needs to connect.
    fn connected(&self, command: Vec<String>) -> Result<Tool> {
        let [program, args @ ..] = command.as_slice() else {
            return Err(Error::new(ErrorKind::Config, "an empty command"));
        };
        let mut tool = Tool::new(program).bin_dirs(&self.options.bin_dirs).args(args);
        for (name, value) in &self.options.env {
            tool = tool.env(name, value);
        }
        let password = match (&self.options.password, &self.parts.password) {
            (Some(secret), _) => Some(self.cx.reveal(secret)?),
            (None, password) => password.clone(),
        };
        let mut connection = Vec::new();
        if let Some(password) = password {
            // A private file: these programs pass over one that everybody could write, and take a descriptor for that.
            let path =
                tool.secret_file("my.cnf", &login::option_file(self.options, &password), &[&password])?;
            // The option must be the first one. Other files are included in it: `~/.my.cnf` would win otherwise.
            connection.push(format!("--defaults-file={}", path.display()));
        }
        connection.extend(login::address(self.options, &self.parts));
        Ok(self.with_args(tool, &connection))
    }

    /// Adds arguments; `ssh` gives them to a shell on the other side.
    pub(crate) fn with_args<A: AsRef<str>>(&self, tool: Tool, args: &[A]) -> Tool {
        let remote = [&self.options.dump_command, &self.options.restore_command]
            .into_iter()
            .any(|command| shell::is_remote(command));
        tool.args(args.iter().map(|arg| match remote {
            true => shell::word(arg.as_ref()),
            false => arg.as_ref().to_owned(),
        }))
    }

    /// Asks the server: the rows of one statement, in text. NULL reads as `NULL`.
    pub(crate) fn rows(&self, sql: &str) -> Result<Rows> {
        let args = [
            "--batch".to_owned(),
            "--skip-column-names".to_owned(),
            "--skip-reconnect".to_owned(),
            "--default-character-set=utf8mb4".to_owned(),
            format!("--connect-timeout={}", self.options.connect_timeout),
            format!("--execute={sql}"),
        ];
        let limit = PATIENCE + Duration::from_secs(self.options.connect_timeout.into());
        let tool = self.with_args(self.client()?, &args).time_limit(limit);
        let mut answer = Vec::new();
        // Longer than what the tool would keep of an answer: a server may have very many tables.
        tool.dump(self.cx, &mut Bounded(&mut answer)).map_err(explained)?;
        let answer = String::from_utf8_lossy(&answer);
        Ok(answer.lines().map(|line| line.split('\t').map(unescaped).collect()).collect())
    }

    /// Asks several questions in one session: the rows of each.
    pub(crate) fn ask<const N: usize>(&self, questions: [String; N]) -> Result<[Rows; N]> {
        // No name of a database can be known to be this.
        let mark = format!("next-{}", self.cx.run());
        let rows = self.rows(&questions.join(&format!("; SELECT {}; ", text(&mark))))?;
        let mut parts = rows.split(|row| *row == [mark.as_str()]).map(<[_]>::to_vec);
        Ok(std::array::from_fn(|_| parts.next().unwrap_or_default()))
    }

    /// Where TLS is asked for, proves that it is there: older tools of MariaDB go on without it when a server has none.
    pub(crate) fn prove_tls(&self) -> Result<()> {
        if !matches!(self.options.tls, Some(Tls::Require | Tls::Verify)) {
            return Ok(());
        }
        let status = self.rows("SHOW SESSION STATUS LIKE 'Ssl_cipher'")?;
        if status.first().is_some_and(|row| row.get(1).is_some_and(|cipher| !cipher.is_empty())) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Unavailable, "the connection isn't encrypted, and `tls` asks for it")
            .hint("The server has no TLS: set `ssl_cert` and `ssl_key` there."))
    }

    /// The first column of the rows.
    pub(crate) fn column(&self, sql: &str) -> Result<Vec<String>> {
        Ok(self.rows(sql)?.into_iter().filter_map(|row| row.into_iter().next()).collect())
    }

    /// Runs statements, in a database or none.
    pub(crate) fn run(&self, database: Option<&str>, statements: &[u8]) -> Result<()> {
        if statements.is_empty() {
            return Ok(());
        }
        let patience = format!(
            "SET SESSION lock_wait_timeout = {0}, innodb_lock_wait_timeout = {0}, foreign_key_checks = 0;\n",
            self.options.lock_timeout
        );
        let script = [patience.as_bytes(), statements].concat();
        self.loader(database, &[])?.load(self.cx, script.as_slice()).map_err(explained)?;
        Ok(())
    }

    /// The client, made safe to be fed with what was stored.
    ///
    /// `--binary-mode` leaves it no command but `delimiter` and `\C`, the sandbox none that reaches a file or a program, and
    /// the server can't ask it for one.
    pub(crate) fn loader(&self, database: Option<&str>, more: &[String]) -> Result<Tool> {
        let mut args: Vec<String> = more.to_vec();
        args.extend(
            [
                "--batch",
                "--binary-mode",
                "--comments",
                "--local-infile=0",
                "--skip-force",
                "--skip-reconnect",
                "--skip-named-commands",
                "--max-allowed-packet=1G",
                "--default-character-set=utf8mb4",
            ]
            .map(str::to_owned),
        );
        args.push(format!("--connect-timeout={}", self.options.connect_timeout));
        if self.programs.client(self)?.knows("--sandbox") {
            args.push("--sandbox".to_owned());
        }
        args.extend(database.map(|database| format!("--database={database}")));
        Ok(self.with_args(self.client()?, &args))
    }
}

/// A program and its sibling: the dump program and the client of one family, in either order.
type Pair = (&'static str, &'static str);

/// A command whose last word is the sibling of the one that it is, of `programs`; none if there is no command.
fn swapped(command: &[String], programs: [Pair; 2]) -> Option<Vec<String>> {
    let (last, before) = command.split_last()?;
    let folder = last.rfind('/').map_or("", |at| &last[..=at]);
    let (other, _) = programs.into_iter().find(|(_, sibling)| *sibling == &last[folder.len()..])?;
    let mut command = before.to_vec();
    command.push(format!("{folder}{other}"));
    Some(command)
}

/// A column as the client's batch mode escapes it.
fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('0') => text.push('\0'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            c => text.push(c),
        }
    }
    text
}
