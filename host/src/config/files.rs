//! Reads the config's text: the file itself, stdin or a variable, and what its `include` lists name.
//!
//! Syntax only; what the tables mean is [`super::read`]'s.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fields::Fields;
use super::locate::Place;
use super::problem::{Problem, Problems};
use super::value::{Located, Origin, Table, TextFile};

/// One parsed file.
pub(super) struct Document {
    pub file: Arc<TextFile>,
    pub table: Table,
}

/// Everything that belongs to one config.
#[derive(Default)]
pub(super) struct Documents {
    /// The main one first, each included one after the one that includes it.
    pub all: Vec<Document>,
    /// Files read, absolute.
    pub paths: Vec<PathBuf>,
    /// A part couldn't be read, so what seems to be undefined may well be defined there.
    pub incomplete: bool,
    /// What relative paths in all of them are relative to.
    folder: PathBuf,
    /// Files that are being read right now, canonical: for cycles.
    open: Vec<PathBuf>,
    /// Files that have been read, canonical: one that two others include is read once.
    done: Vec<PathBuf>,
}

/// Config files are small; anything larger is a mistake such as `-c backup.tar`.
const MAX_BYTES: u64 = 16 << 20;

/// Reads `place` and what it includes. `folder` is the current one.
pub(super) fn read(place: &Place, folder: &Path, problems: &mut Problems) -> Documents {
    let mut documents = Documents { folder: folder.to_owned(), ..Documents::default() };
    match place {
        Place::File(path) => {
            let full = folder.join(path);
            // A pipe (`-c <(sops -d windlass.toml)`) lies in no folder that means anything.
            if let (true, Some(parent)) = (full.is_file(), full.parent()) {
                documents.folder = parent.to_owned();
            }
            documents.file(path, &full, None, problems);
        }
        Place::Stdin => {
            let text = bounded(io::stdin().lock());
            documents.text(Path::new("<stdin>"), text, problems);
        }
        Place::Text(text) => documents.text(Path::new("WINDLASS_CONFIG_TOML"), Ok(text.clone()), problems),
    }
    documents
}

impl Documents {
    fn text(&mut self, name: &Path, text: Result<String, String>, problems: &mut Problems) {
        let folder = self.folder.clone();
        let file = Arc::new(TextFile { name: name.to_owned(), folder: folder.clone(), exposed: false });
        self.add(&file, text, &folder, problems);
    }

    /// Reads the file `name`, which lies at `path`; `by` is the place of the include that named it.
    fn file(&mut self, name: &Path, path: &Path, by: Option<&Located<String>>, problems: &mut Problems) {
        let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let (true, Some(by)) = (self.open.contains(&canonical), by) {
            let message = format!("`{}` includes itself", name.display());
            problems.push(Problem::new(message).at(&by.origin).key("include"));
            return;
        }
        if self.done.contains(&canonical) {
            return;
        }
        let (text, exposed) = match open(path) {
            Ok((file, exposed)) => (bounded(file), exposed),
            Err(error) => (Err(error), false),
        };
        let file = Arc::new(TextFile { name: name.to_owned(), folder: self.folder.clone(), exposed });
        self.paths.push(path.to_owned());
        self.open.push(canonical);
        self.add(&file, text, path.parent().unwrap_or(Path::new("")), problems);
        self.done.extend(self.open.pop());
    }

    fn add(
        &mut self,
        file: &Arc<TextFile>,
        text: Result<String, String>,
        folder: &Path,
        problems: &mut Problems,
    ) {
        let table = match text {
            Ok(text) => super::text::parse(file, &text, problems),
            Err(message) => {
                problems.push(Problem::new(message).in_file(&file.name));
                None
            }
        };
        let Some(table) = table else {
            self.incomplete = true;
            return;
        };
        let includes = Fields { table: &table, path: String::new(), origin: Origin::Default, problems }
            .strings("include");
        self.all.push(Document { file: file.clone(), table });
        for include in includes {
            self.include(file, &include, folder, problems);
        }
    }

    /// `pattern` is relative to the folder of the file it stands in; what it matches is read in the order of names.
    fn include(
        &mut self,
        file: &TextFile,
        pattern: &Located<String>,
        folder: &Path,
        problems: &mut Problems,
    ) {
        let tell = |message: String| Problem::new(message).at(&pattern.origin).key("include");
        let full = Path::new(&glob::Pattern::escape(&folder.to_string_lossy())).join(&pattern.value);
        // An editor's `.#shop.toml` is nobody's config.
        let options = glob::MatchOptions { require_literal_leading_dot: true, ..Default::default() };
        let paths = match glob::glob_with(&full.to_string_lossy(), options) {
            Ok(paths) => paths,
            Err(error) => return problems.push(tell(format!("`{}`: {}", pattern.value, error.msg))),
        };
        let mut any = false;
        for path in paths {
            any = true;
            match path {
                Ok(path) => {
                    let name = shown(&path, folder, &file.name);
                    self.file(&name, &path, Some(pattern), problems);
                }
                Err(error) => {
                    self.incomplete = true;
                    problems.push(tell(format!(
                        "can't read `{}`: {}",
                        error.path().display(),
                        error.error()
                    )));
                }
            }
        }
        if !any && !pattern.contains(['*', '?', '[']) {
            self.incomplete = true;
            problems.push(tell(format!("there is no file `{}`", pattern.value)));
        }
    }
}

/// An included file is named in the same manner as the file that includes it: relative if that one was.
fn shown(path: &Path, folder: &Path, by: &Path) -> PathBuf {
    match path.strip_prefix(folder) {
        Ok(rest) => by.parent().unwrap_or(Path::new("")).join(rest),
        Err(_) => path.to_owned(),
    }
}

fn open(path: &Path) -> Result<(File, bool), String> {
    let open = || -> io::Result<_> {
        let file = File::open(path)?;
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        Ok((file, others_can_read(meta.mode(), meta.uid(), meta.gid())))
    };
    open().map_err(|error| format!("can't read the config: {error}"))
}

/// Whether users other than the owner can read a file. A group is fine where root gave it the file (`0640 root:backup`),
/// or where it is our own: with umask 002 each user has a private one.
fn others_can_read(mode: u32, owner: u32, group: u32) -> bool {
    let own_group = owner == 0 || group == rustix::process::getegid().as_raw();
    mode & 0o004 != 0 || (mode & 0o040 != 0 && !own_group)
}

fn bounded(mut reader: impl io::Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = reader.by_ref().take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| format!("can't read the config: {error}"))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!("the config is larger than {} MiB", MAX_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "the config isn't UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_private_group_or_one_that_root_chose_may_read() {
        let ours = rustix::process::getegid().as_raw();
        for (mode, owner, group, exposed) in [
            (0o600, 1000, 1000, false),
            (0o644, 1000, ours, true),
            (0o604, 0, 0, true),
            (0o640, 1000, ours, false),
            (0o640, 1000, ours + 1, true),
            (0o640, 0, ours + 1, false),
        ] {
            assert_eq!(others_can_read(mode, owner, group), exposed, "{mode:o} {owner} {group}");
        }
    }
}
