//! The table of contents put together again: fewer entries, other roles, other numbers, SQL of ours.
//!
//! Entries are copied as bytes; only what is to differ is written.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use windlass_plugin_api::Reader;

use super::{Entry, NO_DATA, Toc};
use crate::grants::renamed;

/// SQL of ours that `pg_restore` runs too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// None.
    Nothing,
    /// Before all else.
    First(String),
    /// With `--clean`: before it drops the first object.
    BeforeDrops(String),
}

impl Toc {
    /// Whether the other's entries are written in the same way.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        let layout = |toc: &Self| (toc.version, toc.int_size, toc.offset_size);
        layout(self) == layout(other)
    }

    /// Adds `entry` of `other` with another number and other needs. The two must be [alike](Self::is_like).
    pub(crate) fn append(&mut self, other: &Self, entry: &Entry, id: i64, needs: Vec<i64>) {
        let begin = self.head.len();
        let mut head = std::mem::take(&mut self.head);
        self.write_int(&mut head, usize::try_from(id).unwrap_or(0));
        // The number's length doesn't depend on it: what is behind it only moves.
        head.extend_from_slice(&other.head[entry.at.0 + self.int_size + 1..entry.needs_at.0]);
        let start = head.len();
        needs.iter().for_each(|id| self.write_text(&mut head, &id.to_string()));
        self.write_null(&mut head);
        let needs_at = (start, head.len());
        head.extend_from_slice(&other.head[entry.needs_at.1..entry.at.1]);
        let moved = |at: (usize, usize)| (at.0 - entry.at.0 + begin, at.1 - entry.at.0 + begin);
        self.entries.push(Entry {
            id,
            needs,
            definition_at: moved(entry.definition_at),
            owner_at: moved(entry.owner_at),
            needs_at,
            at: (begin, head.len()),
            ..entry.clone()
        });
        self.head = head;
    }

    /// The head with only the entries that `keep` wants and roles called as `role_map` says, and with `own` SQL; then the
    /// rest.
    ///
    /// `pg_restore` has a list for choosing entries; but that is a file, which a wrapper such as `ssh` can't see.
    pub(crate) fn reader(
        &self,
        rest: Reader,
        own: &Own,
        keep: impl Fn(&Entry) -> bool,
        role_map: &BTreeMap<String, String>,
    ) -> Reader {
        let kept: Vec<&Entry> = self.entries.iter().filter(|entry| keep(entry)).collect();
        let mut head = self.head[..self.count_at.0].to_vec();
        self.write_int(&mut head, kept.len() + usize::from(*own != Own::Nothing));
        if let Own::First(sql) = own {
            self.write_entry(&mut head, sql, "");
        }
        for entry in kept {
            let owner = role_map.get(&entry.owner);
            let definition = entry.kind.contains("ACL").then(|| renamed(&entry.definition, role_map));
            let definition = definition.filter(|definition| *definition != entry.definition);
            let mut done = entry.at.0;
            for (at, new) in [(entry.definition_at, definition.as_ref()), (entry.owner_at, owner)] {
                let Some(new) = new else { continue };
                head.extend_from_slice(&self.head[done..at.0]);
                self.write_text(&mut head, new);
                done = at.1;
            }
            head.extend_from_slice(&self.head[done..entry.at.1]);
        }
        if let Own::BeforeDrops(sql) = own {
            // What is made last is dropped first; what begins as a comment is run as it stands; and what makes nothing isn't
            // dropped.
            self.write_entry(&mut head, sql, &format!("-- windlass\n{sql}"));
        }
        Box::new(Cursor::new(head).chain(rest))
    }

    /// An entry that is no object: SQL that makes and that drops it, in the section of definitions.
    fn write_entry(&self, head: &mut Vec<u8>, make: &str, drop: &str) {
        let last = self.entries.iter().map(|entry| entry.id).max().unwrap_or(0);
        self.write_int(head, usize::try_from(last).unwrap_or(0) + 1);
        self.write_int(head, 0);
        // Two object ids, its name, its kind.
        ["0", "0", "windlass", "WINDLASS"].iter().for_each(|text| self.write_text(head, text));
        self.write_int(head, 2);
        self.write_text(head, make);
        self.write_text(head, drop);
        // How to copy it, schema, tablespace, access method.
        (0..4).for_each(|_| self.write_null(head));
        if self.version.1 >= 16 {
            self.write_int(head, 0);
        }
        self.write_text(head, "");
        self.write_text(head, "false");
        self.write_null(head);
        head.push(NO_DATA);
        head.extend(std::iter::repeat_n(0, self.offset_size));
    }

    fn write_text(&self, head: &mut Vec<u8>, text: &str) {
        self.write_int(head, text.len());
        head.extend_from_slice(text.as_bytes());
    }

    /// The length -1.
    fn write_null(&self, head: &mut Vec<u8>) {
        let at = head.len();
        self.write_int(head, 1);
        head[at] = 1;
    }

    fn write_int(&self, head: &mut Vec<u8>, value: usize) {
        head.push(0);
        let bytes = (value as u64).to_le_bytes();
        head.extend((0..self.int_size).map(|byte| bytes[byte]));
    }
}
