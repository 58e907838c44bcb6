//! How the server is reached: connection strings, the password's way, and questions put to `psql`.
//!
//! Questions go through `psql` and not through a driver, so that a server that only `docker exec` or `ssh` reaches is asked
//! in the same way as it is dumped. Answers are one JSON value each: no name can be mistaken for a separator.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};
use windlass_tool::Tool;

use crate::options::Options;
use crate::programs::{Found, Program, Side, find, newest};
use crate::url::Url;
use crate::words::parameter;

/// Who logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// `user`.
    User,
    /// `admin_user`.
    Admin,
}

/// A server and how to log in. Holds no connection.
pub(crate) struct Server<'a> {
    /// The source's options.
    pub options: &'a Options,
    parameters: BTreeMap<String, String>,
    url_password: Option<String>,
    psql: Found,
}

impl<'a> Server<'a> {
    /// The server that `options` name.
    pub(crate) fn new(cx: &Context, options: &'a Options, side: Side) -> Result<Self> {
        let Url { mut parameters, password } = match &options.url {
            Some(url) => Url::parse(url)?,
            None => Url::default(),
        };
        let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
        let own = [
            ("host", options.host.clone()),
            ("port", options.port.map(|port| port.to_string())),
            ("user", options.user.clone()),
            ("dbname", options.database.clone()),
            ("service", options.service.clone()),
            ("sslmode", options.sslmode.map(|mode| mode.as_str().to_owned())),
            ("sslrootcert", path(&options.sslrootcert)),
            ("sslcert", path(&options.sslcert)),
            ("sslkey", path(&options.sslkey)),
        ];
        parameters.extend(own.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        parameters.insert("connect_timeout".to_owned(), options.connect_timeout.to_string());
        parameters.insert("application_name".to_owned(), "windlass".to_owned());
        let psql = newest(find(cx, options, side, Program::Psql)?)
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "no program `psql`"))?;
        Ok(Self { options, parameters, url_password: password, psql })
    }

    /// The database that the options name, if they do.
    pub(crate) fn database(&self) -> Option<&str> {
        self.parameters.get("dbname").map(String::as_str)
    }

    /// Database and server for people.
    pub(crate) fn place(&self, database: &str) -> String {
        let host = self.parameters.get("host").map_or("the local server", String::as_str);
        match self.parameters.get("port") {
            Some(port) => format!("{database} on {host}:{port}"),
            None => format!("{database} on {host}"),
        }
    }

    /// The connection string for `database`, without the password.
    pub(crate) fn conninfo(&self, login: Login, database: Option<&str>) -> String {
        let mut parameters = self.parameters.clone();
        if let Some(database) = database {
            parameters.insert("dbname".to_owned(), database.to_owned());
        }
        if let (Login::Admin, Some(user)) = (login, &self.options.admin_user) {
            parameters.insert("user".to_owned(), user.clone());
        }
        let words: Vec<String> = parameters.iter().map(|(key, value)| parameter(key, value)).collect();
        words.join(" ")
    }

    /// `found` with `args`, ready to log in.
    pub(crate) fn tool(&self, cx: &Context, found: &Found, login: Login, args: &[String]) -> Result<Tool> {
        let mut tool = found.tool(self.options, args);
        // A server that is named is the one that is meant, whatever the environment says.
        if self.parameters.contains_key("host") && !self.parameters.contains_key("hostaddr") {
            tool = tool.env("PGHOSTADDR", "");
        }
        if let Some(password) = self.password(cx, login)? {
            if password.contains(['\n', '\r', '\0']) {
                return Err(Error::new(
                    ErrorKind::Config,
                    "the password holds a line break, which libpq can't read",
                ));
            }
            let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
            let file = tool.secret_file("pgpass", &format!("*:*:*:*:{escaped}\n"), &[&password, &escaped])?;
            // `PGPASSWORD` of the environment would win over the file.
            tool = tool.env("PGPASSFILE", file).env("PGPASSWORD", "");
        }
        Ok(tool)
    }

    fn password(&self, cx: &Context, login: Login) -> Result<Option<String>> {
        let reveal = |secret: &Option<Secret>| secret.as_ref().map(|secret| cx.reveal(secret)).transpose();
        match login {
            Login::User => Ok(reveal(&self.options.password)?.or_else(|| self.url_password.clone())),
            Login::Admin => reveal(&self.options.admin_password),
        }
    }

    /// The `psql` that runs scripts: the newest.
    pub(crate) fn psql(&self) -> &Found {
        &self.psql
    }

    /// The answer to `sql`, which must give one JSON value, asked in `database` (or the options' one).
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        cx: &Context,
        database: Option<&str>,
        sql: &str,
    ) -> Result<T> {
        self.ask_after(cx, database, &[sql])
    }

    /// The answer to the last of `statements`, the only one that gives one, all in one session.
    pub(crate) fn ask_after<T: DeserializeOwned, S: AsRef<str>>(
        &self,
        cx: &Context,
        database: Option<&str>,
        statements: &[S],
    ) -> Result<T> {
        let statements: Vec<&str> = statements.iter().map(AsRef::as_ref).collect();
        let answer = self.run(cx, Login::User, database, &statements)?;
        let answer = String::from_utf8_lossy(&answer);
        serde_json::from_str(answer.trim()).map_err(|error| {
            Error::failed("the server's answer can't be read").because(&error).detail("answer", answer.trim())
        })
    }

    /// Runs each of `statements` by itself, in one session.
    pub(crate) fn run(
        &self,
        cx: &Context,
        login: Login,
        database: Option<&str>,
        statements: &[&str],
    ) -> Result<Vec<u8>> {
        let tool = self.statements(cx, login, database, statements)?;
        let mut answer = Vec::new();
        tool.dump(cx, &mut answer).map_err(of_libpq).map_err(|error| error.during("can't ask the server"))?;
        Ok(answer)
    }

    /// As [`run`](Self::run), to clear up: it also runs once the run was cancelled.
    pub(crate) fn clear_up(
        &self,
        cx: &Context,
        login: Login,
        database: &str,
        statements: &[&str],
    ) -> Result<()> {
        // The host's own context still gives the password; one that was never cancelled runs the program.
        let tool = self.statements(cx, login, Some(database), statements)?;
        tool.dump(&Context::default(), &mut std::io::sink()).map_err(of_libpq).map(|_| ())
    }

    fn statements(
        &self,
        cx: &Context,
        login: Login,
        database: Option<&str>,
        statements: &[&str],
    ) -> Result<Tool> {
        let (limit, locks) = (self.options.statement_timeout, self.options.lock_timeout);
        let set = format!(
            "SET client_encoding = 'UTF8'; SET search_path = pg_catalog; SET statement_timeout = '{limit}s'; SET lock_timeout = '{locks}s'"
        );
        let mut args: Vec<String> =
            ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1"].map(str::to_owned).into();
        args.push(format!("--dbname={}", self.conninfo(login, database)));
        for statement in [set.as_str()].iter().chain(statements) {
            args.extend(["-c".to_owned(), (*statement).to_owned()]);
        }
        Ok(self.tool(cx, &self.psql, login, &args)?.time_limit(self.options.patience()))
    }
}

