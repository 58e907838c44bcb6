//! Text to the type that a schema wants: for what comes from a variable, a file, a command, a URL or `--set`.

use serde_json::Number;

use super::shape::Shape;
use super::text;
use super::value::{Data, Located, Node, Origin};

/// `text` as the type that `shape` asks for. Where it doesn't fit, it stays a string and the schema's check says so.
/// A list is written as in TOML (`["a", "b"]`); anything else is a list of one.
pub(super) fn from_text(text: &str, shape: &Shape<'_>, origin: &Origin) -> Node {
    let string = || Located::new(Data::String(text.to_owned()), origin.clone());
    let types = shape.types();
    if types.is_empty() || types.contains(&"string") {
        return string();
    }
    let trimmed = text.trim();
    let scalar = types.iter().find_map(|name| match *name {
        "integer" => integer(trimmed).map(Data::Number),
        "number" => integer(trimmed).or_else(|| float(trimmed)).map(Data::Number),
        "boolean" => trimmed.parse().ok().map(Data::Bool),
        _ => None,
    });
    if let Some(data) = scalar {
        return Located::new(data, origin.clone());
    }
    let structured = (trimmed.starts_with('[') && types.contains(&"array"))
        || (trimmed.starts_with('{') && types.contains(&"object"));
    if let Some(node) = structured.then(|| text::parse_value(trimmed, origin)).flatten() {
        return node;
    }
    if types.contains(&"array") {
        let item = from_text(text, &shape.item(), origin);
        return Located::new(Data::Array(vec![item]), origin.clone());
    }
    string()
}

fn integer(text: &str) -> Option<Number> {
    text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok()
}

fn float(text: &str) -> Option<Number> {
    text.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn convert(text: &str, schema: Value) -> Value {
        from_text(text, &Shape::of(&schema), &Origin::CommandLine).to_json()
    }

    #[test]
    fn text_becomes_what_the_schema_wants() {
        for (text, schema, wanted) in [
            ("6", json!({ "type": ["integer", "null"] }), json!(6)),
            ("18446744073709551615", json!({ "type": "integer" }), json!(u64::MAX)),
            ("0.5", json!({ "type": "number" }), json!(0.5)),
            ("true", json!({ "type": "boolean" }), json!(true)),
            ("6", json!({ "type": "string" }), json!("6")),
            ("6", json!({ "anyOf": [{ "type": "integer" }, { "type": "string" }] }), json!("6")),
            ("a b", json!({ "type": "array", "items": { "type": "string" } }), json!(["a b"])),
            ("[1, 2]", json!({ "type": "array", "items": { "type": "integer" } }), json!([1, 2])),
            ("{ a = 1 }", json!({ "type": "object" }), json!({ "a": 1 })),
            ("six", json!({ "type": "integer" }), json!("six")),
            ("6", json!({}), json!("6")),
        ] {
            assert_eq!(convert(text, schema.clone()), wanted, "{text} as {schema}");
        }
    }
}
