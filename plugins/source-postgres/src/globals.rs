//! Roles on restore: makes those that are missing, out of what `pg_dumpall --globals-only` wrote.
//!
//! Only three forms of statements are taken, one a line, and only for roles that the server hasn't: an existing role is never
//! changed. Tablespaces are paths of another machine and stay in the stream.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use windlass_plugin_api::{Context, Error, ErrorKind, Inputs, Result};

use crate::GLOBALS;
use crate::facts;
use crate::script::{GLOBALS_END, Script, holds, no_end};
use crate::server::{Login, Server, of_libpq};
use crate::target::Look;
use crate::words::{ident, list};

/// No server has more roles than fit into this, in bytes.
const LIMIT: u64 = 64 << 20;

/// Roles that a restore makes.
#[derive(Default)]
pub(crate) struct Roles {
    /// Their names.
    pub names: BTreeSet<String>,
    script: String,
}

impl Roles {
    /// Reads the stream to its end, whether it is wanted or not, and finds the roles that the server hasn't.
    pub(crate) fn read(cx: &Context, server: &Server<'_>, look: &Look, input: &dyn Inputs) -> Result<Self> {
        if !input.streams().iter().any(|(name, _)| name == GLOBALS) {
            return Ok(Self::default());
        }
        let mut text = Vec::new();
        input.open(GLOBALS)?.take(LIMIT).read_to_end(&mut text)?;
        if !holds(&text, GLOBALS_END) {
            return Err(no_end());
        }
        if !server.options.globals {
            return Ok(Self::default());
        }
        let there: BTreeSet<String> =
            facts::roles(cx, server, &look.from)?.into_iter().map(|role| role.name).collect();
        let roles = Self::missing(&String::from_utf8_lossy(&text), &there);
        if !roles.names.is_empty() && !look.about.createrole {
            let names: Vec<&String> = roles.names.iter().collect();
            let message = format!("`{}` may not make the roles {}", look.about.user, list(&names));
            return Err(Error::new(ErrorKind::Denied, message)
                .hint("Restore as a superuser or with `CREATEROLE`, or make them by hand and set `globals = false`."));
        }
        Ok(roles)
    }

    fn missing(text: &str, there: &BTreeSet<String>) -> Self {
        let mut roles = Self::default();
        for line in text.lines() {
            let create =
                line.strip_prefix("CREATE ROLE ").and_then(|rest| rest.strip_suffix(';')).and_then(role);
            if let Some((name, "")) = create.filter(|(name, _)| !there.contains(name)) {
                roles.script.push_str(&format!("{line}\n"));
                roles.names.insert(name);
                continue;
            }
            let alter = line.strip_prefix("ALTER ROLE ").and_then(role);
            let alter = alter.filter(|(name, rest)| roles.names.contains(name) && rest.starts_with(" WITH "));
            let grant = line
                .strip_prefix("GRANT ")
                .and_then(role)
                .and_then(|(_, rest)| role(rest.strip_prefix(" TO ")?));
            let grant = grant.filter(|(name, _)| roles.names.contains(name));
            if alter.is_some() {
                roles.script.push_str(&format!("{line}\n"));
            } else if let Some((_, rest)) = grant {
                // Who granted it may not be there.
                let line = line
                    .split(" GRANTED BY ")
                    .next()
                    .filter(|_| rest.contains(" GRANTED BY "))
                    .unwrap_or(line);
                roles.script.push_str(&format!("{};\n", line.trim_end_matches(';')));
            }
        }
        roles
    }

    /// Makes them, all or none.
    pub(crate) fn make(&self, cx: &Context, server: &Server<'_>, look: &Look) -> Result<()> {
        if self.names.is_empty() {
            return Ok(());
        }
        let text = format!("{}\n{}\n", self.script, String::from_utf8_lossy(GLOBALS_END));
        let script =
            Script::new(server.psql(), Box::new(Cursor::new(text.into_bytes())), look.about.major(), None)?;
        // By stdin: a password's hash must not stand in an argument.
        let mut args: Vec<String> =
            ["-X", "-q", "-w", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", "-"]
                .map(str::to_owned)
                .into();
        args.push(format!("--dbname={}", server.conninfo(Login::User, Some(&look.from))));
        let tool = server.tool(cx, server.psql(), Login::User, &args)?;
        tool.load(cx, script).map_err(of_libpq).map_err(|error| error.during("can't make the roles"))?;
        Ok(())
    }

    /// Drops them again after a failure.
    pub(crate) fn unmake(&self, cx: &Context, server: &Server<'_>, look: &Look) {
        if self.names.is_empty() {
            return;
        }
        let names: Vec<String> = self.names.iter().map(|name| ident(name)).collect();
        let statement = format!("DROP ROLE IF EXISTS {}", names.join(", "));
        if let Err(error) = server.clear_up(cx, Login::User, &look.from, &[&statement]) {
            tracing::warn!("the roles {} stay behind: {error}", names.join(", "));
        }
    }
}

/// The role that `text` begins with, and the rest.
fn role(text: &str) -> Option<(String, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut end = 0;
        loop {
            end += quoted[end..].find('"')?;
            if !quoted[end + 1..].starts_with('"') {
                return Some((quoted[..end].replace("\"\"", "\""), &quoted[end + 1..]));
            }
            end += 2;
        }
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$')).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_missing_roles_is_taken() {
        let text = "CREATE ROLE boss;\nALTER ROLE boss WITH SUPERUSER;\nCREATE ROLE \"new \"\"one\";\n\
            ALTER ROLE \"new \"\"one\" WITH NOSUPERUSER LOGIN;\nDROP TABLE x;\nCREATE ROLE a; DROP TABLE y;\n\\! touch /x\n\
            ALTER ROLE boss SET work_mem TO 1;\nGRANT readers TO \"new \"\"one\" WITH INHERIT TRUE GRANTED BY boss;\n\
            GRANT readers TO boss;\n";
        let roles = Roles::missing(text, &["boss".to_owned()].into());
        assert_eq!(roles.names, ["new \"one".to_owned()].into());
        let expected = "CREATE ROLE \"new \"\"one\";\nALTER ROLE \"new \"\"one\" WITH NOSUPERUSER LOGIN;\n\
            GRANT readers TO \"new \"\"one\" WITH INHERIT TRUE;\n";
        assert_eq!(roles.script, expected);
    }
}
