//! Extensions on restore that only an administrator can make, and the right to fill their tables.
//!
//! An extension such as PostGIS has tables that users add to; their rows are in the dump, but the tables belong to who made
//! the extension. So for the length of the restore who restores may write to them. Nothing of an archive but names goes into
//! the administrator's statements.

use windlass_plugin_api::{Context, Result};

use crate::server::{Login, Server};
use crate::words::{ident, literal};

/// What the administrator does for a restore, and takes back.
pub(crate) struct Extensions {
    /// Those to make: names and schemas.
    pub missing: Vec<(String, String)>,
    /// Those whose tables are lent.
    pub lent: Vec<String>,
    /// Who restores.
    pub user: String,
}

impl Extensions {
    /// Makes those that are missing, and lends the tables of all.
    pub(crate) fn make(&self, cx: &Context, server: &Server<'_>, database: &str) -> Result<()> {
        for (name, schema) in &self.missing {
            let statement = format!("CREATE EXTENSION {} SCHEMA {}", ident(name), ident(schema));
            server.run(cx, Login::Admin, Some(database), &[&statement]).map_err(|error| {
                error.during(format!("can't make the extension `{name}` in the schema `{schema}`"))
            })?;
        }
        if !self.lent.is_empty() {
            server
                .run(cx, Login::Admin, Some(database), &[&self.tables("GRANT", "TO")])
                .map_err(|error| error.during("can't lend the extensions' tables"))?;
        }
        Ok(())
    }

    /// Takes back what was lent.
    pub(crate) fn take_back(&self, cx: &Context, server: &Server<'_>, database: &str) -> Result<()> {
        if self.lent.is_empty() {
            return Ok(());
        }
        server
            .clear_up(cx, Login::Admin, database, &[&self.tables("REVOKE", "FROM")])
            .map_err(|error| error.during("can't take back the right to write to the extensions' tables"))
    }

    /// Drops after a failure what was made for the restore.
    pub(crate) fn unmake(&self, cx: &Context, server: &Server<'_>, database: &str) {
        if let Err(error) = self.take_back(cx, server, database) {
            tracing::warn!("{error}");
        }
        for (name, _) in &self.missing {
            let statement = format!("DROP EXTENSION IF EXISTS {}", ident(name));
            if let Err(error) = server.clear_up(cx, Login::Admin, database, &[&statement]) {
                tracing::warn!("the extension `{name}` stays behind: {error}");
            }
        }
    }

    /// A statement that gives or takes the right to fill the tables and to set the sequences.
    fn tables(&self, verb: &str, preposition: &str) -> String {
        let names: Vec<String> = self.lent.iter().map(|name| literal(name)).collect();
        format!(
            "DO $windlass$ DECLARE one record; BEGIN FOR one IN SELECT format('%I.%I', n.nspname, c.relname) AS name, \
             CASE c.relkind WHEN 'S' THEN 'UPDATE ON SEQUENCE' ELSE 'INSERT ON' END AS what \
             FROM pg_extension e, unnest(e.extconfig) AS config, pg_class c, pg_namespace n \
             WHERE e.extname IN ({}) AND c.oid = config AND n.oid = c.relnamespace LOOP \
             EXECUTE format('{verb} %s %s {preposition} %I', one.what, one.name, {}); END LOOP; END $windlass$",
            names.join(", "),
            literal(&self.user),
        )
    }
}
