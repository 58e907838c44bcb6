//! `limit = "20 MB/s"`: how fast a storage may be used. A key of the host, beside the plugin's own options.
//!
//! A plugin that has an option `limit` keeps it: then the host takes none away. Waiting is done by
//! [`crate::wrap::limit`].

use windlass_plugin_api::Kind;

use super::examine::plugin;
use super::fields::{a, join};
use super::pipeline::Entry;
use super::problem::Problem;
use super::shape::Shape;
use super::value::{Data, Field, Node, Table};
use super::{Config, Known};

/// The key.
pub(super) const LIMIT: &str = "limit";

const EXAMPLE: &str =
    "Write it as `limit = \"20 MB/s\"`, or as `limit = { up = \"5 MB/s\", down = \"20 MB/s\" }`.";

/// Units, and how many bytes each is; those of bits are eighths.
const UNITS: [(&str, f64); 11] = [
    ("B", 1.0),
    ("kB", 1e3),
    ("KB", 1e3),
    ("MB", 1e6),
    ("GB", 1e9),
    ("KiB", 1024.0),
    ("MiB", 1_048_576.0),
    ("GiB", 1_073_741_824.0),
    ("kbit", 1e3 / 8.0),
    ("Mbit", 1e6 / 8.0),
    ("Gbit", 1e9 / 8.0),
];

/// How fast a storage may be used, in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit {
    /// To it; `None`: as fast as it goes.
    pub up: Option<u64>,
    /// From it.
    pub down: Option<u64>,
}

impl Limit {
    /// Reads the value of the key `key`.
    fn read(node: &Node, key: &str) -> Result<Self, Vec<Problem>> {
        let Data::Table(table) = &node.value else {
            let rate = rate_of(node, key).map_err(|problem| vec![problem])?;
            return Ok(Self { up: Some(rate), down: Some(rate) });
        };
        let (mut limit, mut problems) = (Self::default(), Vec::new());
        for (direction, field) in table.iter() {
            let (place, key) = match direction.as_str() {
                "up" => (&mut limit.up, join(key, direction)),
                "down" => (&mut limit.down, join(key, direction)),
                other => {
                    let problem = Problem::new("unknown key").at(&field.key).key(join(key, other));
                    problems.push(problem.suggest(other, ["up", "down"]).hint(EXAMPLE));
                    continue;
                }
            };
            match rate_of(&field.value, &key) {
                Ok(rate) => *place = Some(rate),
                Err(problem) => problems.push(problem),
            }
        }
        if table.is_empty() {
            problems.push(Problem::new("it says no limit").at(&node.origin).key(key).hint(EXAMPLE));
        }
        if problems.is_empty() { Ok(limit) } else { Err(problems) }
    }
}

impl Config {
    /// How fast the storage of `entry` may be used. A value that makes no sense is told by [`check`](Self::check).
    pub fn limit(&self, entry: &Entry, known: &dyn Known) -> Option<Limit> {
        let info = plugin(entry, known).ok()?;
        let field = take(entry, &Shape::of(&info.options), &mut entry.options.clone())?;
        Limit::read(&field.value, &entry.key).ok()
    }
}

/// Takes the host's limit out of the options of `entry`, whose plugin has the options `shape`.
pub(super) fn take(entry: &Entry, shape: &Shape<'_>, options: &mut Table) -> Option<Field> {
    if is_hosts(entry.kind, shape) { options.0.remove(LIMIT) } else { None }
}

/// Whether `limit` is the host's to read.
pub(super) fn is_hosts(kind: Kind, shape: &Shape<'_>) -> bool {
    kind == Kind::Storage && !shape.keys().contains(&LIMIT)
}

/// What is wrong with the host's limit of `entry`.
pub(super) fn problems(entry: &Entry, field: &Field) -> Vec<Problem> {
    Limit::read(&field.value, &join(&entry.key, LIMIT)).err().unwrap_or_default()
}

fn rate_of(node: &Node, key: &str) -> Result<u64, Problem> {
    let rate = match &node.value {
        Data::String(text) => parse_rate(text),
        other => Err(format!("expected a speed, found {}", a(other.type_name()))),
    };
    rate.map_err(|message| Problem::new(message).at(&node.origin).key(key).hint(EXAMPLE))
}

/// `20 MB/s`, `1.5 MiB/s`, `100 Mbit/s`: bytes a second.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let number = text.trim_start();
    let split = number.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(number.len());
    let (number, unit) = number.split_at(split);
    let Ok(number) = number.parse::<f64>() else {
        return Err(format!("`{text}` is not a speed"));
    };
    let unit = unit.trim();
    let Some(amount) = unit.strip_suffix("/s") else {
        return Err(format!("`{text}` doesn't say how much in which time"));
    };
    let Some((_, bytes)) = UNITS.iter().find(|(name, _)| *name == amount.trim_end()) else {
        let names: Vec<String> = UNITS.iter().map(|(name, _)| format!("`{name}/s`")).collect();
        return Err(format!("`{unit}` is not a unit of speed; there are {}", names.join(", ")));
    };
    let rate = number * bytes;
    if !(1.0..1e18).contains(&rate) {
        return Err(format!("`{text}` must be at least a byte a second"));
    }
    Ok(rate as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_has_a_unit_of_bytes_or_of_bits() {
        for (text, rate) in [
            ("20 MB/s", 20_000_000),
            ("20MB/s", 20_000_000),
            ("1.5 MiB/s", 1_572_864),
            ("100 Mbit/s", 12_500_000),
            ("64 kbit/s", 8_000),
            ("1 kB/s", 1_000),
            ("1 KB/s", 1_000),
            ("2 KiB/s", 2_048),
            (" 1 B/s ", 1),
            ("1 Gbit/s", 125_000_000),
        ] {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
        for text in [
            "", "fast", "20", "20 MB", "MB/s", "20 Mb/s", "20 mb/s", "20 MBps", "0 MB/s", "0.1 B/s",
            "-1 MB/s",
        ] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
    }
}
