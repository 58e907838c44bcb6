//! Puts a proved restore in its place.
//!
//! The stream is loaded into databases of its own, `<name>_new_<id>`, with all its code: whatever is wrong with it shows
//! there. Then one `RENAME TABLE` moves the old tables out into `<name>_before_<id>` and the new ones in, of all databases
//! of the restore; the server does all of it or nothing. Triggers can't move, so they are dropped before; they and views,
//! routines and events are made again on both sides right after. Whatever fails is taken back.

use windlass_plugin_api::{During, Error, ErrorKind, Result};

use crate::backup::common_args;
use crate::claim::{Made, held};
use crate::errors::explained;
use crate::facts::{self, Database};
use crate::judge::{Part, Wanted};
use crate::late::Late;
use crate::names::identifier;
use crate::restore::Work;
use crate::screen::Screen;
use crate::server::Server;
use crate::steady::steady;
use crate::target::{Place, before_names, new_names};

/// One database of a swap, and what it must get.
struct Pair<'a> {
    /// What is there.
    place: &'a Place,
    /// Filled by the restore.
    new: Database,
    /// Where the old tables go; none if there are no old ones.
    before: Option<String>,
    new_code: Late,
    old_code: Late,
}

struct Swap<'a> {
    work: &'a Work<'a>,
    /// The server, reached without a cancel.
    calm: &'a Server<'a>,
    pairs: Vec<Pair<'a>>,
}

/// Loads, and swaps. Gives notes for the user.
pub(crate) fn swap(work: &Work<'_>) -> Result<Vec<String>> {
    let server = &work.server;
    let steady = steady(server.cx);
    let calm = server.within(&steady);
    let names = new_names(server, &work.places);
    let made = |(name, place): (&String, &Place)| Made { name: name.clone(), defaults: place.defaults() };
    let new: Vec<Made> = names.iter().zip(&work.places).map(made).collect();
    held(&calm, &new, || {
        let result = fill(work, &names).and_then(|pairs| {
            server.cx.go_on()?;
            Swap { work, calm: &calm, pairs }.run()
        });
        let drop: String =
            names.iter().map(|name| format!("DROP DATABASE IF EXISTS {};\n", identifier(name))).collect();
        match (result, calm.run(None, drop.as_bytes())) {
            (Ok(mut notes), Err(error)) => {
                notes.push(format!("The database `{}` could not be dropped: {error}.", names.join("`, `")));
                Ok(notes)
            }
            (Err(error), Err(_)) => {
                Err(error.hint(format!("The database `{}` is left: drop it.", names.join("`, `"))))
            }
            (result, Ok(())) => result,
        }
    })
}

