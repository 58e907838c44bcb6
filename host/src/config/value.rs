//! Values that know where they were written: what a config file is read into before anyone asks what it means.
//!
//! TOML's own types end here. Numbers are JSON numbers, because a plugin gets its options as a JSON document; a date
//! becomes the string that it was written as.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Number;

use super::url::redact_url;

/// A file (or stdin, or a variable) that config text was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFile {
    /// As the user would name it: `windlass.toml`, `<stdin>`, `WINDLASS_CONFIG_TOML`.
    pub name: PathBuf,
    /// What relative paths in it are relative to: the folder of the main config, also for included files.
    pub folder: PathBuf,
    /// Users other than the owner can read it.
    pub exposed: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Origin {
    /// A place in a config file; line and column count from 1.
    File {
        /// Which one.
        file: Arc<TextFile>,
        /// Line.
        line: u32,
        /// Column, in characters.
        column: u32,
    },
    /// An argument.
    CommandLine,
    /// A variable of the environment.
    Environment(String),
    /// Nobody said anything else.
    #[default]
    Default,
}

impl Origin {
    /// The file, if it is one.
    pub fn file(&self) -> Option<&Arc<TextFile>> {
        match self {
            Self::File { file, .. } => Some(file),
            _ => None,
        }
    }

    /// What a relative path that stands here is relative to; none: the current folder.
    pub fn folder(&self) -> Option<&PathBuf> {
        self.file().map(|file| &file.folder)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line, .. } => write!(f, "{}:{line}", file.name.display()),
            Self::CommandLine => f.write_str("command line"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value and where it comes from.
#[derive(Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it was given.
    pub origin: Origin,
}

impl<T> Located<T> {
    /// `value` from `origin`.
    pub fn new(value: T, origin: Origin) -> Self {
        Self { value, origin }
    }

    /// `value`, given as an argument.
    pub fn from_command_line(value: T) -> Self {
        Self::new(value, Origin::CommandLine)
    }

    /// The same place with another value.
    pub fn with<U>(&self, value: U) -> Located<U> {
        Located::new(value, self.origin.clone())
    }
}

/// The value may be a URL with a password in it.
impl<T: fmt::Debug> fmt::Debug for Located<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", redact_url(&format!("{:?}", self.value)), self.origin)
    }
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// A value of a config, with the places of everything in it.
pub type Node = Located<Data>;

/// What a value can be.
#[derive(Clone, PartialEq, Eq)]
pub enum Data {
    /// Text.
    String(String),
    /// An integer, or a finite float.
    Number(Number),
    /// True or false.
    Bool(bool),
    /// A list.
    Array(Vec<Node>),
    /// Keys and values.
    Table(Table),
}

/// Any text may be a secret, as long as no schema was asked.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(_) => f.write_str("\"…\""),
            Self::Number(number) => number.fmt(f),
            Self::Bool(yes) => yes.fmt(f),
            Self::Array(items) => items.fmt(f),
            Self::Table(table) => table.0.fmt(f),
        }
    }
}

impl Data {
    /// As a user would call it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Number(number) if number.is_f64() => "number",
            Self::Number(_) => "integer",
            Self::Bool(_) => "boolean",
            Self::Array(_) => "array",
            Self::Table(_) => "table",
        }
    }

    /// The text, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The table, if it is one.
    pub fn as_table(&self) -> Option<&Table> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// Without the places.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::String(text) => text.as_str().into(),
            Self::Number(number) => number.clone().into(),
            Self::Bool(yes) => (*yes).into(),
            Self::Array(items) => items.iter().map(|item| item.to_json()).collect(),
            Self::Table(table) => {
                table.iter().map(|(key, field)| (key.clone(), field.value.to_json())).collect()
            }
        }
    }
}

/// Keys and values, each with its place.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Table(pub BTreeMap<String, Field>);

/// A key's place and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where the key stands.
    pub key: Origin,
    /// What it is set to.
    pub value: Node,
}

impl Table {
    /// Sets `key`, at the value's own place.
    pub fn set(&mut self, key: &str, value: Node) {
        self.0.insert(key.to_owned(), Field { key: value.origin.clone(), value });
    }
}

impl Deref for Table {
    type Target = BTreeMap<String, Field>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Where a key path such as `["recipients", "0"]` leads in a table: the place of the deepest part that exists.
pub fn origin_of<'a, S: AsRef<str>>(table: &'a Table, path: &[S]) -> Option<&'a Origin> {
    let (first, mut rest) = path.split_first()?;
    let field = table.get(first.as_ref())?;
    // The whole option is best shown at its key, something inside of it at itself.
    let mut origin = &field.key;
    let mut data = &field.value.value;
    while let Some((next, further)) = rest.split_first() {
        let next = next.as_ref();
        match data {
            Data::Table(table) => match table.get(next) {
                Some(field) => (origin, data) = (&field.key, &field.value.value),
                None => break,
            },
            Data::Array(items) => match next.parse::<usize>().ok().and_then(|index| items.get(index)) {
                Some(item) => (origin, data) = (&item.origin, &item.value),
                None => break,
            },
            _ => break,
        }
        rest = further;
    }
    Some(origin)
}
