//! What a plugin's JSON schema says about one place in its options: which keys and types fit, what is secret, what is a
//! path. Follows `$ref`, `anyOf`, `oneOf` and `allOf`; whether a value is valid is the jsonschema crate's to say.

use serde_json::{Map, Value};

/// All that the schema says of one place; of several alternatives all of them. Empty where it says nothing.
#[derive(Clone, Debug)]
pub(super) struct Shape<'a> {
    root: &'a Value,
    nodes: Vec<&'a Map<String, Value>>,
}

/// Schemas may refer to themselves.
const DEPTH: usize = 16;

impl<'a> Shape<'a> {
    /// Of the options as a whole.
    pub fn of(schema: &'a Value) -> Self {
        Self::at(schema, schema)
    }

    fn at(root: &'a Value, schema: &'a Value) -> Self {
        let mut shape = Self { root, nodes: Vec::new() };
        shape.add(schema, DEPTH);
        shape
    }

    fn add(&mut self, schema: &'a Value, depth: usize) {
        let (Value::Object(node), Some(depth)) = (schema, depth.checked_sub(1)) else { return };
        self.nodes.push(node);
        if let Some(target) = node.get("$ref").and_then(Value::as_str).and_then(|name| self.find(name)) {
            self.add(target, depth);
        }
        for keyword in ["anyOf", "oneOf", "allOf"] {
            for part in node.get(keyword).and_then(Value::as_array).into_iter().flatten() {
                self.add(part, depth);
            }
        }
    }

    fn find(&self, reference: &str) -> Option<&'a Value> {
        self.root.pointer(reference.strip_prefix('#')?)
    }

    fn children(&self, schemas: impl Iterator<Item = &'a Value>) -> Self {
        let mut shape = Self { root: self.root, nodes: Vec::new() };
        schemas.for_each(|schema| shape.add(schema, DEPTH));
        shape
    }

    /// What it says of the value of `key`.
    pub fn property(&self, key: &str) -> Self {
        self.children(self.nodes.iter().filter_map(|node| {
            let own = node.get("properties").and_then(|all| all.get(key));
            own.or_else(|| node.get("additionalProperties")).filter(|schema| schema.is_object())
        }))
    }

    /// What it says of the items of a list.
    pub fn item(&self) -> Self {
        self.children(self.nodes.iter().filter_map(|node| node.get("items")))
    }

    /// What it says of the place that `path` leads to: keys and indexes.
    pub fn follow<S: AsRef<str>>(&self, path: &[S]) -> Self {
        path.iter().fold(self.clone(), |shape, part| {
            let property = shape.property(part.as_ref());
            if property.nodes.is_empty() { shape.item() } else { property }
        })
    }

    /// The keys that it names.
    pub fn keys(&self) -> Vec<&'a str> {
        let mut keys: Vec<&str> = Vec::new();
        for node in &self.nodes {
            let properties = node.get("properties").and_then(Value::as_object);
            keys.extend(properties.into_iter().flat_map(|all| all.keys().map(String::as_str)));
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The types that fit, without `null`; none if it doesn't say.
    pub fn types(&self) -> Vec<&'a str> {
        let mut types: Vec<&str> = Vec::new();
        for node in &self.nodes {
            match node.get("type") {
                Some(Value::String(one)) => types.push(one),
                Some(Value::Array(several)) => types.extend(several.iter().filter_map(Value::as_str)),
                _ => {}
            }
        }
        types.retain(|name| *name != "null");
        types.sort_unstable();
        types.dedup();
        types
    }

    /// The only values that fit, if they are listed.
    pub fn choices(&self) -> Vec<&'a str> {
        let mut choices: Vec<&str> = Vec::new();
        for node in &self.nodes {
            let listed = node.get("enum").and_then(Value::as_array).into_iter().flatten();
            choices.extend(listed.chain(node.get("const")).filter_map(Value::as_str));
        }
        choices
    }

    /// A password or key.
    pub fn is_secret(&self) -> bool {
        self.has_format("secret")
    }

    /// A path of the file system.
    pub fn is_path(&self) -> bool {
        self.has_format("path")
    }

    fn has_format(&self, format: &str) -> bool {
        self.nodes.iter().any(|node| node.get("format").and_then(Value::as_str) == Some(format))
    }

    /// What it is if nobody sets it.
    pub fn default(&self) -> Option<&'a Value> {
        self.nodes.iter().find_map(|node| node.get("default"))
    }

    /// Whether the schema says nothing of this place.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether there can be no keys but those it names.
    pub fn is_closed(&self) -> bool {
        let denies =
            |node: &&Map<String, Value>| node.get("additionalProperties") == Some(&Value::Bool(false));
        self.nodes.iter().any(denies) || self.forgot_to_deny()
    }

    /// Whether it names all keys there can be although it doesn't forbid others: as `deny_unknown_fields` left out by
    /// mistake looks. A typo would be ignored silently then.
    pub fn forgot_to_deny(&self) -> bool {
        const OPENS: [&str; 8] = [
            "additionalProperties",
            "patternProperties",
            "unevaluatedProperties",
            "$ref",
            "anyOf",
            "oneOf",
            "allOf",
            "if",
        ];
        self.nodes.iter().all(|node| OPENS.iter().all(|keyword| !node.contains_key(*keyword)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_shape_follows_references_and_alternatives() {
        let schema = json!({
            "properties": {
                "mode": { "anyOf": [{ "$ref": "#/$defs/Mode" }, { "type": "null" }] },
                "keys": { "type": "array", "items": { "type": "string", "format": "secret" } },
                "env": { "type": "object", "additionalProperties": { "type": "integer" } }
            },
            "$defs": { "Mode": { "oneOf": [{ "const": "fast" }, { "type": "string", "enum": ["slow"] }] } }
        });
        let shape = Shape::of(&schema);
        assert_eq!(shape.property("mode").choices(), ["fast", "slow"]);
        assert_eq!(shape.property("mode").types(), ["string"]);
        assert!(shape.follow(&["keys", "3"]).is_secret());
        assert_eq!(shape.follow(&["env", "ANY"]).types(), ["integer"]);
        assert!(shape.property("gone").types().is_empty());
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let schema = json!({ "$ref": "#" });
        assert!(Shape::of(&schema).keys().is_empty());
    }
}
