//! Where each collection of an archive goes, and what a restore does with it.
//!
//! Knows the archive's prelude and the options, not the server.

use bson::{Bson, Document};
use windlass_plugin_api::{Error, ErrorKind, RestoreOptions, Result};

use crate::archive::Entry;
use crate::{extjson, oplog, select, users};

/// Where one collection goes.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Its number in the archive.
    pub(crate) entry: usize,
    /// Its database in the archive.
    pub(crate) from: String,
    /// Its name in the archive.
    pub(crate) collection: String,
    pub(crate) db: String,
    pub(crate) name: String,
    pub(crate) is_view: bool,
    /// A time series: documents are its buckets.
    pub(crate) is_series: bool,
    /// For `create`.
    pub(crate) options: Document,
    /// For `createIndexes`: none that comes with the collection.
    pub(crate) indexes: Vec<Document>,
}

/// Where all goes, and what can't.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) places: Vec<Place>,
    pub(crate) left_out: Vec<String>,
    /// The number of the archive's oplog.
    pub(crate) oplog: Option<usize>,
    /// What of the archive are users and roles to be restored.
    pub(crate) users: Vec<(usize, users::Part)>,
}

impl Places {
    /// The databases that are written to.
    pub(crate) fn databases(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.places.iter().map(|place| place.db.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Judges an archive's prelude. `database` is what its one database will be called; `users`, whether those are wanted.
    pub(crate) fn of(
        entries: &[Entry],
        how: &RestoreOptions,
        database: Option<&str>,
        users: bool,
    ) -> Result<Self> {
        let names: Vec<_> = entries.iter().map(|one| (one.db.as_str(), one.collection.as_str())).collect();
        let oplog = names.iter().position(|name| *name == ("", oplog::NAME));
        let mut result = Self { oplog, ..Self::default() };
        for entry in select::only(&how.only, &names)? {
            let one = &entries[entry];
            if Some(entry) == oplog {
                continue;
            }
            if let (true, Some(part)) = (users, users::part(one)) {
                match database.is_some() && one.db == "admin" {
                    true => result
                        .left_out
                        .push(format!("`{}`: they are those of all databases", one.namespace())),
                    false => result.users.push((entry, part)),
                }
                continue;
            }
            match kept_back(one) {
                Some(why) => result.left_out.push(format!("`{}`: {why}", one.namespace())),
                None => result.places.push(place(entry, one)?),
            }
        }
        let from = result.databases();
        if let (Some(_), [first, second, ..]) = (database, from.as_slice()) {
            let message = format!(
                "the snapshot holds several databases (`{first}`, `{second}`), which can't all be restored as one"
            );
            return Err(Error::new(ErrorKind::Config, message)
                .hint("Leave `database` out, or choose collections of one database by `--only`."));
        }
        for place in &mut result.places {
            if let Some(database) = database {
                database.clone_into(&mut place.db);
            }
            if !crate::options::is_database(&place.db) || ["config", "local"].contains(&place.db.as_str()) {
                return Err(Error::damaged(format!("the archive holds a database `{}`", place.db)));
            }
        }
        Ok(result)
    }
}

/// Why this one isn't restored.
fn kept_back(entry: &Entry) -> Option<&'static str> {
    if entry.kind == "timeseries/2" {
        return Some("time series of servers from version 8.3 on can't be restored");
    }
    if users::part(entry).is_some() {
        return Some("users and roles are restored with `users = true` alone");
    }
    if entry.db == "admin" || entry.db.is_empty() {
        return Some("it belongs to the server");
    }
    let own = entry.collection.starts_with("system.") && entry.collection != "system.js";
    own.then_some("it belongs to the server")
}

fn place(entry: usize, one: &Entry) -> Result<Place> {
    let metadata = if one.metadata.is_empty() { Document::new() } else { extjson::read(&one.metadata)? };
    let options = metadata.get_document("options").cloned().unwrap_or_default();
    let mut place = Place::new(entry, &one.db, &one.db, &one.collection, options)?;
    place.is_view |= one.kind == "view";
    place.is_series = one.kind == "timeseries";
    let indexes = metadata.get_array("indexes").map_or(&[][..], Vec::as_slice);
    let indexes =
        indexes.iter().filter_map(Bson::as_document).filter(|index| !comes_by_itself(index)).cloned();
    let indexes = indexes.map(|mut index| {
        // The namespace that old servers repeat here.
        index.remove("ns");
        index
    });
    place.indexes = indexes.collect();
    Ok(place)
}

impl Place {
    /// The collection `from`.`collection` of the archive in the database `db`; an error if its options aren't such.
    pub(crate) fn new(
        entry: usize,
        from: &str,
        db: &str,
        collection: &str,
        mut options: Document,
    ) -> Result<Self> {
        // Servers since 4.0 know it no more, and it has no meaning outside of `local`.
        options.remove("autoIndexId");
        // `create` would take them for the command's own words.
        let own = |word: &&String| {
            word.starts_with('$') || ["create", "writeConcern", "comment", "lsid"].contains(&word.as_str())
        };
        if let Some(word) = options.keys().find(own) {
            return Err(Error::damaged(format!("the options of `{from}.{collection}` hold `{word}`")));
        }
        let server = collection.starts_with("system.") && collection != "system.js";
        if collection.is_empty() || server || collection.contains(['$', '\0']) {
            return Err(Error::damaged(format!("the archive holds a collection `{from}.{collection}`")));
        }
        Ok(Self {
            entry,
            from: from.to_owned(),
            collection: collection.to_owned(),
            db: db.to_owned(),
            name: collection.to_owned(),
            is_view: options.contains_key("viewOn"),
            is_series: false,
            indexes: Vec::new(),
            options,
        })
    }
}

/// The index on `_id`, and the one that a clustered collection is.
pub(crate) fn comes_by_itself(index: &Document) -> bool {
    index.get_str("name").is_ok_and(|name| name == "_id_") || index.contains_key("clustered")
}

#[cfg(test)]
mod tests {
    use windlass_plugin_api::RawName;

