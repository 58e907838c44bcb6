//! The slots of a cluster: which one a key belongs to, and which ones a node serves.
//!
//! Nothing is sent on to other nodes: a restore writes to one node, and only what belongs there.

use crc::{CRC_16_XMODEM, Crc, Table};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::connection::Connection;

/// How many there are in every cluster.
const SLOTS: u16 = 16384;

const WORDS: usize = SLOTS as usize / 64;

static CRC: Crc<u16, Table<1>> = Crc::<u16, Table<1>>::new(&CRC_16_XMODEM);

/// A set of slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slots([u64; WORDS]);

impl Default for Slots {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl Slots {
    /// Adds the slot that the key `name` belongs to.
    pub fn add_key(&mut self, name: &[u8]) {
        self.add(slot(name));
    }

    /// Those that the node we speak to serves. A slot that is just moving isn't among them.
    pub fn served(connection: &mut Connection) -> Result<Self> {
        let nodes = connection.call(&[b"CLUSTER", b"NODES"])?.text().unwrap_or_default();
        Ok(Self::of_myself(&nodes))
    }

    /// Out of `CLUSTER NODES`: id, address, flags, and, from the ninth word on, slots and ranges of them.
    fn of_myself(nodes: &str) -> Self {
        let mut slots = Self::default();
        let is_myself = |line: &&str| {
            line.split(' ').nth(2).is_some_and(|flags| flags.split(',').any(|flag| flag == "myself"))
        };
        let words = nodes.lines().find(is_myself).into_iter().flat_map(|line| line.split(' ').skip(8));
        // Those in brackets are moving. A single one is its own range.
        for (first, last) in words.map(|word| word.split_once('-').unwrap_or((word, word))) {
            if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
                (first..=last.min(SLOTS - 1)).for_each(|slot| slots.add(slot));
            }
        }
        slots
    }

    /// An error if keys belong to slots that aren't among `served`.
    pub fn must_be_in(&self, served: &Self) -> Result<()> {
        let elsewhere: Vec<u16> = (0..SLOTS).filter(|slot| self.has(*slot) && !served.has(*slot)).collect();
        let Some(first) = elsewhere.first() else { return Ok(()) };
        let text = format!(
            "the snapshot has keys of {} slots that this node of the cluster doesn't serve, the first of them slot {first}",
            elsewhere.len()
        );
        Err(Error::new(ErrorKind::Unsupported, text).hint(
            "Restore each node's snapshot to a node that serves the same slots, or restore to a server that is no cluster.",
        ))
    }

    fn add(&mut self, slot: u16) {
        self.0[usize::from(slot / 64)] |= 1 << (slot % 64);
    }

    fn has(&self, slot: u16) -> bool {
        self.0[usize::from(slot / 64)] & (1 << (slot % 64)) != 0
    }
}

/// Only what stands between the first `{` and the next `}` counts, if something does.
fn slot(name: &[u8]) -> u16 {
    let tag = name.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &name[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        Some(&rest[..close]).filter(|tag| !tag.is_empty())
    });
    CRC.checksum(tag.unwrap_or(name)) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_where_a_server_says() {
        // As `CLUSTER KEYSLOT` answers.
        for (name, wanted) in [
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("user1000", 3443),
            ("foo{}{bar}", 8363),
            ("", 0),
        ] {
            assert_eq!(slot(name.as_bytes()), wanted, "{name}");
        }
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo{{bar}}zap"), slot(b"{bar"));
    }

    #[test]
    fn the_slots_of_the_node_itself_are_read_and_those_that_move_are_not() {
        let nodes = "a 127.0.0.1:1@2 master - 0 0 1 connected 0-99\n\
                     b 127.0.0.1:3@4 myself,master - 0 0 2 connected 100-199 300 [5-<-a] [150->-a]\n";
        let served = Slots::of_myself(nodes);
        let found: Vec<u16> = (0..SLOTS).filter(|slot| served.has(*slot)).collect();
        assert_eq!(found, (100..200).chain([300]).collect::<Vec<_>>());
        let mut keys = Slots::default();
        keys.add(150);
        assert!(keys.must_be_in(&served).is_ok());
        keys.add(7);
        assert!(keys.must_be_in(&served).unwrap_err().message.contains("slot 7"));
    }
}
