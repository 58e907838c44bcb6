//! A restore: reads the archive once and builds each collection as it comes.
//!
//! An empty database gets the collections under their names. Mode `replace` loads into collections beside the old ones,
//! which `swap` puts into their place once the whole archive was read and was right. Mode `merge` writes into what is there.
//! What the archive's oplog holds is applied behind the collections, by `replay`, and indexes are built after that.
//! Whatever fails is undone; a merge can't be.

use std::collections::HashMap;

use bson::{Bson, doc};
use windlass_plugin_api::{
    Error, ErrorKind, Inputs, Progress, RestoreMode, RestoreOptions, Restored, Result,
};

use crate::archive::{Archive, BUCKETS, Event};
use crate::catalog::{self, BEFORE, Found, STAGING};
use crate::connect::Server;
use crate::load::{Batch, Kind};
use crate::options::Options;
use crate::place::{Place, Places};
use crate::target::{databases_of, open, present};
use crate::users;

mod replay;
mod swap;

/// Restores the archive among the streams.
pub(crate) async fn restore(
    server: &Server,
    options: &Options,
    input: &dyn Inputs,
    how: &RestoreOptions,
) -> Result<Restored> {
    let mut archive = open(input)?;
    let places = Places::of(&archive.entries, how, server.database.as_deref(), options.users)?;
    let databases = databases_of(server, &places);
    let mut there = Vec::new();
    for db in &databases {
        there.extend(present(server, db).await?);
    }
    let mut work = Work::new(server, options, how, databases, places);
    work.there = there;
    work.judge()?;
    work.sweep().await?;
    work.sweep_users().await?;
    let result = match work.load(&mut archive).await {
        Ok(()) => work.put_in_place(input).await,
        Err(error) => Err(error),
    };
    if let Err(error) = result {
        return Err(work.undo(error).await);
    }
    work.settle().await;
    Ok(Restored {
        place: format!("{} on {}", work.databases.join(", "), server.place),
        notes: work.notes,
        left_out: work.left_out,
        ..Restored::default()
    })
}

/// A restore on its way.
struct Work<'a> {
    server: &'a Server,
    options: &'a Options,
    how: &'a RestoreOptions,
    /// The databases that are written to.
    databases: Vec<String>,
    places: Vec<Place>,
    /// The number of the archive's oplog.
    oplog: Option<usize>,
    /// What of the archive are users and roles.
    user_entries: Vec<(usize, users::Part)>,
    users: users::Found,
    /// What was there before.
    there: Vec<Found>,
    /// What was made and must go if the restore fails: database and name.
    made: Vec<(String, String)>,
    /// Names that collections which are moved out of the way can't get.
    taken: Vec<String>,
    /// What of before was moved out of the way.
    moved: Vec<swap::Moved>,
    /// Load into collections of other names, to be renamed.
    beside: bool,
    /// The only collections that are loaded, when the archive is read once more.
    again: Option<Vec<usize>>,
    /// Transactions of the oplog that haven't ended.
    open: HashMap<Vec<u8>, Vec<Vec<u8>>>,
    waiting: replay::Waiting,
    notes: Vec<String>,
    left_out: Vec<String>,
}

impl<'a> Work<'a> {
    fn new(
        server: &'a Server,
        options: &'a Options,
        how: &'a RestoreOptions,
        databases: Vec<String>,
        places: Places,
    ) -> Self {
        Self {
            server,
            options,
            how,
            databases,
            oplog: places.oplog,
            user_entries: places.users,
            places: places.places,
            left_out: places.left_out,
            users: users::Found::default(),
            there: Vec::new(),
            made: Vec::new(),
            taken: Vec::new(),
            moved: Vec::new(),
            beside: how.mode == RestoreMode::Replace,
            again: None,
            open: HashMap::new(),
            waiting: replay::Waiting::default(),
            notes: Vec::new(),
        }
    }

