//! Canonical extended JSON that keeps the order of keys: what an archive says of options and indexes.
//!
//! The order matters: an index on `{a, b}` isn't one on `{b, a}`, and the usual tree of JSON values sorts its keys.
//! Only what carries a type (`{"$numberInt": "1"}`) is left to the BSON library.

use std::fmt;

use bson::{Bson, Document};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use windlass_plugin_api::{Error, Result};

/// What stands as the only key, or the first, of an object that is a value with a type.
const TYPES: [&str; 16] = [
    "$oid",
    "$symbol",
    "$numberInt",
    "$numberLong",
    "$numberDouble",
    "$numberDecimal",
    "$binary",
    "$uuid",
    "$code",
    "$timestamp",
    "$regularExpression",
    "$dbPointer",
    "$date",
    "$minKey",
    "$maxKey",
    "$undefined",
];

/// `document` as text.
pub fn write(document: &Document) -> Result<String> {
    serde_json::to_string(&Out(&Bson::Document(document.clone())))
        .map_err(|error| Error::failed("the metadata can't be written").because(&error))
}

/// The document that `text` is; an error of kind `Damaged` if it is none.
pub fn read(text: &str) -> Result<Document> {
    let damaged = || Error::damaged("the metadata of a collection can't be read");
    match serde_json::from_str(text).map_err(|error| damaged().because(&error))? {
        In(Bson::Document(document)) => Ok(document),
        In(_) => Err(damaged()),
    }
}

struct Out<'a>(&'a Bson);

impl Serialize for Out<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Bson::Document(document) => {
                let mut map = to.serialize_map(Some(document.len()))?;
                document.iter().try_for_each(|(key, value)| map.serialize_entry(key, &Out(value)))?;
                map.end()
            }
            Bson::Array(values) => {
                let mut seq = to.serialize_seq(Some(values.len()))?;
                values.iter().try_for_each(|value| seq.serialize_element(&Out(value)))?;
                seq.end()
            }
            value => value.clone().into_canonical_extjson().serialize(to),
        }
    }
}

struct In(Bson);

impl<'de> Deserialize<'de> for In {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = In;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("extended JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<In, E> {
        Ok(In(Bson::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<In, E> {
        Ok(In(Bson::Boolean(value)))
    }

    /// Plain numbers come from other writers, or from within a typed value.
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<In, E> {
        Ok(In(i32::try_from(value).map_or(Bson::Int64(value), Bson::Int32)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<In, E> {
        i64::try_from(value).map_err(E::custom).and_then(|value| self.visit_i64(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<In, E> {
        Ok(In(Bson::Double(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<In, E> {
        Ok(In(Bson::String(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<In, A::Error> {
        let mut values = Vec::new();
        while let Some(In(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(In(Bson::Array(values)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<In, A::Error> {
        let mut document = Document::new();
        let Some(first) = map.next_key::<String>()? else { return Ok(In(Bson::Document(document))) };
        if !TYPES.contains(&first.as_str()) {
            document.insert(first, map.next_value::<In>()?.0);
            while let Some((key, In(value))) = map.next_entry::<String, In>()? {
                document.insert(key, value);
            }
            return Ok(In(Bson::Document(document)));
        }
        let mut typed = serde_json::Map::new();
        typed.insert(first, map.next_value()?);
        while let Some((key, value)) = map.next_entry()? {
            typed.insert(key, value);
        }
        Bson::try_from(serde_json::Value::Object(typed)).map(In).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use bson::spec::BinarySubtype;
    use bson::{Binary, doc};

    use super::*;

    #[test]
    fn what_mongodump_wrote_comes_back_byte_by_byte() {
        let bytes = include_bytes!("../tests/fixtures/shop.gzip.archive");
        let archive = crate::archive::Archive::open(Box::new(&bytes[..])).unwrap();
        assert_eq!(archive.entries.len(), 8);
        for entry in &archive.entries {
            assert_eq!(write(&read(&entry.metadata).unwrap()).unwrap(), entry.metadata);
        }
    }

    #[test]
    fn order_and_types_are_kept() {
        let id = bson::oid::ObjectId::parse_str("0123456789abcdef01234567").unwrap();
        let document = doc! {
            "z": 1, "a": 2_i64, "m": { "y": -0.5, "b": [true, null] }, "date": bson::DateTime::from_millis(-1),
            "id": id, "bytes": Binary { subtype: BinarySubtype::Generic, bytes: vec![1, 2] },
            "like": bson::Regex { pattern: "^a".try_into().unwrap(), options: "i".try_into().unwrap() },
            "query": { "$regex": "^a", "$options": "i" }, "empty": {},
        };
        let text = write(&document).unwrap();
        assert_eq!(read(&text).unwrap().to_vec().unwrap(), document.to_vec().unwrap(), "{text}");
    }

    #[test]
    fn what_is_no_document_is_damage() {
        for text in ["", "[]", "{", "1", r#"{"a":{"$numberInt":"x"}}"#] {
            assert_eq!(read(text).unwrap_err().kind, windlass_plugin_api::ErrorKind::Damaged, "{text}");
        }
    }
}
