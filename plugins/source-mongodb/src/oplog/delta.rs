//! The difference that an update has in the oplog of servers since 5.0 (`$v: 2`), put to a document.
//!
//! `d` names fields that go, `u` fields with a new value where they stand, `i` fields that come to the end, `sNAME` a
//! difference inside of the field `NAME`. One with `a` is of an array: `l` is its new length, `uN` and `sN` its places. The
//! result is what the server's own replay makes of it, also where a difference meets a document that is newer than it: then
//! another entry, which follows, puts that right.

use std::collections::BTreeMap;

use bson::raw::{CStr, RawArray, RawArrayBuf, RawBsonRef};
use bson::{RawDocument, RawDocumentBuf};
use windlass_plugin_api::Result;

use super::{damaged, unknown};

/// How deep differences may be inside of each other: more than documents can be.
const DEEPEST: usize = 200;

type Fields<'a> = Vec<(&'a CStr, RawBsonRef<'a>)>;

/// An error if `diff` has a part that isn't known.
pub(crate) fn judge(diff: &RawDocument) -> Result<()> {
    judge_in(diff, 0)
}

fn judge_in(diff: &RawDocument, depth: usize) -> Result<()> {
    if depth > DEEPEST {
        return Err(damaged());
    }
    let array = diff.get_bool("a").unwrap_or(false);
    for (key, value) in fields(diff)? {
        let key = key.as_str();
        match (array, key.as_bytes().first(), value) {
            (_, Some(b's'), RawBsonRef::Document(inner)) if !array || place(key).is_some() => {
                judge_in(inner, depth + 1)?
            }
            (true, Some(b'u'), _) if place(key).is_some() => {}
            (true, ..) if ["a", "l"].contains(&key) => {}
            (false, _, RawBsonRef::Document(_)) if ["d", "u", "i"].contains(&key) => {}
            _ => return Err(unknown("an update")),
        }
    }
    Ok(())
}

/// `document` as it is after the update.
pub(crate) fn applied(document: &RawDocument, diff: &RawDocument) -> Result<RawDocumentBuf> {
    judge(diff)?;
    let part = |key: &str| diff.get_document(key).map_or(Ok(Vec::new()), fields);
    let (gone, changed, added) = (part("d")?, part("u")?, part("i")?);
    let has = |fields: &Fields<'_>, key: &CStr| fields.iter().any(|(name, _)| *name == key);
    let mut result = RawDocumentBuf::new();
    let mut kept = Vec::new();
    for (key, value) in fields(document)? {
        if has(&gone, key) || has(&added, key) {
            continue;
        }
        if let Some((_, new)) = changed.iter().find(|(name, _)| *name == key) {
            kept.push(key);
            result.append(key, *new);
            continue;
        }
        match diff.get_document(format!("s{}", key.as_str())) {
            Ok(inner) => append(&mut result, key, value, inner)?,
            Err(_) => result.append(key, value),
        }
    }
    for (key, value) in changed.into_iter().filter(|(key, _)| !kept.contains(key)).chain(added) {
        result.append(key, value);
    }
    Ok(result)
}

/// Appends `value` as it is after a difference inside of it.
fn append(to: &mut RawDocumentBuf, key: &CStr, value: RawBsonRef<'_>, diff: &RawDocument) -> Result<()> {
    match (value, diff.get_bool("a").unwrap_or(false)) {
        (RawBsonRef::Document(document), false) => to.append(key, applied(document, diff)?),
        (RawBsonRef::Array(array), true) => to.append(key, in_array(array, diff)?),
        // It has another type by now: an entry that follows gives it its value.
        _ => to.append(key, RawBsonRef::Null),
    }
    Ok(())
}

fn in_array(array: &RawArray, diff: &RawDocument) -> Result<RawArrayBuf> {
    let mut changes = BTreeMap::new();
    for (key, value) in fields(diff)? {
        if let Some(at) = place(key.as_str()) {
            changes.insert(at, (key.as_str().starts_with('s'), value));
        }
    }
    let length = diff.get_i32("l").ok().and_then(|length| usize::try_from(length).ok());
    let mut result = RawArrayBuf::new();
    let mut at = 0;
    let mut old = array.into_iter();
    let last = changes.last_key_value().map_or(0, |(at, _)| at + 1).max(length.unwrap_or(0));
    // More than a document can hold is no array.
    if last > 16 << 20 {
        return Err(damaged());
    }
    loop {
        let before = old.next().transpose().map_err(|error| damaged().because(&error))?;
        if length.is_some_and(|length| at >= length) || (before.is_none() && at >= last) {
            return Ok(result);
        }
        match (changes.get(&at), before) {
            (Some((false, value)), _) => result.push(*value),
            (Some((true, RawBsonRef::Document(inner))), Some(before)) => push(&mut result, before, inner)?,
            (Some(_), _) | (None, None) => result.push(RawBsonRef::Null),
            (None, Some(before)) => result.push(before),
        }
        at += 1;
    }
}

