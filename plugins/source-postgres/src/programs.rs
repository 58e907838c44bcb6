//! Which of the installed PostgreSQL programs to run: the one that fits the server, or the archive.
//!
//! `pg_dump` refuses servers that are newer than itself, and what a much newer one writes an old server can't load. So the
//! oldest that is new enough is taken. Nothing here connects to a server.

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};

use windlass_plugin_api::{Context, Error, ErrorKind, Result};
use windlass_tool::{Tool, Version, shell};

use crate::options::Options;
use crate::words::list;

/// A program of the PostgreSQL client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// Writes a database.
    Dump,
    /// Writes roles and tablespaces.
    DumpAll,
    /// Reads archives.
    Restore,
    /// Runs SQL.
    Psql,
}

impl Program {
    /// Its file's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dump => "pg_dump",
            Self::DumpAll => "pg_dumpall",
            Self::Restore => "pg_restore",
            Self::Psql => "psql",
        }
    }
}

/// Whether programs are called for a backup or for a restore: each has its own wrapper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// `dump_command`.
    Backup,
    /// `restore_command`.
    Restore,
}

/// A program that was found, or the wrapper that reaches it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The file, or the wrapper's command line.
    pub place: String,
    /// What it says of itself.
    pub version: Version,
    command: Vec<String>,
    /// Arguments go through a shell on the other side.
    shell: bool,
}

impl Found {
    /// It with `args`. The caller adds how to log in.
    pub(crate) fn tool(&self, options: &Options, args: &[String]) -> Tool {
        let quoted = |arg: &String| if self.shell { shell::word(arg) } else { arg.clone() };
        let (program, first) =
            self.command.split_first().map_or(("", &[][..]), |(p, rest)| (p.as_str(), rest));
        // Its messages are read for the kind of a failure.
        let mut tool = Tool::new(program).args(first).args(args.iter().map(quoted)).env("LC_ALL", "C");
        for (name, value) in &options.env {
            tool = tool.env(name, value);
        }
        tool
    }

    /// The first number of its version.
    pub(crate) fn major(&self) -> u64 {
        self.version.major()
    }

    /// Whether a `psql` knows `\restrict`, which forbids a script all its commands.
    pub(crate) fn restricts(&self) -> bool {
        let minor = self.version.numbers.get(1).copied().unwrap_or(0);
        match self.major() {
            0..=12 => false,
            13 => minor >= 22,
            14 => minor >= 19,
            15 => minor >= 14,
            16 => minor >= 10,
            17 => minor >= 6,
            _ => true,
        }
    }
}

/// The script that Debian puts into `PATH` before the programs of all versions.
const DEBIANS_FRONT: &str = "pg_wrapper";

/// Every installed `program`, or the one that the wrapper of `side` reaches.
pub(crate) fn find(cx: &Context, options: &Options, side: Side, program: Program) -> Result<Vec<Found>> {
    let wrapper = match side {
        Side::Backup => &options.dump_command,
        Side::Restore => &options.restore_command,
    };
    if !wrapper.is_empty() {
        return Ok(vec![reached(cx, options, wrapper, program)?]);
    }
    let (mut found, mut broken) = (Vec::new(), None);
    for path in installed(options, program) {
        let mut one = Found {
            place: path.display().to_string(),
            version: Version { numbers: Vec::new(), line: String::new() },
            command: vec![path.display().to_string()],
            shell: false,
        };
        match one.tool(options, &[]).version(cx, "--version") {
            Ok(version) => {
                one.version = version;
                found.push(one);
            }
            Err(error) => broken = broken.or(Some(error)),
        }
    }
    if found.is_empty() {
        return Err(broken.unwrap_or_else(|| missing(options, program)));
    }
    Ok(found)
}

/// The files that may be `program`, each once.
fn installed(options: &Options, program: Program) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let (mut fronts, mut files) = (Vec::new(), Vec::new());
    for folder in folders(options) {
        // `/bin` may be `/usr/bin`.
        let path = folder.canonicalize().unwrap_or(folder).join(program.name());
        let Ok(real) = path.canonicalize() else { continue };
        if !real.is_file() || !seen.insert(path.clone()) {
            continue;
        }
        let is_front = real.file_name().is_some_and(|name| name == DEBIANS_FRONT);
        if is_front { fronts.push(path) } else { files.push(path) }
    }
    // It chooses among local servers, and is asked only where that is left open: it takes a tenth of a second each time.
    let is_open = options.url.is_none()
        && options.host.is_none()
        && options.port.is_none()
        && options.service.is_none();
    if is_open || files.is_empty() {
        fronts.extend(files);
        return fronts;
    }
    files
}

