//! The server and our account on it, asked in one session: each session costs a start of the client.

use std::thread;

use windlass_plugin_api::{Error, Result};

use crate::claim::MARK;
use crate::facts::cell;
use crate::names::text;
use crate::rights::Rights;
use crate::server::{Rows, Server};

/// What is known of the server.
pub(crate) struct About {
    pub(crate) version: String,
    /// Our account, as `user@host`.
    pub(crate) user: String,
    /// What one packet may hold, in bytes.
    pub(crate) max_allowed_packet: u64,
    /// The engines whose tables a transaction reads as they were at its beginning.
    pub(crate) transactional: Vec<String>,
    pub(crate) rights: Rights,
    /// The databases that restores have marked; none where a mark tells nothing.
    pub(crate) marked: Vec<String>,
}

/// The names under which the dictionary keeps what we were granted: our account and our role.
const GRANTEES: &str = "SET @windlass_at = CHAR_LENGTH(CURRENT_USER()) - CHAR_LENGTH(SUBSTRING_INDEX(CURRENT_USER(), '@', -1)); \
     SET @windlass_user = CONCAT('''', LEFT(CURRENT_USER(), @windlass_at - 1), '''@''', \
     SUBSTRING(CURRENT_USER(), @windlass_at + 1), ''''); \
     SET @windlass_role = CONCAT('''', COALESCE(CURRENT_ROLE(), ''), '''@''''')";

impl About {
    /// Asks the server, while `other` asks something else: most of the time of a question is the client's start.
    pub(crate) fn beside<T>(server: &Server<'_>, other: impl FnOnce() -> Result<T>) -> Result<(Self, T)> {
        thread::scope(|scope| {
            let about = scope.spawn(|| Self::of(server));
            let other = other();
            let about = about.join().unwrap_or_else(|_| Err(Error::failed("a thread panicked")));
            Ok((about?, other?))
        })
    }

    /// Asks the server.
    pub(crate) fn of(server: &Server<'_>) -> Result<Self> {
        let ours = "grantee IN (@windlass_user, @windlass_role)";
        let [basics, rights, engines, cluster, marked] = server.ask([
            format!(
                "{GRANTEES}; SELECT VERSION(), CURRENT_USER(), @@global.max_allowed_packet"
            ),
            format!(
                "SELECT '', privilege_type FROM information_schema.USER_PRIVILEGES WHERE {ours} UNION \
                 SELECT table_schema, privilege_type FROM information_schema.SCHEMA_PRIVILEGES WHERE {ours}"
            ),
            "SELECT engine FROM information_schema.ENGINES WHERE transactions = 'YES'".to_owned(),
            "SHOW GLOBAL VARIABLES LIKE 'wsrep_on'".to_owned(),
            // Only MariaDB's databases have a comment, and only it reads this one.
            format!(
                "SELECT schema_name FROM information_schema.SCHEMATA WHERE FALSE /*M!100500 OR schema_comment = {} */",
                text(MARK)
            ),
        ])?;
        let basics = basics.into_iter().next().unwrap_or_default();
        let first = |rows: Rows| rows.iter().map(|row| cell(row, 0)).collect::<Vec<_>>();
        let is_cluster = cluster.iter().any(|row| cell(row, 1) == "ON");
        Ok(Self {
            version: cell(&basics, 0),
            user: cell(&basics, 1),
            max_allowed_packet: cell(&basics, 2).parse().unwrap_or(u64::MAX),
            transactional: first(engines),
            rights: Rights::new(&rights),
            marked: if is_cluster { Vec::new() } else { first(marked) },
        })
    }
}
