//! A restore: reads the archive once and builds each collection as it comes.
//!
//! An empty database gets the collections under their names. Mode `replace` loads into collections beside the old ones
//! and renames them over these once the whole archive was read and was right; where a server can't rename, or forgets a
//! collection's options over it, the archive is read once more. Mode `merge` writes into what is there.
//! Whatever fails before the renaming is undone; a merge can't be.

use bson::{Bson, Document, doc};
use windlass_plugin_api::{
    Error, ErrorKind, Inputs, Progress, RestoreMode, RestoreOptions, Restored, Result,
};

use crate::archive::{Archive, Event};
use crate::catalog::{self, Found, STAGING};
use crate::connect::Server;
use crate::load::Batch;
use crate::place::{Place, Places};
use crate::target::{databases_of, goes, open, present};

/// Restores the archive among the streams.
pub(crate) async fn restore(server: &Server, input: &dyn Inputs, how: &RestoreOptions) -> Result<Restored> {
    let mut archive = open(input)?;
    let places = Places::of(&archive.entries, how, server.database.as_deref())?;
    let databases = databases_of(server, &places);
    let mut there = Vec::new();
    for db in &databases {
        there.extend(present(server, db).await?);
    }
    let restored = Restored {
        place: format!("{} on {}", databases.join(", "), server.place),
        left_out: places.left_out,
        ..Restored::default()
    };
    let beside = how.mode == RestoreMode::Replace;
    let mut work = Work { server, how, databases, places: places.places, there, made: Vec::new(), beside };
    work.judge()?;
    let result = match work.load(&mut archive, &work.places.clone()).await {
        Ok(()) => work.put_in_place(input).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => Ok(restored),
        Err(error) => {
            work.undo().await;
            Err(error)
        }
    }
}

/// A restore on its way.
struct Work<'a> {
    server: &'a Server,
    how: &'a RestoreOptions,
    /// The databases that are written to.
    databases: Vec<String>,
    places: Vec<Place>,
    /// What was there before.
    there: Vec<Found>,
    /// What was made and must go if the restore fails: database and name.
    made: Vec<(String, String)>,
    /// Load into collections of other names, to be renamed.
    beside: bool,
}

