//! Users and roles, on request: taken as `mongodump --dumpDbUsersAndRoles` takes them, and given back as mongorestore does.
//!
//! The server alone can make a user of a stored password: it merges two collections into its own (`_mergeAuthzCollections`),
//! without a change of what is there. Those of one database get the database's new name with it.

use bson::{Bson, Document, RawDocumentBuf, doc};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::archive::Entry;
use crate::catalog;
use crate::connect::Server;
use crate::errors;
use crate::load::{Batch, Kind};

/// Collections of one database's users in an archive, and of all users.
const OF_ONE: [&str; 3] = ["$admin.system.users", "$admin.system.roles", "$admin.system.version"];
const OF_ALL: [&str; 3] = ["system.users", "system.roles", "system.version"];

/// How the collections of `admin` begin that the server merges into its own.
const TEMPORARY: [&str; 2] = ["windlass-users-", "windlass-roles-"];

/// Whether a restore of this database made the collection of `admin` for the time that it took. Other databases may be
/// restored now.
pub(crate) fn is_ours(name: &str, database: Option<&str>) -> bool {
    let database = database.unwrap_or_default();
    TEMPORARY.iter().any(|start| name.starts_with(&format!("{start}{database}.")))
}

/// Users, roles, and the version of their form.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) users: Vec<RawDocumentBuf>,
    pub(crate) roles: Vec<RawDocumentBuf>,
    version: Vec<RawDocumentBuf>,
}

/// What an archive's entry holds of users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Users,
    Roles,
    Version,
}

/// Which part an archive's entry is, if any.
pub(crate) fn part(entry: &Entry) -> Option<Part> {
    let names = if entry.db == "admin" { &OF_ALL } else { &OF_ONE };
    let at = names.iter().position(|name| *name == entry.collection)?;
    Some([Part::Users, Part::Roles, Part::Version][at])
}

/// The users and roles that belong to `database`; all without one.
pub(crate) async fn of(server: &Server, database: Option<&str>) -> Result<Found> {
    let filter = database.map_or_else(Document::new, |db| doc! { "db": db });
    let mut found = Found {
        users: documents(server, "system.users", filter.clone()).await?,
        roles: documents(server, "system.roles", filter).await?,
        version: documents(server, "system.version", doc! { "_id": "authSchema" }).await?,
    };
    // A server that shows no passwords there may do so when it is asked for them.
    if !found.users.iter().all(has_password) {
        let count = found.users.len();
        found.users = asked(server, database, "usersInfo", "users").await?;
        if found.users.len() < count || !found.users.iter().all(has_password) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the server doesn't show the passwords of its users",
            )
            .hint("Leave `users` out."));
        }
    }
    if found.roles.is_empty() {
        found.roles = asked(server, database, "rolesInfo", "roles").await?;
    }
    Ok(found)
}

fn has_password(user: &RawDocumentBuf) -> bool {
    user.get_document("credentials").is_ok()
}

async fn documents(server: &Server, name: &str, filter: Document) -> Result<Vec<RawDocumentBuf>> {
    let what = format!("read `admin.{name}`");
    let collection = server.client.database("admin").collection::<RawDocumentBuf>(name);
    let mut cursor = server.ask(&what, collection.find(filter)).await.map_err(hinted)?;
    let mut found = Vec::new();
    while server.ask(&what, cursor.advance()).await? {
        found.push(cursor.current().to_owned());
    }
    Ok(found)
}

/// Asks by command, database by database, and takes away what only an answer has.
async fn asked(
    server: &Server,
    database: Option<&str>,
    command: &str,
    list: &str,
) -> Result<Vec<RawDocumentBuf>> {
    let shown = if command == "rolesInfo" { "showPrivileges" } else { "showCredentials" };
    let databases = match database {
        Some(name) => vec![name.to_owned()],
        None => [catalog::databases(server).await?, vec!["admin".to_owned()]].concat(),
    };
    let mut found = Vec::new();
    for db in databases {
        let reply = server.command("ask for users and roles", &db, doc! { command: 1, shown: true }).await;
        let reply = reply.map_err(hinted)?;
        let all = reply.get_array(list).map_or(&[][..], Vec::as_slice);
        for one in all.iter().filter_map(Bson::as_document) {
            found.push(stored(one.clone())?);
        }
    }
    Ok(found)
}

/// A user or role as it is stored.
fn stored(mut one: Document) -> Result<RawDocumentBuf> {
    for key in ["mechanisms", "isBuiltin", "inheritedRoles", "inheritedPrivileges"] {
        one.remove(key);
    }
    if let (false, Ok(db), Ok(role)) = (one.contains_key("_id"), one.get_str("db"), one.get_str("role")) {
        one.insert("_id", format!("{db}.{role}"));
    }
    RawDocumentBuf::try_from(&one).map_err(|error| Error::failed("a user can't be read").because(&error))
}

fn hinted(error: Error) -> Error {
    let needed = "The role `backup` on `admin` may read users and roles; without it leave `users` out.";
    errors::needs(error, needed)
}

