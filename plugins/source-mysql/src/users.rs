//! Accounts and what they were granted: a stream of its own, and what a restore makes of it.
//!
//! It is what `SHOW CREATE USER` and `SHOW GRANTS` say, a statement a line, of every account but the server's own. Not what
//! `mariadb-dump --system=users` writes: that gives the loading account roles on its way, changes accounts that are there,
//! and needs the dump program of the server's own kind. On restore accounts that are missing are made with their rights,
//! those that are there stay as they are, and anything else in the stream is refused.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use windlass_plugin_api::{Error, ErrorKind, Outputs, Reader, Result, StreamInfo};

use crate::USERS;
use crate::about::About;
use crate::accounts::{Account, Deed, read};
use crate::facts::cell;
use crate::names::text;
use crate::scan::odd;
use crate::server::Server;

/// The stream's name.
pub(crate) const STREAM: &str = "users";

/// The first and the last line.
const HEAD: &str = "-- Users and grants, as SHOW CREATE USER and SHOW GRANTS say them";
const TRAILER: &str = "-- Users completed";

/// No server has more accounts than fit into this, in bytes.
const LIMIT: u64 = 64 << 20;

/// How many accounts are asked about at once.
const AT_ONCE: usize = 100;

/// What the server itself has.
const OWN: [&str; 5] = ["mariadb.sys", "mysql.sys", "mysql.session", "mysql.infoschema", "PUBLIC"];

/// Whether we may see all accounts: `SHOW GRANTS` asks for the right on the whole database `mysql`.
pub(crate) fn may_read(about: &About) -> bool {
    about.rights.has("mysql", "SELECT")
}

/// Every account and role of the server but its own.
fn accounts(server: &Server<'_>) -> Result<Vec<Account>> {
    // Who has no host is a role of MariaDB. MySQL's roles are accounts.
    let rows = server.rows("SELECT user, host FROM mysql.user ORDER BY host <> '', user, host")?;
    let all = rows.iter().map(|row| Account { name: cell(row, 0), host: cell(row, 1) });
    Ok(all.filter(|account| !OWN.contains(&account.name.as_str())).collect())
}

/// Writes the stream. Gives warnings.
pub(crate) fn write(server: &Server<'_>, out: &dyn Outputs) -> Result<Vec<String>> {
    let (mut statements, mut unknown) = (Vec::new(), Vec::new());
    for part in accounts(server)?.chunks(AT_ONCE) {
        match server.column(&question(part)) {
            Ok(said) => statements.extend(said),
            // One that the running server doesn't know stands in the way of the others.
            Err(_) => {
                for account in part {
                    match server.column(&question(std::slice::from_ref(account))) {
                        Ok(said) => statements.extend(said),
                        Err(error) if error.kind == ErrorKind::Failed => unknown.push(account.sql()),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
    // Rights on a role can only be given to whoever is there: all accounts come before any of their rights.
    let (made, given): (Vec<String>, Vec<String>) =
        statements.into_iter().partition(|statement| statement.starts_with("CREATE "));
    let mut text = format!("{HEAD}\n");
    made.iter().chain(&given).for_each(|statement| text += &format!("{statement};\n"));
    text += &format!("{TRAILER}\n");
    let mut sink = out.create(STREAM, StreamInfo::new(USERS))?;
    sink.write_all(text.as_bytes())?;
    sink.finish()?;
    let told = |account: &String| {
        let account = account.replace('`', "");
        format!(
            "The account `{account}` isn't known to the running server and left out: its host's name isn't looked up."
        )
    };
    Ok(unknown.iter().map(told).collect())
}

/// What is asked about these accounts.
fn question(accounts: &[Account]) -> String {
    // MySQL says hashes in bytes otherwise; MariaDB passes over a comment for that version.
    let mut ask = "/*!80017 SET SESSION print_identified_with_as_hex = ON */;".to_owned();
    for account in accounts {
        let name = account.sql();
        match account.is_role() {
            // No server tells how a role was made.
            true => ask += &format!("SELECT CONCAT('CREATE ROLE ', {});", text(&name)),
            false => ask += &format!("SHOW CREATE USER {name};"),
        }
        ask += &format!("SHOW GRANTS FOR {name};");
    }
    ask
}

/// The accounts of a snapshot.
pub(crate) struct Users {
    deeds: Vec<Deed>,
}

impl Users {
    /// Reads the stream to its end, and refuses what doesn't belong in it.
    pub(crate) fn read(input: Reader) -> Result<Self> {
        let mut said = String::new();
        input.take(LIMIT).read_to_string(&mut said)?;
        let whole = said.strip_suffix('\n').and_then(|said| said.strip_suffix(TRAILER));
        let Some(lines) = whole else {
            return Err(Error::damaged(format!("the stream of accounts doesn't end with `{TRAILER}`")));
        };
        let statements = lines.lines().filter(|line| *line != HEAD && !line.is_empty());
        let deeds = statements.map(|line| {
            read(line).ok_or_else(|| {
                // Without the rest: a hash may stand there.
                let start: Vec<&str> = line.split_whitespace().take(2).collect();
                odd(&format!("`{}` among users and grants", start.join(" ").replace('`', "'")))
            })
        });
        Ok(Self { deeds: deeds.collect::<Result<_>>()? })
    }

    /// Makes the accounts that are missing. Gives what couldn't be made.
    pub(crate) fn make(&self, server: &Server<'_>) -> Result<Vec<String>> {
        let there: BTreeSet<Account> = accounts(server)?.into_iter().collect();
        let mut failed = Vec::new();
        let mut made = BTreeSet::new();
        // By stdin, each for itself: a hash must not stand in an argument, and one account's trouble isn't another's.
        let mut run = |deed: &Deed| match server.run(None, deed.statement.as_bytes()) {
            Ok(()) => true,
            Err(error) => {
                failed.push(format!("{}: {error}", deed.label()));
                false
            }
        };
        for deed in self.deeds.iter().filter(|deed| deed.makes && !there.contains(&deed.account)) {
            if run(deed) {
                made.insert(&deed.account);
            }
        }
        for deed in self.deeds.iter().filter(|deed| !deed.makes && made.contains(&deed.account)) {
            run(deed);
        }
        Ok(failed)
    }
}
