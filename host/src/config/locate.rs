//! Which config is meant: `-c FILE`, a variable of the environment, or the first file that exists at a known place.
//!
//! Only decides; reading is [`super::Config::parse`]'s.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::problem::Problem;

/// Looks up a variable.
pub type Variables = Box<dyn Fn(&str) -> Option<OsString> + Send + Sync>;

/// What of the process's surroundings a config depends on. Made once, so that tests can stand elsewhere.
pub struct Environment {
    /// The value of a variable.
    pub var: Variables,
    /// The current folder.
    pub folder: PathBuf,
    /// Where the system's config lies: `/etc`.
    pub system: PathBuf,
}

impl Environment {
    /// This process's. Where even the current folder is gone, relative paths are left as they are.
    pub fn of_process() -> Self {
        Self {
            var: Box::new(|name| std::env::var_os(name)),
            folder: std::env::current_dir().unwrap_or_default(),
            system: "/etc".into(),
        }
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<OsString> {
        (self.var)(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Where config text is.
#[derive(Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// On standard input.
    Stdin,
    /// It is the text of `WINDLASS_CONFIG_TOML`.
    Text(String),
}

/// The text may hold secrets, so it isn't shown.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Stdin => f.write_str("Stdin"),
            Self::Text(_) => f.write_str("Text(…)"),
        }
    }
}

/// Finds the config. In this order: `explicit` (`-c`), `WINDLASS_CONFIG` (in both `-` is standard input),
/// `WINDLASS_CONFIG_TOML`, `./windlass.toml`, `$XDG_CONFIG_HOME/windlass/windlass.toml` (else under `~/.config`, if there
/// is a home), `/etc/windlass/windlass.toml`. None: there is no config, everything is told by URL.
///
/// A file that is named but missing is an error; one that exists but can't be read becomes one when it is read, never
/// a reason to search on.
pub fn locate(explicit: Option<&Path>, env: &Environment) -> Result<Option<Place>, Problem> {
    if let Some(path) = explicit {
        return named(path, env, "-c").map(Some);
    }
    if let Some(path) = env.get("WINDLASS_CONFIG") {
        return named(Path::new(&path), env, "WINDLASS_CONFIG").map(Some);
    }
    if let Some(text) = env.get("WINDLASS_CONFIG_TOML") {
        let text = text.into_string();
        return match text {
            Ok(text) => Ok(Some(Place::Text(text))),
            Err(_) => Err(Problem::new("`WINDLASS_CONFIG_TOML` isn't UTF-8")),
        };
    }
    // Shown as the user would write it, so `windlass.toml` and not `/home/…/windlass.toml`.
    if exists(&env.folder.join(FILE)) {
        return Ok(Some(Place::File(FILE.into())));
    }
    let found = [user_folder(env), Some(env.system.clone())]
        .into_iter()
        .flatten()
        .map(|folder| folder.join("windlass").join(FILE))
        .find(|path| exists(path));
    Ok(found.map(Place::File))
}

/// What the file is called in each of the places.
pub const FILE: &str = "windlass.toml";

fn named(path: &Path, env: &Environment, by: &str) -> Result<Place, Problem> {
    if path == Path::new("-") {
        return Ok(Place::Stdin);
    }
    match env.folder.join(path).metadata() {
        Ok(_) => Ok(Place::File(path.to_owned())),
        Err(error) => {
            Err(Problem::new(format!("can't open the config that `{by}` names: {error}")).in_file(path))
        }
    }
}

/// The XDG config folder. A relative `XDG_CONFIG_HOME` is to be ignored, says the XDG specification.
fn user_folder(env: &Environment) -> Option<PathBuf> {
    let absolute = |name| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))
}

/// A place that we may not even look into (another user's home under sudo) has no config for us.
fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    struct Fixture {
        root: tempfile::TempDir,
        vars: HashMap<String, OsString>,
    }

    impl Fixture {
        fn new() -> Self {
            Self { root: tempfile::tempdir().unwrap(), vars: HashMap::new() }
        }

        fn file(&self, path: &str) -> PathBuf {
            let path = self.root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "").unwrap();
            path
        }

        fn var(&mut self, name: &str, value: impl Into<OsString>) {
            self.vars.insert(name.into(), value.into());
        }

        fn locate(&self, explicit: Option<&str>) -> Result<Option<Place>, Problem> {
            let vars = self.vars.clone();
            let env = Environment {
                var: Box::new(move |name| vars.get(name).cloned()),
                folder: self.root.path().join("here"),
                system: self.root.path().join("etc"),
            };
            locate(explicit.map(Path::new), &env)
        }
    }

    #[test]
    fn each_place_gives_way_to_the_one_before() {
        let mut at = Fixture::new();
        assert_eq!(at.locate(None).unwrap(), None);
        let system = at.file("etc/windlass/windlass.toml");
        assert_eq!(at.locate(None).unwrap(), Some(Place::File(system)));
        let home = at.file("home/.config/windlass/windlass.toml");
        at.var("HOME", at.root.path().join("home"));
        assert_eq!(at.locate(None).unwrap(), Some(Place::File(home)));
        let xdg = at.file("xdg/windlass/windlass.toml");
        at.var("XDG_CONFIG_HOME", at.root.path().join("xdg"));
        assert_eq!(at.locate(None).unwrap(), Some(Place::File(xdg)));
        at.file("here/windlass.toml");
        assert_eq!(at.locate(None).unwrap(), Some(Place::File("windlass.toml".into())));
        at.var("WINDLASS_CONFIG_TOML", "host = 'a'");
        assert_eq!(at.locate(None).unwrap(), Some(Place::Text("host = 'a'".into())));
        at.file("here/other.toml");
        at.var("WINDLASS_CONFIG", "other.toml");
        assert_eq!(at.locate(None).unwrap(), Some(Place::File("other.toml".into())));
        assert_eq!(at.locate(Some("-")).unwrap(), Some(Place::Stdin));
    }

    #[test]
    fn a_named_config_that_is_missing_is_an_error_even_if_another_exists() {
        let mut at = Fixture::new();
        at.file("here/windlass.toml");
        assert!(at.locate(Some("gone.toml")).unwrap_err().to_string().starts_with("gone.toml: can't open"));
        at.var("WINDLASS_CONFIG", "gone.toml");
        assert!(at.locate(None).unwrap_err().message.contains("WINDLASS_CONFIG"));
    }

    #[test]
    fn an_empty_variable_is_as_good_as_none() {
        let mut at = Fixture::new();
        at.var("WINDLASS_CONFIG", "");
        at.var("HOME", "");
        assert_eq!(at.locate(None).unwrap(), None);
    }
}
