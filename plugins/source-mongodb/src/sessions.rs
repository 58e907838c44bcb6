//! Who uses a database now: operations that run on it, and cursors that are open.
//!
//! A restore needs nobody to be gone: new collections take the place of the old by renames. Who is shown may go on with
//! what was there, and is ended only on request (`force`).

use bson::{Bson, Document, doc};
use windlass_plugin_api::{ErrorKind, Result};

use crate::connect::Server;

/// One that uses a database.
struct Session {
    text: String,
    end: Document,
    db: String,
}

/// Who uses these databases, one line each. Nobody, if the user may not ask.
pub(crate) async fn shown(server: &Server, databases: &[String]) -> Result<Vec<String>> {
    Ok(of(server, databases).await?.into_iter().map(|one| one.text).collect())
}

/// Ends them.
pub(crate) async fn end(server: &Server, databases: &[String]) -> Result<()> {
    for one in of(server, databases).await? {
        server.command(&format!("end {}", one.text), &one.db, one.end).await?;
    }
    Ok(())
}

async fn of(server: &Server, databases: &[String]) -> Result<Vec<Session>> {
    let reply = match server.command("ask who uses the server", "admin", doc! { "currentOp": 1 }).await {
        Err(error) if [ErrorKind::Denied, ErrorKind::Unsupported].contains(&error.kind) => {
            return Ok(Vec::new());
        }
        reply => reply?,
    };
    let all = reply.get_array("inprog").map_or(&[][..], Vec::as_slice);
    Ok(all.iter().filter_map(|one| session(one.as_document()?, databases)).collect())
}

fn session(one: &Document, databases: &[String]) -> Option<Session> {
    let ns = one.get_str("ns").ok()?;
    let (db, collection) = ns.split_once('.')?;
    databases.iter().find(|name| *name == db)?;
    let client = one.get_str("client").or_else(|_| one.get_str("desc")).unwrap_or("unknown");
    if one.get_str("type").ok() == Some("idleCursor") {
        let id = one.get("cursorId").or_else(|| one.get_document("cursor").ok()?.get("cursorId"))?;
        let end = doc! { "killCursors": collection, "cursors": [id.clone()] };
        return Some(Session { text: format!("a cursor on `{ns}`"), end, db: db.to_owned() });
    }
    let seconds = match one.get("secs_running") {
        Some(Bson::Int64(seconds)) => *seconds,
        Some(Bson::Int32(seconds)) => (*seconds).into(),
        _ => 0,
    };
    let text = format!(
        "`{}` of {client} on `{ns}` for {seconds} seconds",
        one.get_str("op").unwrap_or("an operation")
    );
    Some(Session { text, end: doc! { "killOp": 1, "op": one.get("opid")?.clone() }, db: "admin".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_on_the_database_is_shown_and_others_are_not() {
        let one = doc! {
            "type": "op", "client": "10.0.0.7:5000", "op": "update", "ns": "shop.orders", "opid": 77, "secs_running": 5_i64,
        };
        let found = session(&one, &["shop".to_owned()]).unwrap();
        assert_eq!(found.text, "`update` of 10.0.0.7:5000 on `shop.orders` for 5 seconds");
        assert_eq!(found.end, doc! { "killOp": 1, "op": 77 });
        assert!(session(&one, &["sho".to_owned()]).is_none());
    }
}
