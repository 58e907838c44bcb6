//! What is wrong with a config, and where: the one form in which every check of this module speaks.
//!
//! A check never stops at its first finding; it adds to a [`Problems`] and goes on, so that a user sees all of them at
//! once. Nothing here prints.

use std::fmt;
use std::path::{Path, PathBuf};

use windlass_plugin_api::{Error, ErrorKind};

use super::suggest;
use super::value::Origin;

/// One finding: an error, or with `warning` something that works but should be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong: lower case, no full stop, never a secret's value.
    pub message: String,
    /// The file, as the user would name it; none for the command line.
    pub file: Option<PathBuf>,
    /// Counted from 1.
    pub line: Option<u32>,
    /// Counted from 1, in characters.
    pub column: Option<u32>,
    /// The dotted path of the key: `source.shop.path`.
    pub key: Option<String>,
    /// What the user can do about it, as a sentence.
    pub hint: Option<String>,
    /// True where the run can go on.
    pub warning: bool,
}

impl Problem {
    /// An error that says `message`, with no place yet.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            file: None,
            line: None,
            column: None,
            key: None,
            hint: None,
            warning: false,
        }
    }

    /// Puts it where `origin` says.
    #[must_use]
    pub fn at(mut self, origin: &Origin) -> Self {
        if let Origin::File { file, line, column } = origin {
            self.file = Some(file.name.clone());
            self.line = Some(*line);
            self.column = Some(*column);
        }
        self
    }

    /// Puts it in `file` as a whole.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// Names the key it is about.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Adds what to do. A hint that is already there stays: it is nearer to the cause.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Adds the candidate nearest to `wanted` as a hint, else all of them where they are few.
    #[must_use]
    pub fn suggest<'a>(self, wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Self {
        let candidates: Vec<&str> = candidates.into_iter().collect();
        match suggest::hint(wanted, &candidates) {
            Some(hint) => self.hint(hint),
            None => self,
        }
    }

    /// Makes a warning of it.
    #[must_use]
    pub fn warn(mut self) -> Self {
        self.warning = true;
        self
    }
}

impl fmt::Display for Problem {
    /// `windlass.toml:12: source.shop.pth: unknown option`, and the hint in a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}", file.display())?;
            if let Some(line) = self.line {
                write!(f, ":{line}")?;
            }
            f.write_str(": ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let hint = problem.hint.clone();
        let line = Problem { hint: None, ..problem }.to_string();
        let error = Error::new(ErrorKind::Config, line);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// All that was found, warnings too: sorted by file and line, nothing twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, at its place in the order; not if the same was said of the same place: a default that is wrong is
    /// wrong in every pipeline.
    pub fn push(&mut self, problem: Problem) {
        fn place(problem: &Problem) -> (Option<&PathBuf>, Option<u32>, Option<u32>) {
            (problem.file.as_ref(), problem.line, problem.column)
        }
        let same = |other: &Problem| {
            other.message == problem.message
                && place(other) == place(&problem)
                && (problem.line.is_some() || other.key == problem.key)
        };
        if self.0.iter().any(same) {
            return;
        }
        let index = self.0.partition_point(|other| place(other) <= place(&problem));
        self.0.insert(index, problem);
    }

    /// All of them, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }

    /// Nothing at all was found.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are, warnings too.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether one of them is more than a warning.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|problem| !problem.warning)
    }

    /// The warnings if there is nothing worse, else everything as the error.
    pub fn into_result(self) -> Result<Vec<Problem>, Problems> {
        if self.has_errors() { Err(self) } else { Ok(self.0) }
    }
}

impl Extend<Problem> for Problems {
    fn extend<I: IntoIterator<Item = Problem>>(&mut self, problems: I) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<I: IntoIterator<Item = Problem>>(problems: I) -> Self {
        let mut all = Self::default();
        all.extend(problems);
        all
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(file: &str, line: u32, message: &str) -> Problem {
        Problem { file: Some(file.into()), line: Some(line), ..Problem::new(message) }
    }

    #[test]
    fn problems_are_sorted_by_place_and_told_once() {
        let all: Problems = [
            problem("b.toml", 1, "x"),
            problem("a.toml", 9, "y"),
            problem("a.toml", 2, "z"),
            problem("b.toml", 1, "x"),
        ]
        .into_iter()
        .collect();
        assert_eq!(all.to_string(), "a.toml:2: z\na.toml:9: y\nb.toml:1: x");
    }

    #[test]
    fn a_problem_reads_place_key_message_hint() {
        let problem =
            problem("windlass.toml", 12, "unknown option").key("source.shop.pth").suggest("pth", ["path"]);
        assert_eq!(
            problem.to_string(),
            "windlass.toml:12: source.shop.pth: unknown option\nhint: Did you mean `path`?"
        );
        let error = Error::from(problem);
        assert_eq!(error.kind, ErrorKind::Config);
        assert_eq!(error.message, "windlass.toml:12: source.shop.pth: unknown option");
        assert_eq!(error.hint.as_deref(), Some("Did you mean `path`?"));
    }

    #[test]
    fn warnings_alone_are_no_error() {
        let mut all = Problems::from(Problem::new("old").warn());
        assert_eq!(all.clone().into_result().unwrap().len(), 1);
        all.push(Problem::new("bad"));
        assert_eq!(all.into_result().unwrap_err().len(), 2);
    }
}
