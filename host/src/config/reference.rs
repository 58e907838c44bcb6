//! Values that stand elsewhere: `{ env = "X", default = … }`, `{ file = "…" }`, `{ command = […] }`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use windlass_plugin_api::{Error, ErrorKind};

use super::command::{self, MAX_BYTES};
use super::locate::Environment;
use super::problem::Problem;
use super::shape::Shape;
use super::value::{Data, Node, Origin, Table};

/// Keys that make a table a reference.
const HOW: [&str; 3] = ["env", "file", "command"];

/// Where to look, and what to take if nothing is there.
#[derive(Clone)]
pub(super) struct Reference {
    pub how: How,
    pub default: Option<Node>,
}

/// Where the value is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum How {
    Env(String),
    File(PathBuf),
    Command { argv: Vec<String>, folder: PathBuf },
}

/// Whether `table` is meant as a reference: it has one of the keys, and `shape` has no use for a table with such a key.
/// (The `env` of a plugin may well be a table of variables, one of which is called `file`.)
pub(super) fn is_reference(table: &Table, shape: &Shape<'_>) -> bool {
    let key = HOW.iter().find(|key| table.contains_key(**key));
    key.is_some_and(|key| {
        let declared = shape.property(key);
        shape.keys().iter().all(|known| known != key) && declared.types().is_empty()
    })
}

impl Reference {
    /// Reads the table; `here` is the current folder, for what stands in no file. The problems have no key yet.
    pub fn read(table: &Table, origin: &Origin, here: &Path) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        for (key, field) in table.iter().filter(|(key, _)| !HOW.contains(&key.as_str()) && *key != "default")
        {
            let problem = Problem::new(format!("unknown key `{key}` beside `env`, `file` or `command`"));
            problems.push(problem.at(&field.key).suggest(key, ["env", "file", "command", "default"]));
        }
        if HOW.iter().filter(|key| table.contains_key(**key)).count() > 1 {
            problems.push(
                Problem::new("only one of `env`, `file` and `command` can say where the value is").at(origin),
            );
        }
        let folder = origin.folder().map_or(here, PathBuf::as_path);
        let how = HOW.iter().find_map(|key| Some((key, table.get(*key)?)));
        let how = how.and_then(|(key, field)| {
            let how = How::read(key, &field.value, folder);
            if how.is_none() {
                let wanted =
                    if *key == "command" { "an array of strings, the program first" } else { "a string" };
                problems.push(Problem::new(format!("`{key}` must be {wanted}")).at(&field.value.origin));
            }
            how
        });
        let default = table.get("default").map(|field| field.value.clone());
        if let (Some(default), Some(How::Command { .. })) = (&default, &how) {
            problems.push(Problem::new("a command has no default: it works or fails").at(&default.origin));
        }
        match how {
            Some(how) if problems.is_empty() => Ok(Self { how, default }),
            _ => Err(problems),
        }
    }
}

impl How {
    fn read(key: &str, node: &Node, folder: &Path) -> Option<Self> {
        match (key, &node.value) {
            ("env", Data::String(name)) if !name.is_empty() => Some(Self::Env(name.clone())),
            ("file", Data::String(path)) if !path.is_empty() => Some(Self::File(folder.join(path))),
            ("command", Data::Array(items)) => {
                let argv: Vec<String> =
                    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect();
                let whole =
                    argv.len() == items.len() && argv.first().is_some_and(|program| !program.is_empty());
                whole.then(|| Self::Command { argv, folder: folder.to_owned() })
            }
            _ => None,
        }
    }

    /// The value as it is now; none if the variable isn't set or the file doesn't exist.
    pub fn get(&self, env: &Environment, limit: Duration) -> Result<Option<String>, Error> {
        let bytes = match self {
            Self::Env(name) => match (env.var)(name) {
                Some(value) => value.into_encoded_bytes(),
                None => return Ok(None),
            },
            Self::File(path) => match read(path) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(config(format!("can't read `{}`: {error}", path.display()))),
            },
            Self::Command { argv, folder } => command::output(argv, folder, limit)?,
        };
        let mut text =
            String::from_utf8(bytes).map_err(|_| config(format!("{} isn't UTF-8", self.name())))?;
        if text.contains('\0') {
            return Err(config(format!("{} holds a zero byte", self.name())));
        }
        if !matches!(self, Self::Env(_)) && text.ends_with('\n') {
            text.truncate(text.len() - if text.ends_with("\r\n") { 2 } else { 1 });
        }
        Ok(Some(text))
    }

    /// What to say if [`get`](Self::get) found nothing.
    pub fn missing(&self) -> Error {
        match self {
            Self::Env(name) => config(format!("the environment variable `{name}` is not set")),
            Self::File(path) => config(format!("there is no file `{}`", path.display())),
            Self::Command { argv, .. } => config(format!("`{}` gave nothing", argv[0])),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Env(name) => format!("the environment variable `{name}`"),
            Self::File(path) => format!("the file `{}`", path.display()),
            Self::Command { argv, .. } => format!("the output of `{}`", argv[0]),
        }
    }
}

fn config(message: String) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(bytes)
}
