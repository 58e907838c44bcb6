//! Reads the keys of one table: each getter takes a key if it is there, tells what is wrong with it, and goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

use super::problem::{Problem, Problems};
use super::value::{Data, Field, Located, Origin, Table};

/// One table while it is read.
pub(super) struct Fields<'a, 'p> {
    /// The keys.
    pub table: &'a Table,
    /// Their dotted path, empty at the top.
    pub path: String,
    /// Where the table stands.
    pub origin: Origin,
    /// What was found.
    pub problems: &'p mut Problems,
}

impl<'a> Fields<'a, '_> {
    /// `key` as a dotted path.
    pub fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Every key that isn't one of `known` is an error.
    pub fn deny_unknown(&mut self, known: &[&str]) {
        for (key, field) in self.table.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
            let problem = Problem::new("unknown key").at(&field.key).key(self.path_of(key));
            self.problems.push(problem.suggest(key, known.iter().copied()));
        }
    }

    /// A problem of the table as a whole.
    pub fn problem_here(&mut self, message: &str, hint: &str) {
        self.problems.push(Problem::new(message).at(&self.origin).key(&self.path).hint(hint));
    }

    /// A problem with the value of `key`.
    pub fn problem(&mut self, key: &str, origin: &Origin, message: impl Into<String>) {
        self.problems.push(Problem::new(message).at(origin).key(self.path_of(key)));
    }

    fn wrong_type(&mut self, key: &str, field: &Field, wanted: &str) {
        let message = format!("expected {wanted}, found {}", a(field.value.type_name()));
        self.problem(key, &field.value.origin, message);
    }

    /// A string.
    pub fn string(&mut self, key: &str) -> Option<Located<String>> {
        let field = self.table.get(key)?;
        match &field.value.value {
            Data::String(text) => Some(field.value.with(text.clone())),
            _ => {
                self.wrong_type(key, field, "a string");
                None
            }
        }
    }

    /// A string that `parse` understands.
    pub fn parsed<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let text = self.string(key)?;
        match parse(&text.value) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(key, &text.origin, message);
                None
            }
        }
    }

    /// Yes or no.
    pub fn flag(&mut self, key: &str) -> Option<bool> {
        let field = self.table.get(key)?;
        let Data::Bool(flag) = &field.value.value else {
            self.wrong_type(key, field, "a boolean");
            return None;
        };
        Some(*flag)
    }

    /// A whole number from 0.
    pub fn count(&mut self, key: &str) -> Option<u32> {
        let field = self.table.get(key)?;
        let Data::Number(number) = &field.value.value else {
            self.wrong_type(key, field, "a whole number");
            return None;
        };
        let count = number.as_u64().and_then(|number| u32::try_from(number).ok());
        if count.is_none() {
            self.problem(
                key,
                &field.value.origin,
                format!("`{number}` is not a whole number from 0 to {}", u32::MAX),
            );
        }
        count
    }

    /// A positive length of time: `30m`, `2h`, `1d` (always 24 hours).
    pub fn duration(&mut self, key: &str) -> Option<Duration> {
        if let Some(Data::Number(number)) = self.table.get(key).map(|field| &field.value.value) {
            let message =
                format!("a length of time needs a unit, such as `\"{number}s\"` or `\"{number}m\"`");
            self.problem(key, &self.table[key].value.origin, message);
            return None;
        }
        self.parsed(key, parse_duration)
    }

    /// A string or a list of strings.
    pub fn strings(&mut self, key: &str) -> Vec<Located<String>> {
        let Some(field) = self.table.get(key) else { return Vec::new() };
        let items = match &field.value.value {
            Data::String(_) => std::slice::from_ref(&field.value),
            Data::Array(items) => items.as_slice(),
            _ => {
                self.wrong_type(key, field, "a string or an array of strings");
                return Vec::new();
            }
        };
        let mut strings = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match &item.value {
                Data::String(text) => strings.push(item.with(text.clone())),
                other => {
                    let message = format!("expected a string, found {}", a(other.type_name()));
                    self.problem(&format!("{key}[{index}]"), &item.origin, message);
                }
            }
        }
        strings
    }

    /// A table.
    pub fn table(&mut self, key: &str) -> Option<Fields<'a, '_>> {
        let field = self.table.get(key)?;
        match &field.value.value {
            Data::Table(table) => Some(Fields {
                table,
                path: self.path_of(key),
                origin: field.key.clone(),
                problems: &mut *self.problems,
            }),
            _ => {
                self.wrong_type(key, field, "a table");
                None
            }
        }
    }

    /// A table of strings.
    pub fn labels(&mut self, key: &str) -> BTreeMap<String, String> {
        let Some(mut fields) = self.table(key) else { return BTreeMap::new() };
        let mut labels = BTreeMap::new();
        for (name, field) in fields.table.iter() {
            if !is_label(name) {
                fields.problem(name, &field.key, format!("the tag `{name}` must match `{LABEL}`"));
            }
            if let Some(value) = fields.string(name) {
                if value.chars().any(char::is_control) {
                    fields.problem(name, &value.origin, "a tag's value must be one line of text");
                }
                labels.insert(name.clone(), value.value);
            }
        }
        labels
    }
}

/// What host names and tags match, as text.
pub const LABEL: &str = "[A-Za-z0-9._-]{1,63}";

/// Whether `text` can be a host label or a tag.
pub fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        // Host labels become folders on a storage.
        && !text.bytes().all(|byte| byte == b'.')
}

/// What sources, storages and pipelines are called, as text.
pub const NAME: &str = "[a-z0-9][a-z0-9-]{0,62}";

/// Whether `text` can be the name of a source, a storage or a pipeline.
pub fn is_name(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// `30m`, `2h 15m`, `1d` (24 hours); positive. The error can follow the name of what it was given for.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = |_| format!("`{text}` is not a length of time; write it as `30m`, `2h` or `1d`");
    let span: Span = text.parse().map_err(wrong)?;
    let length: SignedDuration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    match Duration::try_from(length) {
        Ok(length) if !length.is_zero() => Ok(length),
        _ => Err(format!("`{text}` must be more than nothing")),
    }
}

/// `path.key`, quoted where TOML would need it.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-[]".contains(&byte);
    let key = if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { format!("{key:?}") };
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// With its article.
pub(super) fn a(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_need_a_unit_and_are_positive() {
        assert_eq!(parse_duration("2h 15m").unwrap(), Duration::from_secs(8100));
        assert_eq!(parse_duration("1d").unwrap(), Duration::from_secs(86400));
        assert_eq!(parse_duration("PT30M").unwrap(), Duration::from_secs(1800));
        for text in ["", "5", "0s", "-3h", "1mo", "soon"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_and_labels_follow_their_rules() {
        assert!(is_name("shop-2") && is_name("0") && is_name(&"a".repeat(63)));
        for name in ["", "-a", "Shop", "a_b", "a.b", "ä", "a b"] {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"a".repeat(64)));
        assert!(is_label("Web1.example_x-1"));
        assert!(!is_label("") && !is_label("a/b") && !is_label("..") && !is_label(&"a".repeat(64)));
    }
}