fn push(to: &mut RawArrayBuf, value: RawBsonRef<'_>, diff: &RawDocument) -> Result<()> {
    match (value, diff.get_bool("a").unwrap_or(false)) {
        (RawBsonRef::Document(document), false) => to.push(applied(document, diff)?),
        (RawBsonRef::Array(array), true) => to.push(in_array(array, diff)?),
        _ => to.push(RawBsonRef::Null),
    }
    Ok(())
}

/// The place in an array that `u7` or `s7` is of.
fn place(key: &str) -> Option<usize> {
    key.strip_prefix(['u', 's'])?.parse().ok()
}

fn fields(document: &RawDocument) -> Result<Fields<'_>> {
    document.iter().map(|item| item.map_err(|error| damaged().because(&error))).collect()
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, bson, doc};

    use super::*;

    fn after(document: &Document, diff: &Document) -> Document {
        let raw = |document: &Document| RawDocumentBuf::try_from(document).unwrap();
        Document::try_from(applied(&raw(document), &raw(diff)).unwrap()).unwrap()
    }

    /// The examples of the server's own documentation of the format, and what its tests expect.
    #[test]
    fn fields_change_where_they_stand_and_new_ones_come_to_the_end() {
        let before = doc! { "_id": 1, "a": 1, "b": { "x": 1, "y": 2 }, "c": "gone", "z": 0 };
        let diff = doc! { "d": { "c": false }, "u": { "a": 5 }, "i": { "n": 7, "z": 9 }, "sb": { "u": { "x": 9 }, "d": { "y": false } } };
        let result = after(&before, &diff);
        assert_eq!(result, doc! { "_id": 1, "a": 5, "b": { "x": 9 }, "n": 7, "z": 9 });
        assert_eq!(result.keys().collect::<Vec<_>>(), ["_id", "a", "b", "n", "z"]);
    }

    #[test]
    fn arrays_change_by_place_grow_and_shrink() {
        let before = doc! { "a": [1, { "x": 1 }, [5, 6], 4] };
        let diff = doc! { "sa": { "a": true, "u0": 9, "s1": { "u": { "x": 2 } }, "s2": { "a": true, "l": 1 }, "u5": "new" } };
        assert_eq!(after(&before, &diff), doc! { "a": [9, { "x": 2 }, [5], 4, Bson::Null, "new"] });
        assert_eq!(after(&before, &doc! { "sa": { "a": true, "l": 0 } }), doc! { "a": [] });
        let longer = after(&doc! { "a": [1] }, &doc! { "sa": { "a": true, "l": 3 } });
        assert_eq!(longer, doc! { "a": [1, Bson::Null, Bson::Null] });
    }

    #[test]
    fn a_difference_that_meets_a_newer_document_can_be_put_to_it_and_again() {
        let diff = doc! { "u": { "n": 1 }, "sa": { "a": true, "u0": 1 }, "sm": { "i": { "x": 1 } } };
        let newer = doc! { "a": "no array", "m": [1] };
        let once = after(&newer, &diff);
        assert_eq!(once, doc! { "a": Bson::Null, "m": Bson::Null, "n": 1 });
        assert_eq!(after(&once, &diff), once);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let deep = (0..300).fold(doc! { "u": {} }, |inner, _| doc! { "sx": inner });
        for diff in [
            doc! { "updatedFields": { "a": 1 } },
            doc! { "b": {} },
            doc! { "sa": { "a": true, "x": 1 } },
            deep,
        ] {
            let raw = RawDocumentBuf::try_from(&diff).unwrap();
            assert!(judge(&raw).is_err(), "{diff}");
        }
        let far = RawDocumentBuf::try_from(&doc! { "sa": { "a": true, "u4000000000": 1 } }).unwrap();
        let before = RawDocumentBuf::try_from(&doc! { "a": bson!([]) }).unwrap();
        assert!(applied(&before, &far).is_err());
    }
}
