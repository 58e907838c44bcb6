//! Applies the oplog that stands at the end of an archive, entry by entry, as `mongorestore --oplogReplay` does.
//!
//! Only to the collections that are restored, under the names that they are loaded by. Statements go by the driver: the
//! server's own `applyOps` asks for rights that nobody should have. Entries can be applied to what is newer than they are,
//! so that it doesn't matter when each collection was read.

use bson::raw::{RawBsonRef, cstr};
use bson::{Bson, Document, RawDocument, RawDocumentBuf, doc};
use windlass_plugin_api::{Error, ErrorKind, RestoreMode, Result};

use super::Work;
use crate::archive::BUCKETS;
use crate::load::{Batch, Kind, by_id, upsert};
use crate::oplog::{self, Op, Update, damaged, delta};
use crate::place::{Place, comes_by_itself};

/// How many differences are put to documents at once.
const DELTAS: usize = 200;

/// What of a collection's options can change while it is used.
const CHANGING: [&str; 7] = [
    "validator",
    "validationLevel",
    "validationAction",
    "expireAfterSeconds",
    "changeStreamPreAndPostImages",
    "cappedSize",
    "cappedMax",
];

/// Commands on a collection that mean nothing without it.
const OF_COLLECTIONS: [&str; 8] = [
    "drop",
    "createIndexes",
    "commitIndexBuild",
    "dropIndexes",
    "deleteIndexes",
    "dropIndex",
    "deleteIndex",
    "collMod",
];

/// What waits to be sent, in the order of the oplog: statements, or differences, of one collection.
#[derive(Default)]
pub(super) struct Waiting {
    batch: Option<(usize, Batch)>,
    deltas: Option<(usize, Vec<(RawDocumentBuf, RawDocumentBuf)>)>,
}