impl Found {
    /// The entries of an archive, and the documents of each.
    pub(crate) fn entries(self, database: Option<&str>) -> [(Entry, Vec<RawDocumentBuf>); 3] {
        let names = if database.is_some() { OF_ONE } else { OF_ALL };
        let entry = |at: usize| Entry {
            db: database.unwrap_or("admin").to_owned(),
            collection: names[at].to_owned(),
            ..Entry::default()
        };
        [(entry(0), self.users), (entry(1), self.roles), (entry(2), self.version)]
    }

    /// Takes in a document out of an archive; that of a database which is called `to` from now on gets that name.
    pub(crate) fn add(&mut self, part: Part, document: &[u8], from: &str, to: Option<&str>) -> Result<()> {
        let damaged = || Error::damaged("the archive has a user or role that can't be read");
        let raw = RawDocumentBuf::from_bytes(document.to_vec()).map_err(|error| damaged().because(&error))?;
        let (list, key) = match part {
            Part::Users => (&mut self.users, "user"),
            Part::Roles => (&mut self.roles, "role"),
            Part::Version => return Ok(()),
        };
        let mut one = Document::try_from(raw).map_err(|error| damaged().because(&error))?;
        let (Ok(db), Ok(name)) = (one.get_str("db"), one.get_str(key)) else { return Err(damaged()) };
        // Only an archive of somebody who wants more than a database holds others.
        if from != "admin" && db != from {
            return Err(Error::damaged(format!("the archive of `{from}` has a user or role of `{db}`")));
        }
        if let Some(to) = to {
            one.insert("_id", format!("{to}.{name}"));
            renamed(&mut one, from, to);
        }
        list.push(RawDocumentBuf::try_from(&one).map_err(|error| damaged().because(&error))?);
        Ok(())
    }

    /// Makes those that are missing. False if the server doesn't do that.
    pub(crate) async fn restore(&self, server: &Server, database: Option<&str>, id: &str) -> Result<bool> {
        if self.users.is_empty() && self.roles.is_empty() {
            return Ok(true);
        }
        let names = TEMPORARY.map(|start| format!("{start}{}.{id}", database.unwrap_or_default()));
        let result = self.merge(server, database, &names).await;
        for name in &names {
            server.tidy(server.client.database("admin").run_command(doc! { "drop": name })).await;
        }
        match result {
            Err(error) if error.kind == ErrorKind::Unsupported => Ok(false),
            result => result.map(|()| true),
        }
    }

    async fn merge(&self, server: &Server, database: Option<&str>, names: &[String; 2]) -> Result<()> {
        for (name, list) in names.iter().zip([&self.users, &self.roles]) {
            server.tidy(server.client.database("admin").run_command(doc! { "drop": name })).await;
            let mut batch = Batch::new("admin", name, Kind::Insert);
            for one in list {
                batch.add(server, one.as_bytes()).await?;
            }
            batch.send(server).await?;
        }
        let command = doc! {
            "_mergeAuthzCollections": 1,
            "tempUsersCollection": format!("admin.{}", names[0]),
            "tempRolesCollection": format!("admin.{}", names[1]),
            "drop": false,
            "db": database.unwrap_or_default(),
        };
        let made = server.command("make users and roles", "admin", command).await;
        let needed = "The role `restore` on `admin` may make users and roles.";
        made.map(drop).map_err(|error| errors::needs(error, needed))
    }
}

/// Puts `to` wherever a user, a role or a right speaks of the database `from`.
fn renamed(document: &mut Document, from: &str, to: &str) {
    for (key, value) in document.iter_mut() {
        match value {
            Bson::String(text) if key == "db" && text == from => to.clone_into(text),
            Bson::Document(inner) => renamed(inner, from, to),
            Bson::Array(all) => {
                all.iter_mut().filter_map(Bson::as_document_mut).for_each(|inner| renamed(inner, from, to));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_get_the_name_of_the_database_they_are_restored_to() {
        let user = doc! {
            "_id": "shop.ann", "user": "ann", "db": "shop", "credentials": { "SCRAM-SHA-256": { "salt": "s" } },
            "roles": [{ "role": "readWrite", "db": "shop" }, { "role": "read", "db": "other" }],
        };
        let mut found = Found::default();
        found.add(Part::Users, &user.to_vec().unwrap(), "shop", Some("copy")).unwrap();
        let copy = Document::try_from(found.users[0].clone()).unwrap();
        assert_eq!((copy.get_str("_id").unwrap(), copy.get_str("db").unwrap()), ("copy.ann", "copy"));
        let roles = doc! { "r": [{ "role": "readWrite", "db": "copy" }, { "role": "read", "db": "other" }] };
        assert_eq!(copy.get("roles"), roles.get("r"));
        assert_eq!(copy.get("credentials"), user.get("credentials"));
    }

    #[test]
    fn an_archive_of_one_database_makes_no_users_of_another() {
        let user = doc! { "_id": "admin.eve", "user": "eve", "db": "admin", "roles": [{ "role": "root", "db": "admin" }] };
        for to in [Some("shop"), None] {
            let error = Found::default().add(Part::Users, &user.to_vec().unwrap(), "shop", to).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Damaged);
        }
    }
}
