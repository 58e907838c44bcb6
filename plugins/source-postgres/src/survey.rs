//! What a backup knows before it begins, and what the user should know of it. Reads only.

use windlass_plugin_api::{Context, Result};

use crate::facts::{self, About, Others, Relation};
use crate::options::Options;
use crate::programs::{Found, Program, Side, at_least, find};
use crate::select::{Selection, select};
use crate::server::Server;
use crate::words::list;

/// What a backup knows before it begins.
pub(crate) struct Survey<'a> {
    /// The server.
    pub server: Server<'a>,
    /// What it says of itself.
    pub about: About,
    /// What isn't a table.
    pub others: Others,
    /// What of the database is wanted.
    pub selection: Selection,
    /// The `pg_dump` that fits.
    pub dump: Found,
}

impl<'a> Survey<'a> {
    /// Looks.
    pub(crate) fn take(cx: &Context, options: &'a Options) -> Result<Self> {
        let server = Server::new(cx, options, Side::Backup)?;
        let about = facts::about(cx, &server, None)?;
        let why = format!("the server (PostgreSQL {})", about.version);
        let dump =
            at_least(find(cx, options, Side::Backup, Program::Dump)?, Program::Dump, about.major(), &why)?;
        let relations = facts::relations(cx, &server, None)?;
        let schemas = facts::schemas(cx, &server, None)?;
        let selection = select(options, relations, &schemas)?;
        let others = facts::others(cx, &server, None)?;
        Ok(Self { server, about, others, selection, dump })
    }

    /// About how many bytes a backup will write.
    pub(crate) fn estimate(&self) -> u64 {
        self.selection.relations.iter().map(|relation| relation.bytes).sum()
    }

    /// Of the server and of the program.
    pub(crate) fn tool_versions(&self) -> [(String, String); 2] {
        let server = ("server".to_owned(), self.about.version.clone());
        [server, ("pg_dump".to_owned(), self.dump.version.to_string())]
    }

    /// What the user should know of this database, whatever is done with it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.dump.major() > self.about.major() {
            warnings.push(format!(
                "The dump is written by pg_dump {}: an older server may not load it, also not the one it comes from (PostgreSQL {}).",
                self.dump.version, self.about.version
            ));
        }
        if let Some(count) = self.others.subscriptions.filter(|count| *count > 0) {
            warnings.push(format!("{count} subscriptions are restored disabled, and only by a superuser."));
        }
        if self.others.unlogged > 0 && self.about.standby {
            warnings.push(
                "The rows of unlogged tables aren't on a standby, and so not in the backup.".to_owned(),
            );
        }
        warnings
    }

    /// What may not be read, so that no backup can be made.
    pub(crate) fn missing(&self) -> Vec<String> {
        let of = |wanted: fn(&&Relation) -> bool| -> Vec<String> {
            self.selection.relations.iter().filter(wanted).map(Relation::dotted).collect()
        };
        let user = &self.about.user;
        let mut missing = Vec::new();
        let unreadable =
            of(|relation| !relation.readable && ["r", "p", "S"].contains(&relation.kind.as_str()));
        if !unreadable.is_empty() {
            missing.push(format!(
                "`{user}` may not read {}: a backup fails until it may, or they are excluded.",
                list(&unreadable)
            ));
        }
        let filtered = of(|relation| relation.readable && relation.filtered && relation.kind == "r");
        if !filtered.is_empty() {
            missing.push(format!(
                "Row security hides rows of {} from `{user}`: a backup fails until it has `BYPASSRLS`, or they are excluded.",
                list(&filtered)
            ));
        }
        missing
    }
}
