//! The last part of a restore: the new collections take the places of the old ones, which stay until all is well.
//!
//! All moves but the last are renames inside of a database, which take the server no time, whatever the size. A failure in
//! between takes them back. Only then the old collections go: to a database of their own, which the server does by copying,
//! or for good with `drop_before`.

use bson::{Document, doc};
use windlass_plugin_api::{Error, ErrorKind, Inputs, Result};

use super::Work;
use crate::catalog::{self, BEFORE, Found};
use crate::place::Place;
use crate::sessions;
use crate::target::{before_name, goes, may_keep, open};

/// What was moved out of the way.
#[derive(Clone, Debug)]
pub(super) struct Moved {
    db: String,
    name: String,
    /// A collection's name meanwhile; a view is made again from its options.
    aside: Option<String>,
    options: Document,
}

impl Work<'_> {
    /// Once all was loaded: the new take the place of the old, views are made, what the snapshot doesn't hold goes.
    pub(super) async fn put_in_place(&mut self, input: &dyn Inputs) -> Result<()> {
        self.server.cx.go_on()?;
        if self.beside {
            if self.options.force {
                sessions::end(self.server, &self.databases).await?;
            }
            self.move_aside().await?;
            self.swap_all(input).await?;
        }
        for place in self.places.clone().iter().filter(|place| place.is_view) {
            self.make_view(place).await?;
        }
        let database = self.server.database.as_deref();
        if !self.users.restore(self.server, database, &self.how.snapshot).await? {
            self.left_out.push("users and roles: the server doesn't take them".to_owned());
        }
        Ok(())
    }

    /// Moves what is replaced or dropped out of the way.
    async fn move_aside(&mut self) -> Result<()> {
        let held = |one: &Found| self.places.iter().any(|place| place.db == one.db && place.name == one.name);
        let (how, there) = (self.how, self.there.clone());
        let old: Vec<_> = there.into_iter().filter(|one| held(one) || goes(one, how)).collect();
        for one in old {
            let mut moved = Moved {
                db: one.db.clone(),
                name: one.name.clone(),
                aside: None,
                options: one.options.clone(),
            };
            if one.kind == "view" {
                self.drop(&one.db, &one.name).await?;
            } else {
                let aside = self.aside(&one);
                self.rename(&one.db, &one.name, &one.db, &aside).await?;
                moved.aside = Some(aside);
            }
            self.moved.push(moved);
        }
        Ok(())
    }

    /// The name of an old collection until the new one is in its place.
    fn aside(&self, one: &Found) -> String {
        let start = format!("{BEFORE}{}", self.how.snapshot);
        // The longest that servers take, database included.
        let long = one.db.len() + start.len() + one.name.len() > 240;
        let name = if long { self.moved.len().to_string() } else { one.name.clone() };
        let mut names = (1..).map(|count| match count {
            1 => format!("{start}-{name}"),
            _ => format!("{start}-{count}-{name}"),
        });
        names.find(|name| !self.taken.contains(name)).unwrap_or_default()
    }

    /// Renames all that was loaded; what that doesn't work for is loaded again in its place.
    async fn swap_all(&mut self, input: &dyn Inputs) -> Result<()> {
        let collections: Vec<_> =
            self.places.iter().filter(|place| !place.is_view && !place.is_series).cloned().collect();
        let before = self.options_now().await?;
        for place in &collections {
            let from = self.loading_name(place);
            self.rename(&place.db, &from, &place.db, &place.name).await?;
            self.made.retain(|(db, name)| (db, name) != (&place.db, &from));
            self.made.push((place.db.clone(), place.name.clone()));
        }
        let after = self.options_now().await?;
        let options = |all: &[Found], place: &Place, name: &str| {
            all.iter().find(|one| one.db == place.db && one.name == name).map(|one| one.options.clone())
        };
        let spoilt = |place: &&Place| {
            options(&before, place, &self.loading_name(place)) != options(&after, place, &place.name)
        };
        let again: Vec<_> = collections.iter().filter(spoilt).map(|place| place.entry).collect();
        if !again.is_empty() {
            let count = again.len();
            tracing::debug!(
                "the server forgot the options of {count} collections: the archive is read again"
            );
            self.beside = false;
            self.again = Some(again);
            self.load(&mut open(input)?).await?;
        }
        Ok(())
    }

    async fn options_now(&self) -> Result<Vec<Found>> {
        let mut all = Vec::new();
        for db in &self.databases {
            all.extend(catalog::collections(self.server, db).await?);
        }
        Ok(all)
    }

    async fn rename(&self, db: &str, from: &str, to_db: &str, to: &str) -> Result<()> {
        let command = doc! { "renameCollection": format!("{db}.{from}"), "to": format!("{to_db}.{to}") };
        let admin = self.server.client.database("admin");
        let renaming = admin.run_command(command);
        self.server
            .ask_patiently(&format!("rename `{db}.{from}` to `{to_db}.{to}`"), renaming)
            .await
            .map(drop)
    }

    async fn make_view(&mut self, place: &Place) -> Result<()> {
        // In mode `merge` it may be there.
        if !self.moved.iter().any(|one| one.db == place.db && one.name == place.name)
            && self.old(place).is_some()
        {
            self.drop(&place.db, &place.name).await?;
        } else {
            self.made.push((place.db.clone(), place.name.clone()));
        }
        self.view(&place.db, &place.name, &place.options).await
    }

    async fn view(&self, db: &str, name: &str, options: &Document) -> Result<()> {
        let mut command: Document = doc! { "create": name };
        command.extend(options.clone());
        self.server.command(&format!("create the view `{db}.{name}`"), db, command).await.map(drop)
    }

    /// All is well: what was moved away is kept in a database of its own, or goes.
    pub(super) async fn settle(&mut self) {
        for db in self.databases.clone() {
            let moved: Vec<_> = self.moved.iter().filter(|one| one.db == db).cloned().collect();
            if moved.is_empty() {
                continue;
            }
            let result = match self.options.drop_before {
                true => self.discard(&moved).await,
                false => self.keep(&db, &moved).await,
            };
            if let Err(error) = result {
                self.notes.push(format!(
                    "what was in `{db}` is left there as `{BEFORE}{}-…`: {error}",
                    self.how.snapshot
                ));
            }
        }
    }

    async fn discard(&self, moved: &[Moved]) -> Result<()> {
        for one in moved {
            if let Some(aside) = &one.aside {
                self.drop(&one.db, aside).await?;
            }
        }
        Ok(())
    }

    async fn keep(&mut self, db: &str, moved: &[Moved]) -> Result<()> {
        let to =
            before_name(db, &self.how.snapshot, &catalog::databases(self.server).await.unwrap_or_default());
        if !may_keep(self.server, &to).await {
            return Err(Error::new(ErrorKind::Denied, format!("the user may not move it to `{to}`")));
        }
        for one in moved {
            match &one.aside {
                Some(aside) => self.rename(db, aside, &to, &one.name).await?,
                None => self.view(&to, &one.name, &one.options).await?,
            }
        }
        self.notes
            .push(format!("what was in `{db}` is kept in the database `{to}`: drop it when it isn't needed"));
        Ok(())
    }

    /// Takes back what was done; the error says what couldn't be.
    pub(super) async fn undo(&mut self, mut error: Error) -> Error {
        let client = &self.server.client;
        let mut left = Vec::new();
        for (db, name) in std::mem::take(&mut self.made).into_iter().rev() {
            if self.server.tidy(client.database(&db).run_command(doc! { "drop": &name })).await.is_none() {
                left.push(format!("`{db}.{name}` is left of the restore"));
            }
        }
        for one in std::mem::take(&mut self.moved).into_iter().rev() {
            let (db, command) = match &one.aside {
                Some(aside) => {
                    let from = format!("{}.{aside}", one.db);
                    ("admin", doc! { "renameCollection": from, "to": format!("{}.{}", one.db, one.name) })
                }
                None => {
                    let mut command = doc! { "create": &one.name };
                    command.extend(one.options.clone());
                    (one.db.as_str(), command)
                }
            };
            if self.server.tidy(client.database(db).run_command(command)).await.is_none() {
                let kept =
                    one.aside.map_or("gone, it was a view".to_owned(), |aside| format!("called `{aside}`"));
                left.push(format!("`{}.{}` is {kept}", one.db, one.name));
            }
        }
        if !left.is_empty() {
            error.causes.push(format!("it couldn't all be taken back: {}", left.join(", ")));
        }
        error
    }
}
