//! Exit codes and the failures they stand for.

use std::fmt;

use windlass_plugin_api::{Error, ErrorKind};

use crate::config::{Problem, Problems};

/// What the process ends with. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// A pipeline made no snapshot, or something else failed.
    Failed = 1,
    /// The command line or the config is wrong.
    Usage = 2,
    /// Done, but something was left out.
    Incomplete = 3,
    /// Damage was found.
    Damaged = 4,
    /// No such snapshot or pipeline.
    NotFound = 10,
    /// Another run holds the lock.
    Locked = 11,
    /// Refused: the target isn't empty, or nobody confirmed.
    Refused = 12,
    /// Ended by SIGHUP after a clean abort.
    Hangup = 129,
    /// Ended by SIGINT after a clean abort.
    Interrupted = 130,
    /// Ended by SIGTERM after a clean abort.
    Terminated = 143,
}

impl Exit {
    /// The code of a run that the signal `number` ended.
    pub fn of_signal(number: i32) -> Self {
        match number {
            signal_hook::consts::SIGINT => Self::Interrupted,
            signal_hook::consts::SIGHUP => Self::Hangup,
            _ => Self::Terminated,
        }
    }

    /// The code of an error of this kind, where nothing more is known.
    pub fn of_kind(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Config => Self::Usage,
            ErrorKind::Damaged => Self::Damaged,
            ErrorKind::Refused => Self::Refused,
            _ => Self::Failed,
        }
    }

    /// The graver of two: what several pipelines together end with. A signal wins, then failure, then damage.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let weight = |exit: Self| match exit {
            Self::Ok => 0,
            Self::Incomplete => 1,
            Self::NotFound => 2,
            Self::Locked => 3,
            Self::Refused => 4,
            Self::Usage => 5,
            Self::Damaged => 6,
            Self::Failed => 7,
            Self::Hangup | Self::Interrupted | Self::Terminated => 8,
        };
        if weight(other) > weight(self) { other } else { self }
    }
}

/// The part of a run that an error came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// `source`, `filter`, `storage`, with the config's name for it.
    pub name: String,
    /// `sqlite@0.1.0`.
    pub plugin: Option<String>,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.plugin.as_ref().map_or(Ok(()), |plugin| write!(f, " ({plugin})"))
    }
}

/// An error with its place and its exit code: what a command ends with.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What happened.
    pub error: Error,
    /// The pipeline, if one was running.
    pub pipeline: Option<String>,
    /// The part of the run, if known.
    pub stage: Option<Stage>,
    /// What the process should end with.
    pub exit: Exit,
    /// What else is wrong: a config's problems are told all at once.
    pub also: Vec<Failure>,
}

/// A result of the engine.
pub type Outcome<T> = Result<T, Failure>;

impl Failure {
    /// `error` that ends the process with `exit`.
    pub fn new(exit: Exit, error: Error) -> Self {
        Self { error, pipeline: None, stage: None, exit, also: Vec::new() }
    }

    /// Names the pipeline, unless one is named already.
    #[must_use]
    pub fn in_pipeline(mut self, pipeline: &str) -> Self {
        self.pipeline.get_or_insert_with(|| pipeline.to_owned());
        self
    }

    /// Names the stage, unless one is named already.
    #[must_use]
    pub fn at(mut self, stage: Stage) -> Self {
        self.stage.get_or_insert(stage);
        self
    }

    /// No such snapshot or pipeline.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, Error::new(ErrorKind::NotFound, message))
    }

    /// The user asked for something that makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, Error::new(ErrorKind::Config, message))
    }

    /// Not without the user's consent.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Exit::Refused, Error::new(ErrorKind::Refused, message))
    }

    /// This one, then what else is wrong.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.also)
    }

    /// With a hint, unless there is one.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.error = self.error.hint(hint);
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::new(Exit::of_kind(error.kind), error)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::new(Exit::Usage, problem.into())
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let mut all = problems.into_iter().filter(|problem| !problem.warning).map(Self::from);
        let first = all.next().unwrap_or_else(|| Self::usage("the config can't be used"));
        Self { also: all.collect(), ..first }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Error::from(error).into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pipeline) = &self.pipeline {
            write!(f, "pipeline `{pipeline}`: ")?;
        }
        if let Some(stage) = &self.stage {
            write!(f, "{stage}: ")?;
        }
        f.write_str(&self.error.one_line())
    }
}
