//! Which entries of the oplog belong to a backup.
//!
//! Only those of what is backed up. What a restore couldn't apply fails the run: an archive that can't be restored is no
//! backup.

use bson::raw::{RawArrayBuf, RawDocumentBuf, cstr};
use bson::{Document, RawDocument, doc};
use windlass_plugin_api::{Error, Result};

use super::{Op, damaged};
use crate::catalog::{self, Found};

/// What a restore takes out of an index's build, or has no use for.
const IGNORED: [&str; 6] = [
    "startIndexBuild",
    "abortIndexBuild",
    "setMultikeyMetadata",
    "dbCheck",
    "commitTransaction",
    "abortTransaction",
];

/// What a restore can do again.
const KNOWN: [&str; 8] = [
    "create",
    "drop",
    "createIndexes",
    "commitIndexBuild",
    "dropIndexes",
    "deleteIndexes",
    "dropIndex",
    "collMod",
];

/// Which entries belong to a backup.
pub(crate) struct Scope {
    databases: Vec<String>,
    /// The collections, if not all are taken.
    chosen: Option<Vec<String>>,
}

impl Scope {
    /// What belongs to `databases`; of `collections` alone if only a part was chosen.
    pub(crate) fn new(databases: &[String], collections: &[Found], part: bool) -> Self {
        let names = || collections.iter().map(Found::namespace).collect();
        Self { databases: databases.to_vec(), chosen: part.then(names) }
    }

    /// What the server may leave out: on a busy one most entries are of other databases. A transaction is in `admin`.
    pub(super) fn query(&self) -> Document {
        let [name] = &self.databases[..] else { return Document::new() };
        let plain = |letter: char| letter.is_alphanumeric() || letter == '_' || !letter.is_ascii();
        let escaped: String = name
            .chars()
            .map(|letter| if plain(letter) { letter.into() } else { format!("\\{letter}") })
            .collect();
        let ours = doc! { "ns": { "$regex": format!("^{escaped}\\.") } };
        doc! { "$or": [ours, { "ns": "admin.$cmd" }, { "o.renameCollection": { "$exists": true } }] }
    }

    /// The entry, or what of it belongs to the backup; none if nothing does.
    pub(super) fn kept(&self, raw: &RawDocument) -> Result<Option<RawDocumentBuf>> {
        let op = Op::read(raw)?;
        let kept = match op.kind {
            "i" | "d" => self.holds(op.names()),
            "u" => self.holds(op.names()) && op.update().map(|_| true)?,
            "c" => return self.command(op),
            _ => false,
        };
        Ok(kept.then(|| raw.to_owned()))
    }

    fn command(&self, op: Op<'_>) -> Result<Option<RawDocumentBuf>> {
        let (name, about) = op.command()?;
        let (db, _) = op.names();
        let ends = ["commitTransaction", "abortTransaction"].contains(&name);
        let kept = match (name, about) {
            ("applyOps", _) => return self.several(op),
            ("renameCollection", from) => {
                let ours = |ns: &str| self.holds(ns.split_once('.').unwrap_or((ns, "")));
                let to = op.o.get_str("to").unwrap_or_default();
                match from.is_some_and(ours) || ours(to) {
                    true => return Err(changed(from.unwrap_or(to), "renamed")),
                    false => false,
                }
            }
            ("dropDatabase", _) if self.databases.iter().any(|one| one == db) => {
                return Err(changed(db, "dropped"));
            }
            (name, Some(collection)) if KNOWN.contains(&name) => self.holds((db, collection)),
            (name, _) if IGNORED.contains(&name) => ends,
            (_, Some(collection)) if !self.holds((db, collection)) => false,
            _ if !self.databases.iter().any(|one| one == db) => false,
            (name, _) => {
                let message = format!(
                    "`{name}` ran on `{db}` during the backup, which can't be done again from the oplog"
                );
                return Err(Error::failed(message).hint("Run the backup again."));
            }
        };
        Ok(kept.then(|| op.raw.to_owned()))
    }

    /// What of an `applyOps` belongs to the backup. A part of a transaction stays, empty, for the others to fit.
    fn several(&self, op: Op<'_>) -> Result<Option<RawDocumentBuf>> {
        let mut inner = RawArrayBuf::new();
        let (mut all, mut some) = (true, false);
        for one in op.inner()? {
            let one = one.map_err(|error| damaged().because(&error))?;
            match self.kept(one.as_document().ok_or_else(damaged)?)? {
                Some(kept) => {
                    some = true;
                    inner.push(kept);
                }
                None => all = false,
            }
        }
        if all || !(some || op.transaction().is_some()) {
            return Ok(all.then(|| op.raw.to_owned()));
        }
        let mut command = RawDocumentBuf::new();
        command.append(cstr!("applyOps"), inner);
        copy_fields(op.o, &mut command, "applyOps")?;
        let mut entry = RawDocumentBuf::new();
        entry.append(cstr!("o"), command);
        copy_fields(op.raw, &mut entry, "o")?;
        Ok(Some(entry))
    }