impl Work<'_> {
    /// Refuses what must not be done, before anything is written.
    fn judge(&self) -> Result<()> {
        for place in &self.places {
            let Some(old) = self.old(place) else { continue };
            if self.how.mode == RestoreMode::Merge && (old.kind == "view") != place.is_view {
                let message =
                    format!("`{}` is a {}, and something else in the snapshot", old.namespace(), old.kind);
                return Err(Error::new(ErrorKind::Refused, message));
            }
            if old.kind == "timeseries" {
                let message =
                    format!("`{}` is a time series collection, which isn't replaced", old.namespace());
                return Err(Error::new(ErrorKind::Refused, message));
            }
        }
        if self.how.mode != RestoreMode::Fail {
            return Ok(());
        }
        let in_the_way = match self.how.only.is_empty() {
            true => self.there.first(),
            false => self.places.iter().find_map(|place| self.old(place)),
        };
        match in_the_way {
            None => Ok(()),
            Some(found) => Err(Error::new(
                ErrorKind::Refused,
                format!("`{}` is there already", found.namespace()),
            )
            .hint(
                "Choose `--mode replace` or `--mode merge`, or another database by `--set database=NAME`.",
            )),
        }
    }

    /// What is where this one goes.
    fn old(&self, place: &Place) -> Option<&Found> {
        self.there.iter().find(|one| one.db == place.db && one.name == place.name)
    }

    /// The name under which a collection is loaded.
    fn loading_name(&self, place: &Place) -> String {
        match self.beside {
            true => format!("{STAGING}{}-{}", self.how.snapshot, place.entry),
            false => place.name.clone(),
        }
    }

    /// Reads the archive to its end and loads `places`.
    async fn load(&mut self, archive: &mut Archive, places: &[Place]) -> Result<()> {
        for place in places.iter().filter(|place| !place.is_view) {
            self.create(place).await?;
        }
        let (mut current, mut ended) = (None, 0);
        while let Some(event) = archive.next()? {
            let (Event::Document(entry) | Event::End(entry)) = event;
            let Some(place) = places.iter().find(|place| place.entry == entry && !place.is_view) else {
                continue;
            };
            // Collections may alternate: one batch at a time bounds the memory.
            if current.as_ref().is_some_and(|(open, _)| *open != entry) {
                send(self.server, &mut current).await?;
            }
            if event == Event::End(entry) {
                send(self.server, &mut current).await?;
                self.index(place).await?;
                ended += 1;
                self.tell(place, ended);
                continue;
            }
            let merge = self.how.mode == RestoreMode::Merge;
            let new = || (entry, Batch::new(&place.db, &self.loading_name(place), merge));
            current.get_or_insert_with(new).1.add(self.server, archive.document()).await?;
            self.server.cx.go_on()?;
        }
        Ok(())
    }

    fn tell(&self, place: &Place, done: u64) {
        let (message, unit) = (format!("restored {}.{}", place.db, place.name), "collections".to_owned());
        let total = Some(self.places.iter().filter(|place| !place.is_view).count() as u64);
        self.server.cx.progress(&Progress { message, done, total, unit, ..Progress::default() });
    }

    async fn create(&mut self, place: &Place) -> Result<()> {
        if self.how.mode == RestoreMode::Merge && self.old(place).is_some() {
            return Ok(());
        }
        let name = self.loading_name(place);
        let mut command = doc! { "create": &name };
        command.extend(place.options.clone());
        if self.how.mode == RestoreMode::Replace {
            // What a killed run of the same restore left; or what a rename has spoilt.
            self.drop(&place.db, &name).await?;
        }
        if self.beside || self.how.mode != RestoreMode::Replace {
            self.made.push((place.db.clone(), name));
        }
        let what = format!("create `{}.{}`", place.db, place.name);
        self.server.command(&what, &place.db, command).await.map(drop)
    }

    /// Builds the indexes, once the documents are there.
    async fn index(&self, place: &Place) -> Result<()> {
        if place.indexes.is_empty() {
            return Ok(());
        }
        let what = format!("index `{}.{}`", place.db, place.name);
        let indexes: Vec<_> = place.indexes.iter().cloned().map(Bson::from).collect();
        let command = doc! { "createIndexes": self.loading_name(place), "indexes": indexes };
        let db = self.server.client.database(&place.db);
        self.server.ask_patiently(&what, db.run_command(command)).await.map(drop)
    }

    /// Once all was loaded: the new take the place of the old, views are made, what the snapshot doesn't hold goes.
    async fn put_in_place(&mut self, input: &dyn Inputs) -> Result<()> {
        self.server.cx.go_on()?;
        if self.beside {
            self.swap_all(input).await?;
        }
        for place in self.places.clone().iter().filter(|place| place.is_view) {
            self.make_view(place).await?;
        }
        let held = |one: &Found| self.places.iter().any(|place| place.db == one.db && place.name == one.name);
        for one in self.there.iter().filter(|one| goes(one, self.how) && !held(one)) {
            self.drop(&one.db, &one.name).await?;
        }
        self.made.clear();
        Ok(())
    }

    /// Renames all that was loaded; what that doesn't work for is loaded again in its place.
    async fn swap_all(&mut self, input: &dyn Inputs) -> Result<()> {
        let collections: Vec<_> = self.places.iter().filter(|place| !place.is_view).cloned().collect();
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for db in &self.databases {
            before.extend(catalog::collections(self.server, db).await?);
        }
        let mut again = Vec::new();
        for place in &collections {
            if !self.swap(place).await? {
                again.push(place.clone());
            }
        }
        for db in &self.databases {
            after.extend(catalog::collections(self.server, db).await?);
        }
        let options = |all: &[Found], place: &Place, name: &str| {
            all.iter().find(|one| one.db == place.db && one.name == name).map(|one| one.options.clone())
        };
        for place in &collections {
            let kept =
                options(&before, place, &self.loading_name(place)) == options(&after, place, &place.name);
            if !kept && !again.iter().any(|one| one.entry == place.entry) {
                again.push(place.clone());
            }
        }
        if !again.is_empty() {
            tracing::debug!(
                "the server can't rename {} collections as they are: the archive is read again",
                again.len()
            );
            self.beside = false;
            self.load(&mut open(input)?, &again).await?;
        }
        Ok(())
    }

    /// Renames one; false if the server doesn't do that.
    async fn swap(&mut self, place: &Place) -> Result<bool> {
        if self.old(place).is_some_and(|old| old.kind == "view") {
            self.drop(&place.db, &place.name).await?;
        }
        let (from, to) = (self.loading_name(place), format!("{}.{}", place.db, place.name));
        let command = doc! {
            "renameCollection": format!("{}.{from}", place.db),
            "to": &to,
            "dropTarget": true,
        };
        match self.server.command(&format!("put `{to}` in place"), "admin", command).await {
            Ok(_) => {}
            Err(error) if error.kind == ErrorKind::Unsupported => {
                self.drop(&place.db, &from).await?;
                return Ok(false);
            }
            Err(error) => {
                return Err(error.hint("Some collections may be new and some old: run the restore again."));
            }
        }
        self.made.retain(|(db, name)| (db, name) != (&place.db, &from));
        Ok(true)
    }

    async fn make_view(&mut self, place: &Place) -> Result<()> {
        if self.old(place).is_some() {
            self.drop(&place.db, &place.name).await?;
        } else {
            self.made.push((place.db.clone(), place.name.clone()));
        }
        let mut command: Document = doc! { "create": &place.name };
        command.extend(place.options.clone());
        let what = format!("create the view `{}.{}`", place.db, place.name);
        self.server.command(&what, &place.db, command).await.map(drop)
    }

    async fn drop(&self, db: &str, name: &str) -> Result<()> {
        match self.server.command(&format!("drop `{db}.{name}`"), db, doc! { "drop": name }).await {
            // Older servers take it for an error if it isn't there.
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what was made. What can't be removed is told in the log.
    async fn undo(&mut self) {
        for (db, name) in std::mem::take(&mut self.made) {
            if self
                .server
                .tidy(self.server.client.database(&db).run_command(doc! { "drop": &name }))
                .await
                .is_none()
            {
                tracing::warn!("`{db}.{name}` is left of the restore that failed: drop it by hand");
            }
        }
    }
}

async fn send(server: &Server, current: &mut Option<(usize, Batch)>) -> Result<()> {
    match current.take() {
        Some((_, mut batch)) => batch.send(server).await,
        None => Ok(()),
    }
}