/// An error of one of the programs with the kind that its words tell. They speak English: `LC_ALL` is `C`, and what the
/// server says in another language stays of kind `Failed`.
pub(crate) fn of_libpq(mut error: Error) -> Error {
    if error.kind != ErrorKind::Failed {
        return error;
    }
    let text = error.one_line() + error.details.get("stderr").and_then(|text| text.as_str()).unwrap_or("");
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let (kind, hint) = if says(&["password authentication failed", "no password supplied"]) {
        (ErrorKind::Denied, Some("Check `user` and `password`, or libpq's password file."))
    } else if says(&[
        "no pg_hba.conf entry",
        "permission denied",
        "must be owner",
        "must be superuser",
        "must be member",
    ]) {
        (ErrorKind::Denied, None)
    } else if says(&["lock timeout", "statement timeout", "Lock wait timeout", "could not obtain lock"]) {
        (
            ErrorKind::TimedOut,
            Some("Somebody holds a lock; look into `pg_stat_activity`, or raise `lock_timeout`."),
        )
    } else if says(&["certificate verify failed", "SSL"]) && says(&["connection to server"]) {
        (ErrorKind::Failed, Some("Check `sslmode`, `sslrootcert` and the server's certificate."))
    } else if says(&["out of shared memory", "max_locks_per_transaction"]) {
        (
            ErrorKind::Failed,
            Some(
                "The transaction needs more locks than the server has room for: raise `max_locks_per_transaction`, or drop the empty target so that the restore makes it.",
            ),
        )
    } else if says(&["No space left on device"]) {
        (ErrorKind::Full, None)
    } else if says(&["database \""]) && says(&["does not exist"]) {
        (ErrorKind::NotFound, Some("List the databases with `psql -l`."))
    } else if says(&[
        "connection to server",
        "could not connect",
        "server closed the connection",
        "could not translate host name",
    ]) {
        (ErrorKind::Unavailable, None)
    } else {
        return error;
    };
    error.kind = kind;
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}