    /// Whether this collection belongs to the backup.
    fn holds(&self, (db, collection): (&str, &str)) -> bool {
        let own = collection.starts_with("system.") && collection != "system.js";
        self.databases.iter().any(|one| one == db)
            && !own
            && !collection.is_empty()
            && !catalog::is_ours(collection)
            && self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&format!("{db}.{collection}")))
    }
}

fn copy_fields(from: &RawDocument, to: &mut RawDocumentBuf, but: &str) -> Result<()> {
    for item in from {
        let (key, value) = item.map_err(|error| damaged().because(&error))?;
        if key.as_str() != but {
            to.append(key, value);
        }
    }
    Ok(())
}

fn changed(what: &str, how: &str) -> Error {
    Error::failed(format!("`{what}` was {how} during the backup")).hint("Run the backup again.")
}

#[cfg(test)]
mod tests {
    use bson::bson;
    use windlass_plugin_api::ErrorKind;

    use super::*;

    fn kept(scope: &Scope, entry: &Document) -> Result<Option<Document>> {
        let kept = scope.kept(&RawDocumentBuf::try_from(entry).unwrap())?;
        Ok(kept.map(|kept| Document::try_from(kept).unwrap()))
    }

    fn scope(chosen: Option<&str>) -> Scope {
        Scope { databases: vec!["shop".into()], chosen: chosen.map(|name| vec![name.to_owned()]) }
    }

    fn insert(ns: &str) -> Document {
        doc! { "op": "i", "ns": ns, "o": { "_id": 1 } }
    }

    fn command(ns: &str, o: Document) -> Document {
        doc! { "op": "c", "ns": ns, "o": o }
    }

    #[test]
    fn only_entries_of_what_is_backed_up_are_taken() {
        let all = scope(None);
        for ns in ["shop.orders", "shop.a.b", "shop.system.js"] {
            assert_eq!(kept(&all, &insert(ns)).unwrap(), Some(insert(ns)));
        }
        for ns in [
            "shops.orders",
            "other.orders",
            "shop.system.views",
            "shop.windlass-restore-1-0",
            "config.transactions",
            "",
        ] {
            assert_eq!(kept(&all, &insert(ns)).unwrap(), None, "{ns}");
        }
        let part = scope(Some("shop.orders"));
        assert!(kept(&part, &insert("shop.orders")).unwrap().is_some());
        assert!(kept(&part, &insert("shop.other")).unwrap().is_none());
        assert!(kept(&part, &command("shop.$cmd", doc! { "create": "other" })).unwrap().is_none());
        assert!(kept(&all, &command("shop.$cmd", doc! { "create": "other" })).unwrap().is_some());
        assert!(kept(&all, &doc! { "op": "n", "ns": "", "o": { "msg": "x" } }).unwrap().is_none());
    }

    #[test]
    fn a_name_is_no_pattern_for_the_server() {
        let scope = Scope { databases: vec!["a-b+(é".into()], chosen: None };
        assert!(scope.query().to_string().contains(r"^a\-b\+\(é\."), "{}", scope.query());
        assert!(Scope { databases: vec!["a".into(), "b".into()], chosen: None }.query().is_empty());
    }

    #[test]
    fn of_a_transaction_over_several_databases_only_ours_is_taken() {
        let inner = bson!([insert("other.x"), insert("shop.orders")]);
        let mut entry = command("admin.$cmd", doc! { "applyOps": inner, "partialTxn": true });
        let part = kept(&scope(None), &entry).unwrap().unwrap();
        assert_eq!(
            part.get_document("o").unwrap(),
            &doc! { "applyOps": [insert("shop.orders")], "partialTxn": true }
        );
        entry.insert("o", doc! { "applyOps": [insert("other.x")] });
        assert_eq!(kept(&scope(None), &entry).unwrap(), None);
        // One end of a chain.
        entry.insert("txnNumber", 5_i64);
        entry.insert("lsid", doc! { "id": 1 });
        assert_eq!(
            kept(&scope(None), &entry).unwrap().unwrap().get_document("o").unwrap(),
            &doc! { "applyOps": [] }
        );
    }

    #[test]
    fn what_could_not_be_applied_again_fails_the_backup_if_it_is_ours() {
        for o in [
            doc! { "renameCollection": "shop.a", "to": "shop.b" },
            doc! { "renameCollection": "other.a", "to": "shop.b" },
            doc! { "dropDatabase": 1 },
            doc! { "convertToCapped": "orders", "size": 5 },
        ] {
            assert!(kept(&scope(None), &command("shop.$cmd", o.clone())).is_err(), "{o}");
        }
        let other = command("other.$cmd", doc! { "renameCollection": "other.a", "to": "other.b" });
        assert_eq!(kept(&scope(None), &other).unwrap(), None);
        let update = doc! { "op": "u", "ns": "shop.a", "o2": { "_id": 1 }, "o": { "$v": 2, "diff": { "updatedFields": {} } } };
        assert_eq!(kept(&scope(None), &update).unwrap_err().kind, ErrorKind::Unsupported);
    }
}