    /// Refuses what must not be done, before anything is written.
    fn judge(&self) -> Result<()> {
        for place in &self.places {
            let Some(old) = self.old(place) else { continue };
            if self.how.mode == RestoreMode::Merge && (old.kind == "view") != place.is_view {
                let message =
                    format!("`{}` is a {}, and something else in the snapshot", old.namespace(), old.kind);
                return Err(Error::new(ErrorKind::Refused, message));
            }
            if place.is_series {
                let message =
                    format!("`{}` is there, and a time series can't take its place", old.namespace());
                let hint = "Drop it first, or leave it out by `--only`.";
                return Err(Error::new(ErrorKind::Refused, message).hint(hint));
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

    /// What a restore that was killed has left: what it was loading goes if all is replaced, what it had moved away stays.
    async fn sweep(&mut self) -> Result<()> {
        for db in self.databases.clone() {
            for one in catalog::collections(self.server, &db).await? {
                let name = one.namespace();
                if one.name.starts_with(BEFORE) {
                    self.taken.push(one.name.clone());
                    self.notes.push(format!("`{name}` holds what an earlier restore had moved away"));
                } else if one.name.starts_with(STAGING) && self.beside {
                    self.drop(&db, &one.name).await?;
                    self.notes.push(format!("removed `{name}`, left by a restore that was ended"));
                } else if one.name.starts_with(STAGING) {
                    self.notes.push(format!("`{name}` was left by a restore that was ended: drop it"));
                }
            }
        }
        Ok(())
    }

    /// Passwords that a killed restore has left where the server was to take them from.
    async fn sweep_users(&mut self) -> Result<()> {
        if !self.options.users {
            return Ok(());
        }
        for one in catalog::collections(self.server, "admin").await? {
            if users::is_ours(&one.name, self.server.database.as_deref()) {
                self.drop("admin", &one.name).await?;
                self.notes.push(format!("removed `admin.{}`, left by a restore that was ended", one.name));
            }
        }
        Ok(())
    }

    /// What is where this one goes.
    fn old(&self, place: &Place) -> Option<&Found> {
        self.there.iter().find(|one| one.db == place.db && one.name == place.name)
    }

    /// The name under which a collection is loaded.
    fn loading_name(&self, place: &Place) -> String {
        match self.beside && !place.is_series {
            true => format!("{STAGING}{}-{}", self.how.snapshot, place.entry),
            // No server renames a time series.
            false => place.name.clone(),
        }
    }

    /// The collection that its documents go to.
    fn data_name(&self, place: &Place) -> String {
        match place.is_series {
            true => format!("{BUCKETS}{}", place.name),
            false => self.loading_name(place),
        }
    }

    /// Whether this collection is loaded in this reading of the archive.
    fn takes(&self, place: &Place) -> bool {
        !place.is_view && self.again.as_ref().is_none_or(|again| again.contains(&place.entry))
    }

    /// Reads the archive to its end and loads it.
    async fn load(&mut self, archive: &mut Archive) -> Result<()> {
        self.users = users::Found::default();
        self.open.clear();
        let wanted: Vec<_> = self.places.iter().filter(|place| self.takes(place)).cloned().collect();
        for place in &wanted {
            self.create(place).await?;
        }
        let (mut current, mut ended) = (None, 0);
        while let Some(event) = archive.next()? {
            let (Event::Document(entry) | Event::End(entry)) = event;
            if Some(entry) == self.oplog {
                send(self.server, &mut current).await?;
                self.replay(event == Event::End(entry), archive.document()).await?;
                continue;
            }
            if let Some((_, part)) = self.user_entries.iter().find(|(one, _)| *one == entry) {
                if event == Event::Document(entry) {
                    let to = self.server.database.as_deref();
                    self.users.add(*part, archive.document(), &archive.entries[entry].db, to)?;
                }
                continue;
            }
            let found = self.places.iter().find(|place| place.entry == entry && self.takes(place));
            let Some(place) = found.cloned() else { continue };
            // Collections may alternate: one batch at a time bounds the memory.
            if current.as_ref().is_some_and(|(open, _)| *open != entry) {
                send(self.server, &mut current).await?;
            }
            if event == Event::End(entry) {
                send(self.server, &mut current).await?;
                if self.oplog.is_none() {
                    self.index(&place).await?;
                }
                ended += 1;
                self.tell(&place, ended);
                continue;
            }
            let new = || (entry, Batch::new(&place.db, &self.data_name(&place), self.kind()));
            current.get_or_insert_with(new).1.add(self.server, archive.document()).await?;
            self.server.cx.go_on()?;
        }
        self.index_at_last().await
    }

    fn kind(&self) -> Kind {
        if self.how.mode == RestoreMode::Merge { Kind::Upsert } else { Kind::Insert }
    }

    /// Behind an oplog: only then a unique index must hold.
    async fn index_at_last(&self) -> Result<()> {
        if self.oplog.is_some() {
            for place in self.places.iter().filter(|place| self.takes(place)) {
                self.index(place).await?;
            }
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
        if self.again.is_some() {
            // What a rename has spoilt.
            self.drop(&place.db, &name).await?;
        }
        self.made.push((place.db.clone(), name));
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

    async fn drop(&self, db: &str, name: &str) -> Result<()> {
        match self.server.command(&format!("drop `{db}.{name}`"), db, doc! { "drop": name }).await {
            // Older servers take it for an error if it isn't there.
            Err(error) if error.kind != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

async fn send(server: &Server, current: &mut Option<(usize, Batch)>) -> Result<()> {
    match current.take() {
        Some((_, mut batch)) => batch.send(server).await,
        None => Ok(()),
    }
}
