//! What a backup would find, and whether the user may do it. Writes nothing and starts no synchronisation.

use windlass_plugin_api::{Context, Error, ErrorKind, Probe, Result};

use crate::connection::Connection;
use crate::options::Options;
use crate::resp::Reply;
use crate::server::Server;

/// The host's question before a backup.
pub fn probe(cx: &Context, options: &Options) -> Result<Probe> {
    let mut connection = Connection::open(cx, options)?;
    let server = Server::ask(&mut connection)?;
    may_synchronise(&mut connection, &server)?;
    let mut probe = Probe { estimate_bytes: server.data_bytes(), ..Probe::default() };
    probe.versions.insert("server".into(), server.name());
    probe.versions.insert("rdb".into(), server.rdb_version.to_string());
    probe.warnings = warnings(&server, &mut connection)?;
    probe.notes.push(format!("{} keys in {} databases.", server.key_count(), server.keys.len()));
    probe.notes.push("ACL users and the configuration are not in an RDB.".into());
    Ok(probe)
}

fn warnings(server: &Server, connection: &mut Connection) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    if server.is_cluster() {
        warnings.push(
            "The server is a node of a cluster: only its own slots are in the snapshot. Back up each node."
                .into(),
        );
    }
    if server.text("role") == "slave" && server.text("master_link_status") != "up" {
        warnings.push("The server is a replica without a link to its master.".into());
    }
    // Modules may be told only by name, or not at all to this user.
    if let Reply::Array(Some(modules)) = connection.ask(&[b"MODULE", b"LIST"])?
        && !modules.is_empty()
    {
        warnings.push(
            "The server has modules: keys of their types can be restored as an RDB file only (`rdb_file`)."
                .into(),
        );
    }
    Ok(warnings)
}

/// `PSYNC` with an offset that is no number fails for whoever may use it, and is denied to whoever may not. Servers before
/// version 7 would take it for a wish for everything, so they aren't asked.
fn may_synchronise(connection: &mut Connection, server: &Server) -> Result<()> {
    let mut questions: Vec<&[&[u8]]> = vec![&[b"REPLCONF", b"capa", b"eof"]];
    if server.product == "valkey" || server.is_at_least(7, 0) {
        questions.push(&[b"PSYNC", b"?", b"none"]);
    }
    for question in questions {
        if let Reply::Error(text) = connection.ask(question)?
            && (text.starts_with("NOPERM") || text.starts_with("ERR unknown command"))
        {
            let command = String::from_utf8_lossy(question[0]).into_owned();
            return Err(Error::new(ErrorKind::Denied, format!("this user may not use `{command}`")).hint(
                "A backup needs the rights `+psync +replconf +info +ping`, as the source's documentation shows.",
            ));
        }
    }
    Ok(())
}