/// Fills the new databases.
fn fill<'a>(work: &'a Work<'_>, names: &[String]) -> Result<Vec<Pair<'a>>> {
    let code = work.load(names, true)?;
    let server = &work.server;
    let new = Database::look_all(server, &names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let before = before_names(&work.places, work.how);
    let each = work.places.iter().zip(new).zip(code).zip(before);
    each.map(|(((place, new), new_code), before)| {
        let old_code = old_code(work, &place.found)?;
        let before = (!place.found.is_empty()).then_some(before);
        if let Some(before) = &before {
            must_be_free(server, before)?;
        }
        Ok(Pair { place, new, before, new_code, old_code })
    })
    .collect()
}

/// The code of the database that is there, by the dump program and through the same screen.
fn old_code(work: &Work<'_>, found: &Database) -> Result<Late> {
    let server = &work.server;
    if found.is_empty() {
        return Ok(Late::default());
    }
    let mut args = common_args(server)?;
    args.extend(["--no-data", "--routines", "--triggers", "--events", "--"].map(str::to_owned));
    args.push(found.name.clone());
    let mut dump = Vec::new();
    let mut short = crate::bounded::Bounded(&mut dump);
    server.with_args(server.dump()?, &args).dump(server.cx, &mut short).map_err(explained)?;
    let wanted = Wanted {
        parts: vec![Part { from: Some(found.name.clone()), ..Part::default() }],
        // Without the right to set them, its definers can't be kept: `target` has told so.
        drop_definer: !facts::may_define(&work.about, found),
        code_only: true,
        ..Wanted::default()
    };
    let mut screen = Screen::new(dump.as_slice(), wanted);
    std::io::copy(&mut screen, &mut std::io::sink())?;
    Ok(screen.late().pop().unwrap_or_default())
}

fn must_be_free(server: &Server<'_>, name: &str) -> Result<()> {
    if !Database::look(server, name)?.exists() {
        return Ok(());
    }
    let message = format!("the database `{name}` of an earlier restore is still there");
    Err(Error::new(ErrorKind::AlreadyExists, message).hint("Look at it, and drop it with `DROP DATABASE`."))
}

impl Swap<'_> {
    fn run(&self) -> Result<Vec<String>> {
        let server = self.calm;
        self.work.end_sessions()?;
        let prepare: String = self.pairs.iter().map(Pair::prepare).collect();
        server.run(None, prepare.as_bytes()).during("can't make room for the restored database")?;
        if let Err(error) = self.step() {
            let undone = self.undo();
            let error = error.during("the restored database couldn't take its place");
            return Err(match undone {
                Ok(()) => error,
                Err(undo) => error.hint(format!("The old database couldn't be put back either: {undo}.")),
            });
        }
        let kept: Vec<&String> = self.pairs.iter().filter_map(|pair| pair.before.as_ref()).collect();
        if server.options.drop_before {
            let drop: String =
                kept.iter().map(|name| format!("DROP DATABASE {};\n", identifier(name))).collect();
            server.run(None, drop.as_bytes())?;
            return Ok(Vec::new());
        }
        let note =
            |name: &&String| format!("What was there is kept as the database `{name}`, its events asleep.");
        Ok(kept.iter().map(note).collect())
    }

    fn step(&self) -> Result<()> {
        let server = self.calm;
        let mut script: String = self.pairs.iter().map(Pair::drop_what_stays).collect();
        let moves: Vec<String> = self.pairs.iter().flat_map(Pair::moves).collect();
        script += &rename(&moves);
        script.extend(self.pairs.iter().filter(|pair| pair.before.is_none()).map(Pair::clear));
        server.run(None, script.as_bytes())?;
        for pair in &self.pairs {
            let target = &pair.place.found;
            if let Some(before) = &pair.before {
                // What can be kept longer is dropped only once its copy is there: we may be killed at any moment.
                server.run(Some(before), &pair.old_code.script(before, true))?;
                server.run(None, pair.clear().as_bytes())?;
            }
            server.run(Some(&target.name), &pair.new_code.script(&target.name, false))?;
        }
        Ok(())
    }

    /// Puts the old databases back, from wherever the swap had come to.
    fn undo(&self) -> Result<()> {
        let server = self.calm;
        let (mut drops, mut moves, mut after) = (String::new(), Vec::new(), String::new());
        for pair in &self.pairs {
            pair.put_back(server, &mut drops, &mut moves, &mut after)?;
        }
        server.run(None, (drops + &rename(&moves) + &after).as_bytes())?;
        let mut rest = Vec::new();
        for pair in &self.pairs {
            let target = &pair.place.found;
            server.run(Some(&target.name), &pair.old_code.script(&target.name, false))?;
            if let Some(before) = &pair.before {
                // Never one that still holds a table.
                let kept = Database::look(server, before)?;
                rest.extend((kept.exists() && kept.movable().next().is_none()).then_some(kept.name));
            }
            rest.extend((!target.exists()).then(|| target.name.clone()));
        }
        let drops: String =
            rest.iter().map(|name| format!("DROP DATABASE {};\n", identifier(name))).collect();
        server.run(None, drops.as_bytes())
    }
}

impl Pair<'_> {
    /// Makes the databases that are missing.
    fn prepare(&self) -> String {
        let target = &self.place.found;
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

    /// Drops what can't be moved and is in the way: triggers, and views, which hold names that tables may need.
    fn drop_what_stays(&self) -> String {
        let target = &self.place.found;
        drop_triggers(&self.new.name, &self.new.triggers)
            + &drop_triggers(&target.name, &target.triggers)
            + &drop_views(target)
    }

    /// Drops the old code, and gives the database its new defaults.
    fn clear(&self) -> String {
        let target = &self.place.found;
        let mut script = drop_code(target);
        let defaults = self.place.defaults();
        if !defaults.is_empty() {
            script += &format!("ALTER DATABASE {}{defaults};\n", identifier(&target.name));
        }
        script
    }

    fn moves(&self) -> Vec<String> {
        let target = &self.place.found;
        let mut moves = Vec::new();
        if let Some(before) = &self.before {
            moves.extend(target.movable().map(|table| pair(&target.name, before, table)));
        }
        moves.extend(self.new.movable().map(|table| pair(&self.new.name, &target.name, table)));
        moves
    }

    /// What puts this database back: what is dropped first, the tables that are moved, and what is said after that.
    fn put_back(
        &self,
        server: &Server<'_>,
        drops: &mut String,
        moves: &mut Vec<String>,
        after: &mut String,
    ) -> Result<()> {
        let target = &self.place.found;
        let now = Database::look(server, &target.name)?;
        *drops += &(drop_triggers(&now.name, &now.triggers) + &drop_code(&now));
        let kept = self.before.as_ref().map(|before| Database::look(server, before)).transpose()?;
        let moved_in = Database::look(server, &self.new.name)?.movable().count() < self.new.movable().count();
        let moved_out = kept.as_ref().is_some_and(|kept| kept.movable().next().is_some());
        if moved_in || moved_out {
            moves.extend(now.movable().map(|table| pair(&target.name, &self.new.name, table)));
            if let Some(kept) = &kept {
                *drops += &drop_triggers(&kept.name, &kept.triggers);
                moves.extend(kept.movable().map(|table| pair(&kept.name, &target.name, table)));
            }
        }
        if let Some((charset, collation)) = &target.charset {
            let name = identifier(&target.name);
            *after += &format!("ALTER DATABASE {name} CHARACTER SET {charset} COLLATE {collation};\n");
        }
        Ok(())
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
