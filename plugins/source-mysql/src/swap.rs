//! Puts a proved restore in its place.
//!
//! The stream is loaded into a database of its own, `<name>_new_<id>`, with all its code: whatever is wrong with it shows
//! there. Then one `RENAME TABLE` moves the old tables out into `<name>_before_<id>` and the new ones in; the server does
//! all of it or nothing. Triggers can't move, so they are dropped before; they and views, routines and events are made
//! again on both sides right after. Whatever fails is taken back.

use std::collections::BTreeSet;

use windlass_plugin_api::{During, Error, Result};

use crate::backup::common_args;
use crate::errors::explained;
use crate::facts::{self, Database};
use crate::late::Late;
use crate::names::identifier;
use crate::restore::Work;
use crate::screen::{Screen, Wanted};
use crate::server::Server;
use crate::steady::steady;
use crate::target::{before_name, new_name};

/// The two databases of a swap, and what they must get.
struct Swap<'a> {
    work: &'a Work<'a>,
    /// The server, reached without a cancel.
    calm: &'a Server<'a>,
    /// Filled by the restore.
    new: Database,
    /// Where the old tables go; none if there are no old ones.
    before: Option<String>,
    new_code: Late,
    old_code: Late,
}

/// Loads, and swaps. Gives notes for the user.
pub(crate) fn swap(work: &Work<'_>) -> Result<Vec<String>> {
    let (server, target) = (&work.server, &work.found);
    let steady = steady(server.cx);
    let calm = Server::new(&steady, server.options)?;
    let new = new_name(server, target);
    let create = format!("CREATE DATABASE {}{};\n", identifier(&new), work.defaults());
    server.run(None, create.as_bytes()).during_with(|| format!("can't make the database `{new}`"))?;
    let result = work.load(&new, true).and_then(|new_code| {
        let new = Database::look(server, &new)?;
        let old_code = old_code(work)?;
        let before = (!target.is_empty()).then(|| free_name(work)).transpose()?;
        server.cx.go_on()?;
        Swap { work, calm: &calm, new, before, new_code, old_code }.run()
    });
    let dropped = calm.run(None, format!("DROP DATABASE {};\n", identifier(&new)).as_bytes());
    match (result, dropped) {
        (Ok(mut notes), Err(error)) => {
            notes.push(format!("The database `{new}` could not be dropped: {error}."));
            Ok(notes)
        }
        (Err(error), Err(_)) => Err(error.hint(format!("The database `{new}` is left: drop it."))),
        (result, Ok(())) => result,
    }
}

/// The code of the database that is there, by the dump program and through the same screen.
fn old_code(work: &Work<'_>) -> Result<Late> {
    let server = &work.server;
    if work.found.is_empty() {
        return Ok(Late::default());
    }
    let mut args = common_args(server)?;
    args.extend(["--no-data", "--routines", "--triggers", "--events", "--"].map(str::to_owned));
    args.push(work.found.name.clone());
    let mut dump = Vec::new();
    let mut short = crate::bounded::Bounded(&mut dump);
    server.with_args(server.dump()?, &args).dump(server.cx, &mut short).map_err(explained)?;
    let mut rewrite = work.rewrite();
    // Without the right to set them, its definers can't be kept: `target` has told so.
    rewrite.drop_definer = !facts::may_define(server, &work.found.name)?;
    rewrite.from = Some(work.found.name.clone());
    let wanted = Wanted { rewrite, code_only: true, only: BTreeSet::new(), ..Wanted::default() };
    let mut screen = Screen::new(dump.as_slice(), wanted);
    std::io::copy(&mut screen, &mut std::io::sink())?;
    Ok(screen.late())
}

/// A name for the old database that isn't taken.
fn free_name(work: &Work<'_>) -> Result<String> {
    let name = before_name(&work.found.name, work.how);
    if Database::look(&work.server, &name)?.exists() {
        return Err(Error::new(
            windlass_plugin_api::ErrorKind::AlreadyExists,
            format!("the database `{name}` of an earlier restore is still there"),
        )
        .hint("Look at it, and drop it with `DROP DATABASE`."));
    }
    Ok(name)
}