impl Work<'_> {
    /// Takes an entry; sends what waits at the oplog's end.
    pub(super) async fn replay(&mut self, end: bool, bytes: &[u8]) -> Result<()> {
        if end {
            return self.send_all().await;
        }
        self.server.cx.go_on()?;
        let op = Op::read(oplog::document(bytes)?)?;
        let Some(key) = op.transaction().filter(|_| op.kind == "c") else { return self.apply(op).await };
        match op.command()?.0 {
            "commitTransaction" => self.commit(&key).await,
            "abortTransaction" => {
                self.open.remove(&key);
                Ok(())
            }
            "applyOps" => {
                let held = self.open.entry(key.clone()).or_default();
                for one in op.inner()? {
                    let one = one.map_err(|error| damaged().because(&error))?;
                    held.push(one.as_document().ok_or_else(damaged)?.as_bytes().to_vec());
                }
                if op.goes_on() { Ok(()) } else { self.commit(&key).await }
            }
            _ => self.apply(op).await,
        }
    }

    async fn commit(&mut self, key: &[u8]) -> Result<()> {
        for bytes in self.open.remove(key).unwrap_or_default() {
            self.apply(Op::read(oplog::document(&bytes)?)?).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, op: Op<'_>) -> Result<()> {
        if op.kind == "c" {
            return Box::pin(self.command(op)).await;
        }
        let Some(at) = self.place_of(op.names()) else {
            self.miss(op.names());
            return Ok(());
        };
        match op.kind {
            "i" if op.o.get("_id").ok().flatten().is_none() => {
                self.statement(at, Kind::Insert, op.o.as_bytes()).await
            }
            "i" => self.statement(at, Kind::Update, &upsert(op.o.as_bytes())?).await,
            "d" => {
                let mut statement = RawDocumentBuf::new();
                statement.append(cstr!("q"), by_id(op.id()?));
                statement.append(cstr!("limit"), 1);
                self.statement(at, Kind::Delete, statement.as_bytes()).await
            }
            "u" => self.update(at, op).await,
            _ => Ok(()),
        }
    }

    async fn update(&mut self, at: usize, op: Op<'_>) -> Result<()> {
        let id = op.id()?;
        match op.update()? {
            Update::Whole(document) => self.statement(at, Kind::Update, &change(id, document)).await,
            Update::Operators(operators) => {
                let mut kept = RawDocumentBuf::new();
                for item in operators {
                    let (key, value) = item.map_err(|error| damaged().because(&error))?;
                    if key.as_str() != "$v" {
                        kept.append(key, value);
                    }
                }
                self.statement(at, Kind::Update, &change(id, &kept)).await
            }
            Update::Delta(diff) => {
                let full = self
                    .waiting
                    .deltas
                    .as_ref()
                    .is_some_and(|(open, all)| *open != at || all.len() == DELTAS);
                if full || self.waiting.batch.is_some() {
                    self.send_all().await?;
                }
                let mut of = RawDocumentBuf::new();
                of.append(cstr!("_id"), id);
                self.waiting.deltas.get_or_insert_with(|| (at, Vec::new())).1.push((of, diff.to_owned()));
                Ok(())
            }
        }
    }

    async fn statement(&mut self, at: usize, kind: Kind, statement: &[u8]) -> Result<()> {
        let other =
            self.waiting.batch.as_ref().is_some_and(|(open, batch)| *open != at || batch.kind() != kind);
        if other || self.waiting.deltas.is_some() {
            self.send_all().await?;
        }
        let place = &self.places[at];
        let name = self.loading_name(place);
        let mut waiting =
            self.waiting.batch.take().unwrap_or_else(|| (at, Batch::new(&place.db, &name, kind)));
        waiting.1.add(self.server, statement).await?;
        self.waiting.batch = Some(waiting);
        Ok(())
    }

    async fn send_all(&mut self) -> Result<()> {
        if let Some((_, mut batch)) = self.waiting.batch.take() {
            batch.send(self.server).await?;
        }
        match self.waiting.deltas.take() {
            Some((at, deltas)) => self.put_to(&self.places[at], deltas).await,
            None => Ok(()),
        }
    }

    /// Puts differences to their documents. One that isn't there any more was deleted by an entry that follows.
    async fn put_to(&self, place: &Place, deltas: Vec<(RawDocumentBuf, RawDocumentBuf)>) -> Result<()> {
        let name = self.loading_name(place);
        let what = format!("update `{}.{name}`", place.db);
        let ids: bson::raw::RawArrayBuf =
            deltas.iter().filter_map(|(of, _)| of.get("_id").ok().flatten()).collect();
        let (mut within, mut query) = (RawDocumentBuf::new(), RawDocumentBuf::new());
        within.append(cstr!("$in"), ids);
        query.append(cstr!("_id"), within);
        let query = Document::try_from(query).map_err(|error| damaged().because(&error))?;
        let collection = self.server.client.database(&place.db).collection::<RawDocumentBuf>(&name);
        let mut cursor = self.server.ask(&what, collection.find(query)).await?;
        let mut batch = Batch::new(&place.db, &name, Kind::Update);
        while self.server.ask(&what, cursor.advance()).await? {
            let mut document = cursor.current().to_owned();
            let mut of = RawDocumentBuf::new();
            let id = cursor
                .current()
                .get("_id")
                .map_err(|error| damaged().because(&error))?
                .ok_or_else(damaged)?;
            of.append(cstr!("_id"), id);
            for (_, diff) in deltas.iter().filter(|(one, _)| *one == of) {
                document = delta::applied(&document, diff)?;
            }
            batch.add(self.server, &change(id, &document)).await?;
        }
        batch.send(self.server).await
    }

    /// The collection that this one of the snapshot goes to, if it is restored now.
    fn place_of(&self, (db, collection): (&str, &str)) -> Option<usize> {
        let is = |place: &Place| place.from == db && place.collection == collection && !place.is_series;
        self.places.iter().position(|place| is(place) && self.takes(place))
    }

    /// Tells, once, of an entry of a time series: buckets change in forms of their own.
    fn miss(&mut self, (db, collection): (&str, &str)) {
        let Some(name) = collection.strip_prefix(BUCKETS) else { return };
        let is = |place: &Place| place.from == db && place.collection == name && place.is_series;
        let told = format!("`{db}.{name}`: what was written to this time series during its backup");
        if self.places.iter().any(is) && !self.left_out.contains(&told) {
            self.left_out.push(told);
        }
    }

    async fn command(&mut self, op: Op<'_>) -> Result<()> {
        let (name, about) = op.command()?;
        let (db, _) = op.names();
        if name == "applyOps" {
            for one in op.inner()? {
                let one = one.map_err(|error| damaged().because(&error))?;
                self.apply(Op::read(one.as_document().ok_or_else(damaged)?)?).await?;
            }
            return Ok(());
        }
        let at = about.and_then(|collection| self.place_of((db, collection)));
        let o = Document::try_from(op.o).map_err(|error| damaged().because(&error))?;
        match (name, about, at) {
            // Of a database that isn't restored.
            _ if self.places.iter().all(|place| place.from != db) => Ok(()),
            ("create", Some(collection), None) => self.new_collection(db, collection, o).await,
            ("create" | "startIndexBuild" | "abortIndexBuild" | "dbCheck" | "setMultikeyMetadata", ..) => {
                Ok(())
            }
            ("drop", _, Some(at)) => self.drop_again(at).await,
            ("createIndexes" | "commitIndexBuild", _, Some(at)) => {
                self.add_indexes(at, o);
                Ok(())
            }
            ("dropIndexes" | "deleteIndexes" | "dropIndex" | "deleteIndex", _, Some(at)) => {
                self.drop_indexes(at, o.get_str("index").unwrap_or_default());
                Ok(())
            }
            ("collMod", _, Some(at)) => self.modify(at, o).await,
            // Of a collection that isn't restored, or is gone again.
            (name, Some(_), None) if OF_COLLECTIONS.contains(&name) || self.chosen(name) => Ok(()),
            _ => Err(Error::new(
                ErrorKind::Unsupported,
                format!("the oplog holds `{name}` on `{db}`, which can't be applied"),
            )),
        }
    }

    /// Whether a command on a collection that isn't among the chosen ones needn't be known.
    fn chosen(&self, name: &str) -> bool {
        !self.how.only.is_empty() && name != "renameCollection"
    }

    fn drop_indexes(&mut self, at: usize, gone: &str) {
        let indexes = &mut self.places[at].indexes;
        indexes.retain(|index| gone != "*" && index.get_str("name").ok() != Some(gone));
    }

    /// A collection that came to be while the backup ran.
    async fn new_collection(&mut self, db: &str, collection: &str, mut options: Document) -> Result<()> {
        let target = self.places.iter().find(|place| place.from == db).map(|place| place.db.clone());
        let (Some(target), true, true) = (target, self.how.only.is_empty(), self.again.is_none()) else {
            return Ok(());
        };
        ["create", "idIndex", "autoIndexId", "temp"].iter().for_each(|key| drop(options.remove(key)));
        let entry = 1_000_000 + self.places.len();
        let place = Place::new(entry, db, &target, collection, options)?;
        self.send_all().await?;
        if self.how.mode == RestoreMode::Fail && self.old(&place).is_some() {
            return Err(Error::new(ErrorKind::Refused, format!("`{target}.{collection}` is there already")));
        }
        self.create(&place).await?;
        self.places.push(place);
        Ok(())
    }

    async fn drop_again(&mut self, at: usize) -> Result<()> {
        self.send_all().await?;
        let place = self.places.remove(at);
        let name = self.loading_name(&place);
        self.drop(&place.db, &name).await
    }

    fn add_indexes(&mut self, at: usize, mut o: Document) {
        let several = o.get_array("indexes").ok().cloned();
        let new = several.unwrap_or_else(|| {
            // The first key is the command's, the others are the index.
            ["createIndexes", "ns"].iter().for_each(|key| drop(o.remove(key)));
            vec![Bson::from(o)]
        });
        let indexes = &mut self.places[at].indexes;
        for mut index in new.into_iter().filter_map(|one| one.as_document().cloned()) {
            index.remove("ns");
            let same = indexes.iter().any(|one| one.get("name") == index.get("name"));
            if !same && !comes_by_itself(&index) {
                indexes.push(index);
            }
        }
    }

    /// Options that changed: those of an index before it is built, the others at once.
    async fn modify(&mut self, at: usize, o: Document) -> Result<()> {
        if let Ok(change) = o.get_document("index") {
            let is = |index: &Document| {
                index.get("name") == change.get("name") && change.contains_key("name")
                    || index.get_document("key").ok() == change.get_document("keyPattern").ok()
                        && change.contains_key("keyPattern")
            };
            for index in self.places[at].indexes.iter_mut().filter(|index| is(index)) {
                for key in ["expireAfterSeconds", "hidden", "unique"] {
                    if let Some(value) = change.get(key) {
                        index.insert(key, value.clone());
                    }
                }
            }
        }
        let place = self.places[at].clone();
        let merged = self.how.mode == RestoreMode::Merge && self.old(&place).is_some();
        let mut command = doc! { "collMod": self.loading_name(&place) };
        command.extend(o.into_iter().filter(|(key, _)| CHANGING.contains(&key.as_str())));
        if command.len() == 1 || merged {
            return Ok(());
        }
        self.send_all().await?;
        self.server
            .command(&format!("change the options of `{}.{}`", place.db, place.name), &place.db, command)
            .await
            .map(drop)
    }
}

/// The statement that changes the document of this `_id`, if it is there.
fn change(id: RawBsonRef<'_>, to: &RawDocument) -> Vec<u8> {
    let mut statement = RawDocumentBuf::new();
    statement.append(cstr!("q"), by_id(id));
    statement.append(cstr!("u"), to.to_owned());
    statement.into_bytes()
}