    use super::*;

    fn entry(db: &str, collection: &str, kind: &str, metadata: &str) -> Entry {
        Entry { db: db.into(), collection: collection.into(), metadata: metadata.into(), kind: kind.into() }
    }

    #[test]
    fn one_database_is_renamed_and_several_are_not_thrown_together() {
        let entries = [entry("a", "x", "collection", ""), entry("b", "y", "collection", "")];
        let all = RestoreOptions::default();
        let kept = Places::of(&entries, &all, None, false).unwrap();
        assert_eq!(kept.databases(), ["a", "b"]);
        assert_eq!(Places::of(&entries, &all, Some("c"), false).unwrap_err().kind, ErrorKind::Config);
        let one = RestoreOptions { only: vec![RawName::Text("b.y".into())], ..all };
        let renamed = Places::of(&entries, &one, Some("c"), false).unwrap();
        assert_eq!((renamed.databases(), renamed.places[0].entry), (vec!["c"], 1));
    }

    #[test]
    fn what_is_the_servers_own_stays_out_and_is_told() {
        let metadata = r#"{"options":{"capped":true},"indexes":[{"name":"_id_"},{"name":"n","ns":"a.x","key":{"b":1,"a":-1}}]}"#;
        let entries = [
            entry("a", "$admin.system.users", "", ""),
            entry("", "oplog", "", ""),
            entry("a", "system.views", "", ""),
            entry("a", "t", "timeseries/2", ""),
            entry("a", "x", "collection", metadata),
        ];
        let places = Places::of(&entries, &RestoreOptions::default(), None, false).unwrap();
        assert_eq!((places.left_out.len(), places.places.len(), places.oplog), (3, 1, Some(1)));
        let index = bson::doc! { "name": "n", "key": { "b": 1, "a": -1 } };
        assert_eq!(places.places[0].indexes, [index]);
    }

    #[test]
    fn users_go_where_they_belong() {
        let entries = |db: &str, name: &str| [entry("a", "x", "collection", ""), entry(db, name, "", "")];
        let all = RestoreOptions::default();
        let of = |entries: &[Entry], database, users| {
            let places = Places::of(entries, &all, database, users).unwrap();
            (places.users.len(), places.left_out.len())
        };
        let (one, every) = (entries("a", "$admin.system.users"), entries("admin", "system.users"));
        assert_eq!(of(&one, Some("b"), true), (1, 0));
        assert_eq!(of(&one, Some("b"), false), (0, 1));
        assert_eq!(of(&every, None, true), (1, 0));
        // Nobody's users become those of one database.
        assert_eq!(of(&every, Some("b"), true), (0, 1));
    }

    #[test]
    fn a_hostile_archive_writes_to_no_database_of_the_server() {
        for db in ["local", "config", "a/b", "$x"] {
            let entries = [entry(db, "x", "collection", "")];
            assert_eq!(
                Places::of(&entries, &RestoreOptions::default(), None, false).unwrap_err().kind,
                ErrorKind::Damaged
            );
        }
        for options in [r#"{"options":{"create":"other"}}"#, r#"{"options":{"$db":"other"}}"#] {
            let entries = [entry("a", "x", "collection", options)];
            let error = Places::of(&entries, &RestoreOptions::default(), None, false).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Damaged);
        }
    }
}