/// The `program` that stands beside the one that `wrapper` names.
fn reached(cx: &Context, options: &Options, wrapper: &[String], program: Program) -> Result<Found> {
    let mut command = wrapper.to_vec();
    if let Some(last) = command.last_mut() {
        let folder = last.rfind('/').map_or("", |slash| &last[..=slash]);
        *last = format!("{folder}{}", program.name());
    }
    let is_remote = shell::is_remote(&command);
    let mut found = Found {
        place: command.join(" "),
        version: Version { numbers: Vec::new(), line: String::new() },
        command,
        shell: is_remote,
    };
    let (outcome, answer) = found
        .tool(options, &["--version".to_owned()])
        .time_limit(options.patience())
        .output(cx)
        .map_err(|error| error.during(format!("can't run `{}` to ask its version", found.place)))?;
    let text = String::from_utf8_lossy(&answer).into_owned() + &outcome.stderr;
    found.version = Version::parse(&text)
        .ok_or_else(|| Error::failed(format!("`{} --version` names no version", found.place)))?;
    Ok(found)
}

/// Where to look: the options' folders, `PATH`, and where packages put several versions side by side.
fn folders(options: &Options) -> Vec<PathBuf> {
    let path = options.env.get("PATH").map(Into::into).or_else(|| env::var_os("PATH")).unwrap_or_default();
    let mut folders = options.bin_dirs.clone();
    folders.extend(env::split_paths(&path).filter(|folder| folder.is_absolute()));
    let mut versioned: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr"]
        .iter()
        .filter_map(|parent| Path::new(parent).read_dir().ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| {
            path.parent() != Some(Path::new("/usr"))
                || path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pgsql-"))
        })
        .map(|path| path.join("bin"))
        .collect();
    versioned.sort();
    folders.extend(versioned);
    folders
}

fn missing(options: &Options, program: Program) -> Error {
    let folders: Vec<String> = folders(options).iter().map(|folder| folder.display().to_string()).collect();
    Error::new(ErrorKind::NotFound, format!("no program `{}`", program.name())).hint(format!(
        "Searched {}: install PostgreSQL's client programs, or name their folder in `bin_dirs`.",
        list(&folders)
    ))
}

/// The oldest of `found` whose version is at least `major`; `why` says who asks for it.
pub(crate) fn at_least(found: Vec<Found>, program: Program, major: u64, why: &str) -> Result<Found> {
    let there: Vec<String> = found.iter().map(|one| format!("{} ({})", one.place, one.version)).collect();
    let fits = found.into_iter().filter(|one| one.major() >= major);
    // Of one version the newest minor; the first where they are equal.
    fits.min_by_key(|one| (one.major(), std::cmp::Reverse(one.version.numbers.clone()))).ok_or_else(|| {
        let name = program.name();
        Error::new(ErrorKind::Unsupported, format!("no `{name}` of version {major} or later, which {why} needs"))
            .detail("found", there.clone())
            .hint(format!(
                "Found {}: install the package `postgresql-client-{major}`, or name the folder of a newer `{name}` in `bin_dirs`.",
                list(&there)
            ))
    })
}

/// The newest of `found`.
pub(crate) fn newest(found: Vec<Found>) -> Option<Found> {
    // The first among equals, as in `PATH`.
    found.into_iter().rev().max_by(|one, other| one.version.numbers.cmp(&other.version.numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: &str) -> Found {
        let version = Version::parse(version).unwrap();
        Found { place: format!("/opt/{version}"), version, command: Vec::new(), shell: false }
    }

    #[test]
    fn the_oldest_that_is_new_enough_is_taken() {
        let all = || vec![found("18.1"), found("15.4"), found("17.2"), found("17.6")];
        let chosen =
            |major| at_least(all(), Program::Dump, major, "the server").map(|one| one.version.to_string());
        assert_eq!((chosen(15).unwrap(), chosen(16).unwrap()), ("15.4".into(), "17.6".into()));
        let error = chosen(19).unwrap_err();
        assert!(error.to_string().contains("no `pg_dump` of version 19 or later, which the server needs"));
        assert!(error.hint.unwrap().contains("postgresql-client-19"));
        assert_eq!(newest(all()).unwrap().version.to_string(), "18.1");
    }

    #[test]
    fn the_front_of_debian_is_asked_only_where_it_is_to_choose_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        std::fs::write(folder.join(DEBIANS_FRONT), "").unwrap();
        std::os::unix::fs::symlink(folder.join(DEBIANS_FRONT), folder.join("psql")).unwrap();
        let real = folder.join("15");
        std::fs::create_dir(&real).unwrap();
        std::fs::write(real.join("psql"), "").unwrap();
        let mut options = Options { bin_dirs: vec![folder.clone(), real.clone()], ..Options::default() };
        options.env.insert("PATH".to_owned(), String::new());
        assert_eq!(installed(&options, Program::Psql)[0], folder.join("psql"));
        options.host = Some("db.example".to_owned());
        assert_eq!(installed(&options, Program::Psql)[0], real.join("psql"));
        options.bin_dirs.push(real);
        assert!(!installed(&options, Program::Psql).contains(&folder.join("psql")));
    }

    #[test]
    fn only_a_psql_that_knows_restrict_is_taken_for_one() {
        for (version, knows) in [
            ("13.21", false),
            ("15.13", false),
            ("15.14", true),
            ("16.9", false),
            ("17.6", true),
            ("18.0", true),
        ] {
            assert_eq!(found(version).restricts(), knows, "{version}");
        }
    }
}
