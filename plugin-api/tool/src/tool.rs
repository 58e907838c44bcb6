//! What to run and how: the builder. How it is run is in `flow`.

use std::ffi::{CString, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use windlass_plugin_api::{Context, Error, ErrorKind, Result, Secret};

use crate::environment::{Environment, Inherit, looks_secret};
use crate::find::find;
use crate::redact::Redactor;
use crate::refuse_nul;
use crate::running::{Running, Start};
use crate::secret::{PrivateFile, descriptor};

/// A program with all that it is given. Cheap to clone; each call of [`dump`](Self::dump), [`load`](Self::load) or
/// [`output`](Self::output) runs it once.
#[derive(Clone)]
pub struct Tool {
    pub(crate) program: OsString,
    pub(crate) args: Vec<OsString>,
    pub(crate) environment: Environment,
    pub(crate) bin_dirs: Vec<PathBuf>,
    pub(crate) working_dir: Option<PathBuf>,
    pub(crate) redactor: Redactor,
    pub(crate) passed: Vec<Arc<OwnedFd>>,
    pub(crate) files: Vec<Arc<PrivateFile>>,
    pub(crate) limit: Option<Duration>,
    pub(crate) grace: Duration,
    pub(crate) drain: Duration,
    pub(crate) accepted: Vec<i32>,
    pub(crate) allow_unread: bool,
}

impl Tool {
    /// The program `program`: a name that is looked for in [`bin_dirs`](Self::bin_dirs) and `PATH`, or a path.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            args: Vec::new(),
            environment: Environment::default(),
            bin_dirs: Vec::new(),
            working_dir: None,
            redactor: Redactor::default(),
            passed: Vec::new(),
            files: Vec::new(),
            limit: None,
            grace: Duration::from_secs(5),
            drain: Duration::from_secs(5),
            accepted: vec![0],
            allow_unread: false,
        }
    }

    /// Adds an argument. Everybody on the system can read arguments: no secrets.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.environment.set.insert(name.into(), value.into());
        self
    }

    /// Sets an environment variable to a secret, which is redacted from all that the program says. Other processes of the
    /// same user can read it; where the program can, give it [a descriptor](Self::secret_descriptor).
    pub fn secret_env(mut self, cx: &Context, name: impl Into<OsString>, secret: &Secret) -> Result<Self> {
        let value = cx.reveal(secret)?;
        self.redactor.add(value.as_bytes());
        Ok(self.env(name, value))
    }

    /// What the program gets of the host's environment; [`Inherit::All`] by default.
    #[must_use]
    pub fn inherit_env(mut self, inherit: Inherit) -> Self {
        self.environment.inherit = inherit;
        self
    }

    /// Folders to look into before `PATH`.
    #[must_use]
    pub fn bin_dirs<P: Into<PathBuf>>(mut self, dirs: impl IntoIterator<Item = P>) -> Self {
        self.bin_dirs.extend(dirs.into_iter().map(Into::into));
        self
    }

    /// The folder that the program starts in; the host's by default.
    #[must_use]
    pub fn working_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.working_dir = Some(dir.into());
        self
    }

    /// A string that must not appear in any error, log or outcome: a password that the program knows by another way.
    /// Passwords in URLs, and values of variables [whose names say so](crate::looks_secret), are always redacted.
    #[must_use]
    pub fn redact(mut self, secret: &str) -> Self {
        self.redactor.add(secret.as_bytes());
        self
    }

    /// Gives the program a secret as a file in memory that only it inherits, and gives the path under which it can be
    /// opened: for an argument such as `--password-file=PATH`. Programs that close descriptors at their start (`sudo`)
    /// don't see it: use [`secret_file`](Self::secret_file) for those.
    pub fn secret_descriptor(&mut self, cx: &Context, secret: &Secret) -> Result<PathBuf> {
        let value = cx.reveal(secret)?;
        self.secret_descriptor_of(&value, &[&value])
    }

    /// As [`secret_descriptor`](Self::secret_descriptor), for a file with more than the secret in it (a `.pgpass`):
    /// `content` is the file, `secrets` what must not be shown of it.
    pub fn secret_descriptor_of(&mut self, content: &str, secrets: &[&str]) -> Result<PathBuf> {
        secrets.iter().for_each(|secret| self.redactor.add(secret.as_bytes()));
        let (fd, path) = descriptor(content.as_bytes())?;
        self.passed.push(Arc::new(fd));
        Ok(path)
    }

    /// Gives the program a secret as a file `name` of mode 0600 in a private folder, and gives its path: for programs that
    /// insist on a regular file. It is removed with the last clone of this tool, and if the host dies while the program runs.
    pub fn secret_file(&mut self, name: &str, content: &str, secrets: &[&str]) -> Result<PathBuf> {
        secrets.iter().for_each(|secret| self.redactor.add(secret.as_bytes()));
        let file = PrivateFile::create(name, content.as_bytes())?;
        let path = file.path().to_owned();
        self.files.push(Arc::new(file));
        Ok(path)
    }

    /// How long the program may run, for questions that should be answered at once. A dump's limits are the host's.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// How long a cancelled program may take to end by itself before it is killed; 5 s by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How long a process that outlives the program may keep its output open without a byte before that is an error;
    /// 5 s by default.
    #[must_use]
    pub fn drain_limit(mut self, limit: Duration) -> Self {
        self.drain = limit;
        self
    }

    /// Exit codes that are no failure; only 0 by default.
    #[must_use]
    pub fn accept_exit(mut self, codes: &[i32]) -> Self {
        self.accepted = codes.to_vec();
        self
    }

    /// Lets [`load`](Self::load) succeed though the program left input unread. The rest of the input is then read and
    /// thrown away, so that damage in it is still found.
    #[must_use]
    pub fn allow_unread(mut self, allow: bool) -> Self {
        self.allow_unread = allow;
        self
    }

    /// The file that would be run. Runs nothing.
    pub fn path(&self) -> Result<PathBuf> {
        find(&self.program, &self.bin_dirs, self.environment.path(), self.working_dir.as_deref())
    }

    /// `text` without the secrets that this tool knows and without passwords in URLs: for what a plugin says of a command.
    pub fn redacted(&self, text: &str) -> String {
        self.redactor().clean(text)
    }

    /// The program as messages name it: without arguments.
    pub(crate) fn name(&self) -> String {
        self.redactor().clean(&self.program.to_string_lossy())
    }

    /// All that must not be shown: what was given, and what the environment holds under a telling name.
    pub(crate) fn redactor(&self) -> Redactor {
        let mut redactor = self.redactor.clone();
        for (name, value) in self.environment.variables() {
            if looks_secret(&name.to_string_lossy()) {
                redactor.add(value.as_bytes());
            }
        }
        redactor
    }

    /// Starts it; `feed` says whether stdin is a pipe or empty.
    pub(crate) fn start(&self, feed: bool, redactor: &Arc<Redactor>) -> Result<Running> {
        let path = self.path()?;
        let mut command = Command::new(&path);
        if let Some(dir) = &self.working_dir {
            if !dir.is_dir() {
                let message = format!("no folder `{}` to run `{}` in", dir.display(), self.name());
                return Err(Error::new(ErrorKind::NotFound, message));
            }
            command.current_dir(dir);
        }
        let start = Start {
            command,
            path: c_string(path.as_os_str(), "the program's path")?,
            argv: self.argv()?,
            envp: self.environment.block()?,
            feed,
            passed: self.passed.clone(),
            remove: self.files.iter().flat_map(|file| file.paths()).collect(),
            grace: self.grace,
            limit: self.limit,
        };
        Running::start(start, redactor).map_err(|error| self.cannot_start(&path, error))
    }

    fn argv(&self) -> Result<Vec<CString>> {
        [&self.program].into_iter().chain(&self.args).map(|arg| c_string(arg, "an argument")).collect()
    }

    fn cannot_start(&self, path: &Path, error: std::io::Error) -> Error {
        let hint = match error.raw_os_error() {
            Some(libc::ENOENT) => Some("The interpreter or loader that the file names isn't there."),
            Some(libc::ENOEXEC) => {
                Some("It is neither a program of this machine nor begins with a `#!` line.")
            }
            Some(libc::E2BIG) => Some("The arguments and the environment are longer than the system allows."),
            Some(libc::EACCES) => Some("Check its mode, and whether its file system is mounted `noexec`."),
            _ => None,
        };
        let error = Error::from(error)
            .during(format!("can't start `{}`", self.redactor().clean(&path.to_string_lossy())));
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// Shows the program's name alone: arguments and environment may hold what was meant to be secret.
impl std::fmt::Debug for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tool({})", self.name())
    }
}

fn c_string(text: &OsStr, what: &str) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| refuse_nul(what))
}