impl Swap<'_> {
    fn run(&self) -> Result<Vec<String>> {
        let server = self.calm;
        self.work.end_sessions()?;
        server.run(None, self.prepare().as_bytes()).during("can't make room for the restored database")?;
        if let Err(error) = self.step() {
            let undone = self.undo();
            let error = error.during("the restored database couldn't take its place");
            return Err(match undone {
                Ok(()) => error,
                Err(undo) => error.hint(format!("The old database couldn't be put back either: {undo}.")),
            });
        }
        let Some(before) = &self.before else { return Ok(Vec::new()) };
        if server.options.drop_before {
            server.run(None, format!("DROP DATABASE {};\n", identifier(before)).as_bytes())?;
            return Ok(Vec::new());
        }
        Ok(vec![format!("What was there is kept as the database `{before}`, its events asleep.")])
    }

    /// Makes the databases that are missing.
    fn prepare(&self) -> String {
        let target = &self.work.found;
        let mut script = match target.exists() {
            true => String::new(),
            false => format!("CREATE DATABASE {};\n", identifier(&target.name)),
        };
        if let (Some(before), Some((charset, collation))) = (&self.before, &target.charset) {
            let before = identifier(before);
            script += &format!("CREATE DATABASE {before} CHARACTER SET {charset} COLLATE {collation};\n");
        }
        script
    }

    fn step(&self) -> Result<()> {
        let (server, target) = (self.calm, &self.work.found);
        server.run(None, self.rename().as_bytes())?;
        if let Some(before) = &self.before {
            server.run(Some(before), &self.old_code.script(before, true))?;
        }
        let mut script = drop_code(target);
        let defaults = self.work.defaults();
        if !defaults.is_empty() {
            script += &format!("ALTER DATABASE {}{defaults};\n", identifier(&target.name));
        }
        server.run(None, script.as_bytes())?;
        server.run(Some(&target.name), &self.new_code.script(&target.name, false))
    }

    /// Drops the triggers, and moves all tables in one statement.
    fn rename(&self) -> String {
        let target = &self.work.found;
        let mut script = drop_triggers(&self.new.name, &self.new.triggers);
        script += &drop_triggers(&target.name, &target.triggers);
        let mut moves = Vec::new();
        if let Some(before) = &self.before {
            moves.extend(target.movable().map(|table| pair(&target.name, before, table)));
        }
        // A view can't be moved, and holds a name that a table may need.
        script += &drop_views(target);
        moves.extend(self.new.movable().map(|table| pair(&self.new.name, &target.name, table)));
        script + &rename(&moves)
    }

    /// Puts the old database back, from wherever the swap had come to.
    fn undo(&self) -> Result<()> {
        let (server, target) = (self.calm, &self.work.found);
        let now = Database::look(server, &target.name)?;
        let mut script = drop_triggers(&now.name, &now.triggers) + &drop_code(&now);
        let mut moves = Vec::new();
        let kept = match &self.before {
            Some(before) => Some(Database::look(server, before)?),
            None => None,
        };
        let moved_in = Database::look(server, &self.new.name)?.movable().count() < self.new.movable().count();
        let moved_out = kept.as_ref().is_some_and(|kept| kept.movable().next().is_some());
        if moved_in || moved_out {
            moves.extend(now.movable().map(|table| pair(&target.name, &self.new.name, table)));
            if let Some(kept) = &kept {
                script += &drop_triggers(&kept.name, &kept.triggers);
                moves.extend(kept.movable().map(|table| pair(&kept.name, &target.name, table)));
            }
        }
        script += &rename(&moves);
        if let Some((charset, collation)) = &target.charset {
            let name = identifier(&target.name);
            script += &format!("ALTER DATABASE {name} CHARACTER SET {charset} COLLATE {collation};\n");
        }
        server.run(None, script.as_bytes())?;
        server.run(Some(&target.name), &self.old_code.script(&target.name, false))?;
        let mut rest = Vec::new();
        if let Some(before) = &self.before {
            // Never one that still holds a table.
            let kept = Database::look(server, before)?;
            rest.extend((kept.exists() && kept.movable().next().is_none()).then_some(kept.name));
        }
        rest.extend((!target.exists()).then(|| target.name.clone()));
        let drops: String =
            rest.iter().map(|name| format!("DROP DATABASE {};\n", identifier(name))).collect();
        server.run(None, drops.as_bytes())
    }
}

fn pair(from: &str, to: &str, table: &str) -> String {
    let table = identifier(table);
    format!("{}.{table} TO {}.{table}", identifier(from), identifier(to))
}

fn rename(moves: &[String]) -> String {
    if moves.is_empty() { String::new() } else { format!("RENAME TABLE {};\n", moves.join(", ")) }
}

fn drop_triggers(database: &str, triggers: &[String]) -> String {
    let drop = |name: &String| format!("DROP TRIGGER {}.{};\n", identifier(database), identifier(name));
    triggers.iter().map(drop).collect()
}

fn drop_views(database: &Database) -> String {
    let drop = |name| format!("DROP VIEW IF EXISTS {}.{};\n", identifier(&database.name), identifier(name));
    database.views().map(drop).collect()
}

/// Drops views, routines and events.
fn drop_code(database: &Database) -> String {
    let name = identifier(&database.name);
    let routines = database.routines.iter().map(|(kind, routine)| {
        let kind = if kind.starts_with("PACKAGE") { "PACKAGE" } else { kind };
        format!("DROP {kind} IF EXISTS {name}.{};\n", identifier(routine))
    });
    let events =
        database.events.iter().map(|event| format!("DROP EVENT IF EXISTS {name}.{};\n", identifier(event)));
    drop_views(database) + &routines.chain(events).collect::<String>()
}
