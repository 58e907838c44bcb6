//! What a server says of itself: `INFO`, and the RDB version that it writes.
//!
//! Looks only; what follows from it is decided elsewhere.

use std::collections::BTreeMap;

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::connection::Connection;
use crate::resp::Reply;

/// Version and checksum behind what `DUMP` gives.
const FOOTER_BYTES: usize = 10;

/// What is known of a server.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// `redis` or `valkey`.
    pub product: &'static str,
    /// Its version, such as `7.0.15`.
    pub version: String,
    /// The RDB version that it writes, and the newest that it reads.
    pub rdb_version: u16,
    /// Keys of each database that has any.
    pub keys: BTreeMap<u32, u64>,
    /// Libraries of functions.
    pub libraries: u64,
    expiring: BTreeMap<u32, u64>,
    info: BTreeMap<String, String>,
}

impl Server {
    /// Asks.
    pub fn ask(connection: &mut Connection) -> Result<Self> {
        let text = connection.call(&[b"INFO"])?.text().unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        let info: BTreeMap<_, _> = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (product, version) = match (info.get("valkey_version"), info.get("redis_version")) {
            (Some(version), _) => ("valkey", version.clone()),
            (None, Some(version)) => ("redis", version.clone()),
            (None, None) => {
                return Err(Error::new(ErrorKind::Unsupported, "the server doesn't say what it is")
                    .hint("Is it a Redis or Valkey server?"));
            }
        };
        let mut server = Self { product, version, keys: keyspace(&info, "keys="), ..Self::default() };
        server.expiring = keyspace(&info, "expires=");
        server.info = info;
        server.libraries = server.number("number_of_libraries").unwrap_or(0);
        server.rdb_version = match rdb_version(connection)? {
            Some(version) => version,
            None => server.guess_rdb_version(),
        };
        Ok(server)
    }

    /// A number out of `INFO`.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.info.get(name)?.parse().ok()
    }

    /// A text out of `INFO`.
    pub fn text(&self, name: &str) -> &str {
        self.info.get(name).map_or("", String::as_str)
    }

    /// `redis 7.0.15`.
    pub fn name(&self) -> String {
        format!("{} {}", self.product, self.version)
    }

    /// No key in any database, and no function.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.libraries == 0
    }

    /// All keys.
    pub fn key_count(&self) -> u64 {
        self.keys.values().sum()
    }

    /// Those keys of a database that expire.
    pub fn expiring(&self, database: u32) -> u64 {
        self.expiring.get(&database).copied().unwrap_or(0)
    }

    /// About the bytes of the data, as the server holds them in memory.
    pub fn data_bytes(&self) -> Option<u64> {
        self.number("used_memory_dataset").or_else(|| self.number("used_memory"))
    }

    /// Whether it is a node of a cluster.
    pub fn is_cluster(&self) -> bool {
        self.number("cluster_enabled") == Some(1)
    }

    /// Whether it has at least that version.
    pub fn is_at_least(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (major, minor)
    }

    /// By the version, for servers without functions.
    fn guess_rdb_version(&self) -> u16 {
        match self.product {
            "valkey" if self.is_at_least(9, 0) => 80,
            "valkey" => 11,
            _ if self.is_at_least(7, 4) => 12,
            _ if self.is_at_least(7, 2) => 11,
            _ if self.is_at_least(7, 0) => 10,
            _ if self.is_at_least(5, 0) => 9,
            _ if self.is_at_least(4, 0) => 8,
            _ => 6,
        }
    }
}

/// The footer of `FUNCTION DUMP` names it, also where there are no functions, and nothing need be written for that.
fn rdb_version(connection: &mut Connection) -> Result<Option<u16>> {
    let Reply::Bulk(Some(dump)) = connection.ask(&[b"FUNCTION", b"DUMP"])? else { return Ok(None) };
    let footer = dump.len().checked_sub(FOOTER_BYTES).map(|at| &dump[at..]);
    Ok(footer.map(|footer| u16::from_le_bytes([footer[0], footer[1]])))
}

/// A number of each database that has keys, out of `db0:keys=1,expires=0,avg_ttl=0`.
fn keyspace(info: &BTreeMap<String, String>, name: &str) -> BTreeMap<u32, u64> {
    let databases =
        info.iter().filter_map(|(name, value)| Some((name.strip_prefix("db")?.parse().ok()?, value)));
    let number = |value: &str| value.split(',').find_map(|part| part.strip_prefix(name)?.parse().ok());
    databases.map(|(database, value)| (database, number(value).unwrap_or(1))).collect()
}
