//! What the tests share: two servers, databases on them, and how a backup and a restore are called.
#![allow(dead_code)]

pub mod archives;
pub mod hooked;
pub mod proxy;

use std::fmt::Write as _;
use std::io::Read;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use bson::{Document, RawDocumentBuf, doc};
use mongodb::Client;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use windlass_plugin_api::{
    Contents, Plugin, RawName, RestoreMode, RestoreOptions, Restored, Result, Source, StreamInfo, Target,
};
use windlass_source_mongodb::{FORMAT, Mongodb, Options};
use windlass_test_servers::Mongo;
use windlass_testkit::streams::{MemoryInputs, MemoryOutputs};
use windlass_testkit::{SourceFixture, TestHost};

/// A server and a client of its own.
pub struct Side {
    pub server: Mongo,
    client: Client,
    runtime: Runtime,
}

impl Side {
    pub fn start() -> Self {
        Self::over(Mongo::start())
    }

    /// With a client to `server`.
    pub fn over(server: Mongo) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(Client::with_uri_str(server.url())).unwrap();
        Self { server, client, runtime }
    }

    /// Runs a command.
    pub fn run(&self, db: &str, command: Document) -> Document {
        self.runtime.block_on(async { self.client.database(db).run_command(command).await }).unwrap()
    }

    /// Runs a command that may fail.
    pub fn try_run(&self, db: &str, command: Document) -> mongodb::error::Result<Document> {
        self.runtime.block_on(async { self.client.database(db).run_command(command).await })
    }

    /// Puts `first` into the place of the document with its `_id` in one collection and inserts `second` into another, in one
    /// transaction.
    pub fn together(&self, db: &str, first: (&str, Document), second: (&str, Document)) {
        let (db, (from, first), (to, second)) = (self.client.database(db), first, second);
        self.runtime.block_on(async {
            let mut session = self.client.start_session().await.unwrap();
            session.start_transaction().await.unwrap();
            let id = doc! { "_id": first.get("_id").unwrap().clone() };
            db.collection(from).replace_one(id, first).session(&mut session).await.unwrap();
            db.collection(to).insert_one(second).session(&mut session).await.unwrap();
            session.commit_transaction().await.unwrap();
        });
    }

    /// Inserts documents, as bytes where they come out of an archive.
    pub fn insert(&self, db: &str, name: &str, documents: &[Document]) {
        let documents: Vec<_> = documents.iter().map(|one| RawDocumentBuf::try_from(one).unwrap()).collect();
        self.insert_raw(db, name, documents);
    }

    pub fn insert_raw(&self, db: &str, name: &str, documents: Vec<RawDocumentBuf>) {
        let collection = self.client.database(db).collection::<RawDocumentBuf>(name);
        self.runtime.block_on(async { collection.insert_many(documents).await }).unwrap();
    }

    /// The documents of a collection as bytes.
    pub fn documents(&self, db: &str, name: &str) -> Vec<Vec<u8>> {
        self.runtime.block_on(async {
            let collection = self.client.database(db).collection::<RawDocumentBuf>(name);
            let mut cursor = collection.find(doc! {}).await.unwrap();
            let mut found = Vec::new();
            while cursor.advance().await.unwrap() {
                found.push(cursor.current().as_bytes().to_vec());
            }
            found
        })
    }

    /// The documents of a collection.
    pub fn read(&self, db: &str, name: &str) -> Vec<Document> {
        self.documents(db, name).iter().map(|one| Document::from_reader(&one[..]).unwrap()).collect()
    }

    fn all(&self, db: &str, command: Document) -> Vec<Document> {
        self.runtime.block_on(async {
            let mut cursor = self.client.database(db).run_cursor_command(command).await.unwrap();
            let mut found = Vec::new();
            while cursor.advance().await.unwrap() {
                found.push(Document::try_from(cursor.current()).unwrap());
            }
            found
        })
    }

    /// The names of the collections and views of a database.
    pub fn names(&self, db: &str) -> Vec<String> {
        let found = self.all(db, doc! { "listCollections": 1 });
        let mut names: Vec<_> = found.iter().map(|one| one.get_str("name").unwrap().to_owned()).collect();
        names.retain(|name| !name.starts_with("system."));
        names.sort();
        names
    }

    /// All that is in a database: options, indexes and the bytes of the documents.
    pub fn fingerprint(&self, db: &str) -> String {
        let mut found = self.all(db, doc! { "listCollections": 1 });
        found.retain(|one| !one.get_str("name").unwrap().starts_with("system."));
        found.sort_by_key(|one| one.get_str("name").unwrap().to_owned());
        let mut text = String::new();
        for one in found {
            let (name, kind) = (one.get_str("name").unwrap(), one.get_str("type").unwrap());
            writeln!(text, "{name} {kind} {}", one.get_document("options").cloned().unwrap_or_default())
                .unwrap();
            if kind == "view" {
                continue;
            }
            let mut indexes = self.all(db, doc! { "listIndexes": name });
            indexes.iter_mut().for_each(|index| drop(index.remove("ns")));
            let mut indexes: Vec<_> = indexes.iter().map(ToString::to_string).collect();
            indexes.sort();
            writeln!(text, "  {indexes:?}").unwrap();
            let documents = self.documents(db, name);
            let digest = documents
                .iter()
                .flatten()
                .fold(7_u64, |sum, byte| sum.wrapping_mul(1_099_511_628_211) ^ u64::from(*byte));
            writeln!(text, "  {} documents {digest:x}", documents.len()).unwrap();
        }
        text
    }
}

