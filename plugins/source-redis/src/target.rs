//! What a restore would find on a running server, and in which way it would write there.
//!
//! Looks only. The way is decided here, once before the user is asked and once more before anything is written.

use windlass_plugin_api::{Context, Error, ErrorKind, RestoreMode, RestoreOptions, Result, Target};

use crate::address::Address;
use crate::connection::Connection;
use crate::leftovers;
use crate::options::Options;
use crate::rdb::Header;
use crate::resp::Reply;
use crate::server::Server;

/// No server has more databases than we look at.
const MOST_DATABASES: u32 = 1024;

/// So many sessions are named.
const MOST_SESSIONS: usize = 20;

/// How a restore writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Into empty databases, which are swapped with the real ones at the end, in one transaction.
    Staged {
        /// The empty ones.
        spare: Vec<u32>,
    },
    /// Where the keys belong.
    InPlace {
        /// Why not otherwise, as a part of a sentence.
        why: String,
    },
}

impl Plan {
    /// The plan for `server`.
    pub fn of(
        options: &Options,
        server: &Server,
        connection: &mut Connection,
        how: &RestoreOptions,
    ) -> Result<Self> {
        let in_place = |why: &str| Ok(Self::InPlace { why: why.to_owned() });
        if options.in_place {
            return in_place("`in_place` is set");
        }
        if how.mode == RestoreMode::Merge {
            return in_place("a merge writes where the keys are");
        }
        let Some(wanted) = databases(how) else {
            return in_place("the stream doesn't say which databases it holds");
        };
        if server.is_cluster() {
            return in_place("a node of a cluster can't swap databases");
        }
        let limit = server.number("maxmemory").unwrap_or(0);
        let needed = server.number("used_memory").unwrap_or(0) + data_bytes(how);
        if limit > 0 && needed > limit {
            return in_place("`maxmemory` leaves no room for the old and the new data beside each other");
        }
        let mut spare = empty_databases(server, connection)?;
        spare.retain(|number| !wanted.contains(number));
        spare.reverse();
        if spare.len() < wanted.len() {
            return in_place("there are too few empty databases to prepare it in");
        }
        spare.truncate(wanted.len());
        Ok(Self::Staged { spare })
    }

    fn effects(&self, server: &Server, how: &RestoreOptions) -> Vec<String> {
        let mut effects = Vec::new();
        match self {
            Self::Staged { spare } if !spare.is_empty() => effects.push(format!(
                "prepares the keys in the empty {}, and swaps them in in one step",
                listed(spare)
            )),
            Self::Staged { .. } => {}
            Self::InPlace { why } => effects.push(format!(
                "writes key by key, so that a restore that fails leaves a part of the keys, because {why}"
            )),
        }
        if !server.is_empty() {
            let numbers: Vec<u32> = server.keys.keys().copied().collect();
            let keys = server.key_count();
            effects.push(match how.mode {
                RestoreMode::Merge => "writes over keys of the same name; others stay".to_owned(),
                _ if numbers.is_empty() => "removes the functions that are there".to_owned(),
                _ => format!("removes all {keys} keys, in {}, and the functions", listed(&numbers)),
            });
        }
        effects
    }
}

/// `database 0`, `databases 0, 3`.
pub fn listed(numbers: &[u32]) -> String {
    let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
    format!("database{} {}", if numbers.len() == 1 { "" } else { "s" }, words.join(", "))
}

/// The databases of the snapshot, if its backup said them.
fn databases(how: &RestoreOptions) -> Option<Vec<u32>> {
    let listed = how.contents.as_ref()?.details.get("databases")?.as_array()?;
    listed.iter().map(|entry| u32::try_from(entry.get("database")?.as_u64()?).ok()).collect()
}

fn data_bytes(how: &RestoreOptions) -> u64 {
    let details = how.contents.as_ref().map(|contents| &contents.details);
    details.and_then(|details| details.get("data_bytes")?.as_u64()).unwrap_or(0)
}

/// The databases without a key. How many there are is found out by selecting them: `CONFIG GET` may be denied.
fn empty_databases(server: &Server, connection: &mut Connection) -> Result<Vec<u32>> {
    let mut empty = Vec::new();
    for number in 0..MOST_DATABASES {
        if let Reply::Error(_) = connection.ask(&[b"SELECT", number.to_string().as_bytes()])? {
            break;
        }
        if !server.keys.contains_key(&number) {
            empty.push(number);
        }
    }
    connection.call(&[b"SELECT", b"0"])?;
    Ok(empty)
}

/// The host's question before a restore.
pub fn target(cx: &Context, options: &Options, how: &RestoreOptions) -> Result<Target> {
    accept(how)?;
    let mut connection = Connection::open(cx, options)?;
    let mut server = Server::ask(&mut connection)?;
    may_be_written(&server)?;
    let leftovers = leftovers::find(&mut connection, &server)?;
    leftovers::set_aside(&leftovers, &mut server)?;
    let recorded = how.contents.as_ref().and_then(|contents| contents.versions.get("rdb")?.parse().ok());
    if let Some(version) = recorded {
        Header { is_valkey: false, version }.fits(server.rdb_version, &server.name())?;
    }
    let plan = Plan::of(options, &server, &mut connection, how)?;
    let mut effects = leftovers::effects(&leftovers);
    effects.extend(plan.effects(&server, how));
    Ok(Target {
        place: place(&server, options)?,
        empty: server.is_empty(),
        size_bytes: server.data_bytes().filter(|_| !server.is_empty()),
        sessions: sessions(&mut connection)?,
        effects,
        atomic: matches!(plan, Plan::Staged { .. }),
        ..Target::default()
    })
}

/// `redis 7.0.15 at 127.0.0.1:6379`.
pub fn place(server: &Server, options: &Options) -> Result<String> {
    Ok(format!("{} at {}", server.name(), Address::of(options)?))
}

/// Refuses a server that takes no writes.
pub fn may_be_written(server: &Server) -> Result<()> {
    if server.text("role") == "slave" {
        return Err(Error::new(ErrorKind::Unsupported, "the server is a replica")
            .hint("Restore to its master, which passes everything on."));
    }
    Ok(())
}

/// Refuses what this source can't do.
pub fn accept(how: &RestoreOptions) -> Result<()> {
    match how.only.first() {
        None => Ok(()),
        Some(name) => Err(Error::new(
            ErrorKind::Unsupported,
            format!("a snapshot of Redis can only be restored whole, not `{name}` alone"),
        )
        .hint("Restore it to another server and copy the keys over yourself.")),
    }
}

/// The other connections, one line each, if we may see them.
fn sessions(connection: &mut Connection) -> Result<Vec<String>> {
    let own = match connection.ask(&[b"CLIENT", b"ID"])? {
        Reply::Integer(id) => format!("id={id} "),
        _ => return Ok(Vec::new()),
    };
    let Some(text) = connection.ask(&[b"CLIENT", b"LIST"])?.text() else { return Ok(Vec::new()) };
    let others = text.lines().filter(|line| !line.starts_with(&own));
    let mut lines: Vec<String> = others
        .map(|line| {
            let wanted = ["addr=", "name=", "db=", "user=", "idle="];
            let parts = line.split(' ').filter(|part| wanted.iter().any(|name| part.starts_with(name)));
            parts.filter(|part| !part.ends_with('=')).collect::<Vec<_>>().join(" ")
        })
        .collect();
    if let Some(more) = lines.len().checked_sub(MOST_SESSIONS).filter(|more| *more > 0) {
        lines.truncate(MOST_SESSIONS);
        lines.push(format!("and {more} more"));
    }
    Ok(lines)
}
