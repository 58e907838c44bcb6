//! The tables of a parallel dump in shares of about the same size.
//!
//! The first share is written as all that isn't in the others: what nobody thought of (the values of sequences, tables of
//! extensions that hold configuration) is in it, and can't be lost.

use crate::facts::Relation;
use crate::select::quoted;

/// What a table costs besides its rows, in bytes of rows.
const EACH: u64 = 16 << 10;

/// The most that the names of all other shares may take in arguments, in bytes: a shell at the other end of `ssh` gets all of
/// them as one word, and that may have 128 KiB.
const NAMES: usize = 80 << 10;

/// Tables that one `pg_dump` writes.
#[derive(Debug, Default)]
pub(crate) struct Share<'a> {
    /// Without those that hold no rows.
    pub tables: Vec<&'a Relation>,
    /// The size of their rows.
    pub bytes: u64,
    weight: u64,
}

/// At most `count` shares of the tables among `relations`, the largest table first, each where least is so far. There is
/// always a first one; none of the others is empty.
pub(crate) fn shares(relations: &[Relation], count: usize) -> Vec<Share<'_>> {
    let mut tables: Vec<&Relation> = relations.iter().filter(|relation| relation.kind == "r").collect();
    tables.sort_by_key(|table| (std::cmp::Reverse(table.bytes), table.dotted()));
    let mut shares: Vec<Share<'_>> = (0..count.max(1)).map(|_| Share::default()).collect();
    let mut names = 0;
    for table in tables {
        let mut lightest = (0..shares.len()).min_by_key(|index| shares[*index].weight).unwrap_or(0);
        // They stand twice: in their own share, and among what isn't in the first.
        let length = 2 * (quoted(table).len() + 24);
        if lightest > 0 && names + length > NAMES * 2 {
            lightest = 0;
        }
        names += if lightest > 0 { length } else { 0 };
        let share = &mut shares[lightest];
        share.tables.push(table);
        share.bytes += table.bytes;
        share.weight += table.bytes + EACH;
    }
    let mut number = 0;
    shares.retain(|share| {
        number += 1;
        number == 1 || !share.tables.is_empty()
    });
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: String, bytes: u64) -> Relation {
        Relation { schema: "s".into(), name, kind: "r".into(), bytes, readable: true, filtered: false }
    }

    #[test]
    fn shares_are_even_and_each_table_is_in_one() {
        let sizes = [710 << 20, 10 << 20, 300 << 20, 200 << 20, 190 << 20, 0];
        let tables: Vec<Relation> =
            sizes.iter().enumerate().map(|(n, bytes)| table(format!("t{n}"), *bytes)).collect();
        let shares = shares(&tables, 2);
        let names = |share: &Share<'_>| {
            let mut names: Vec<&str> = share.tables.iter().map(|table| table.name.as_str()).collect();
            names.sort_unstable();
            names.join(" ")
        };
        assert_eq!([names(&shares[0]), names(&shares[1])], ["t0", "t1 t2 t3 t4 t5"]);
    }

    #[test]
    fn names_that_are_too_many_stay_in_the_first_share() {
        let tables: Vec<Relation> = (0..50_000).map(|n| table(format!("table number {n}"), 8192)).collect();
        let shares = shares(&tables, 4);
        let named: usize = shares[1..].iter().flat_map(|share| &share.tables).map(|t| quoted(t).len()).sum();
        assert!(named < NAMES && shares.len() == 4, "{named}");
        assert_eq!(shares.iter().map(|share| share.tables.len()).sum::<usize>(), 50_000);
        assert_eq!(super::shares(&[], 4).len(), 1);
    }
}