/// Two servers for the tests of one process: what is meant for one can't be found on the other.
pub fn sides() -> (&'static Side, &'static Side) {
    static SIDES: OnceLock<(Side, Side)> = OnceLock::new();
    let (one, other) = SIDES.get_or_init(|| (Side::start(), Side::start()));
    (one, other)
}

/// A database on the first server and the name of an empty one on the second.
pub struct Fixture {
    pub db: String,
    pub copy: String,
}

impl SourceFixture for Fixture {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let fixture = Self { db: format!("shop{number}"), copy: format!("copy{number}") };
        fill(sides().0, &fixture.db, 300);
        fixture
    }

    fn options(&self) -> Value {
        json!({ "url": sides().0.server.url(), "database": self.db })
    }

    fn target_options(&self) -> Value {
        json!({ "url": sides().1.server.url(), "database": self.copy })
    }

    fn fingerprint(&self) -> String {
        sides().0.fingerprint(&self.db)
    }

    fn target_fingerprint(&self) -> String {
        sides().1.fingerprint(&self.copy)
    }

    fn change(&self) {
        let side = sides().0;
        side.run(&self.db, doc! { "delete": "orders", "deletes": [{ "q": { "_id": 5 }, "limit": 1 }] });
        side.run(
            &self.db,
            doc! { "update": "orders", "updates": [{ "q": { "_id": 7 }, "u": { "$set": { "total": -1 } } }] },
        );
        side.run(&self.db, doc! { "drop": "empty" });
        side.run(&self.db, doc! { "drop": "big_orders" });
        side.insert(&self.db, "new", &[doc! { "_id": 1 }]);
    }
}

/// Collections of most kinds in `db`; `orders` has `orders` documents.
pub fn fill(side: &Side, db: &str, orders: i32) {
    let documents: Vec<_> = (0..orders)
        .map(|n| doc! { "_id": n, "customer": n % 17, "total": f64::from(n) * 1.5, "note": "n".repeat(200) })
        .collect();
    side.insert(db, "orders", &documents);
    side.run(
        db,
        doc! { "createIndexes": "orders", "indexes": [
            { "key": { "total": -1, "customer": 1 }, "name": "by_total" },
            { "key": { "note": 1 }, "name": "notes", "partialFilterExpression": { "total": { "$gt": 100 } } },
        ] },
    );
    side.run(db, doc! { "create": "empty" });
    side.run(db, doc! { "create": "log", "capped": true, "size": 65536, "max": 100 });
    side.insert(db, "log", &[doc! { "_id": 2 }, doc! { "_id": 1 }]);
    let schema = doc! { "$jsonSchema": { "bsonType": "object", "required": ["n"] } };
    side.run(db, doc! { "create": "checked", "validator": schema });
    side.insert(db, "checked", &[doc! { "_id": 1, "n": 1 }]);
    side.run(db, doc! { "create": "big_orders", "viewOn": "orders", "pipeline": [{ "$match": { "total": { "$gt": 100 } } }] });
}

/// An archive that the real mongodump wrote, as it wrote it.
pub fn of_mongodump() -> Vec<u8> {
    let mut bytes = Vec::new();
    let stored = &include_bytes!("../fixtures/shop.archive.as-is.gz")[..];
    flate2::read::GzDecoder::new(stored).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The same data as `mongodump --gzip` wrote them.
pub const GZIPPED: &[u8] = include_bytes!("../fixtures/shop.gzip.archive");

/// The options for a database of `side`.
pub fn options(side: &Side, db: &str) -> Value {
    json!({ "url": side.server.url(), "database": db })
}

/// The source.
pub fn source(options: &Value, host: &TestHost) -> Mongodb {
    let options: Options = serde_json::from_value(options.clone()).unwrap();
    Mongodb::new(options, &host.context()).unwrap()
}

/// Backs up into memory.
pub fn backup(options: &Value) -> Result<(Vec<u8>, Contents)> {
    let (host, out) = (TestHost::new(), MemoryOutputs::new());
    let mut source = source(options, &host);
    source.probe(&host.context())?;
    let contents = source.backup(&host.context(), &out)?;
    let (_, seen) = out.seen().remove(0);
    assert!(seen.finished);
    Ok((seen.bytes, contents))
}

/// How to restore in mode `mode`, these names only.
pub fn how(mode: RestoreMode, only: &[&str]) -> RestoreOptions {
    let only = only.iter().map(|&name| RawName::Text(name.to_owned())).collect();
    RestoreOptions { mode, only, snapshot: "20260101T000000Z-test".into(), ..RestoreOptions::default() }
}

/// A stream to restore from.
pub fn inputs(bytes: &[u8]) -> MemoryInputs {
    MemoryInputs::new().stream("data", StreamInfo::new(FORMAT), bytes.to_vec())
}

/// As the host restores: `target`, `preview`, `restore`.
pub fn restore(
    options: &Value,
    bytes: &[u8],
    how: &RestoreOptions,
) -> Result<(Target, Vec<String>, Restored)> {
    let host = TestHost::new();
    let (cx, input) = (host.context(), inputs(bytes));
    let mut source = source(options, &host);
    let target = source.target(&cx, how)?;
    let told = if target.empty { Vec::new() } else { source.preview(&cx, &input, how)? };
    Ok((target, told, source.restore(&cx, &input, how)?))
}
