//! Keeps the secrets of a run: how to get each one, and what must not be shown.
//!
//! A plugin never gets a secret among its options, only its name; it asks for the value when it needs it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use windlass_plugin_api::{Error, ErrorKind};

use super::locate::Environment;
use super::reference::{How, Reference};

/// How long a `{ command = […] }` may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// Values shorter than this aren't replaced in texts: half of every line would become `…`.
const SHORTEST: usize = 4;

/// Secrets by name, and their values so far. One for each run, used from all its threads.
pub struct Secrets {
    env: Environment,
    command_limit: Duration,
    kept: Mutex<BTreeMap<String, Kept>>,
    /// Longest first, so that a secret within another doesn't leave the rest of it standing.
    hidden: Mutex<Vec<String>>,
    /// What commands have given so far.
    outputs: Mutex<Vec<(How, String)>>,
    asking: Mutex<()>,
}

#[derive(Clone)]
pub(super) enum Kept {
    /// It stands in the config, or is a reference's default.
    Literal(String),
    /// It is asked for each time.
    Elsewhere(How),
    /// The user is asked for it, once.
    Asked(Ask),
}

/// Asks the user for a secret.
pub type Ask = Arc<dyn Fn() -> Result<String, Error> + Send + Sync>;

impl Secrets {
    /// None yet; variables, and relative paths that stand in no file, are `env`'s.
    pub fn new(env: Environment) -> Self {
        Self {
            env,
            command_limit: COMMAND_LIMIT,
            kept: Mutex::default(),
            hidden: Mutex::default(),
            outputs: Mutex::default(),
            asking: Mutex::default(),
        }
    }

    /// The value of the secret `name` as it is now: files, variables and commands are read again, so that a credential
    /// that was rotated works. Kind `NotFound` if nothing was resolved under that name, `Config` if it can't be had.
    pub fn reveal(&self, name: &str) -> Result<String, Error> {
        let kept = lock(&self.kept).get(name).cloned();
        let value = match kept {
            None => return Err(Error::new(ErrorKind::NotFound, format!("there is no secret `{name}`"))),
            Some(Kept::Literal(value)) => return Ok(value),
            Some(Kept::Asked(ask)) => return self.asked(name, &ask),
            Some(Kept::Elsewhere(how)) => {
                let value = how
                    .get(&self.env, self.command_limit)
                    .and_then(|value| value.ok_or_else(|| how.missing()));
                value
                    .map_err(|error| self.redacted(error).during(format!("can't get the secret `{name}`")))?
            }
        };
        self.hide(&value);
        Ok(value)
    }

    /// Keeps a secret that the user is asked for when it is needed, and then never again.
    pub fn keep_asked(&self, name: &str, ask: Ask) {
        lock(&self.kept).entry(name.to_owned()).or_insert(Kept::Asked(ask));
    }

    fn asked(&self, name: &str, ask: &Ask) -> Result<String, Error> {
        // Held while the user types: two threads that need it are one question.
        let _asking = lock(&self.asking);
        if let Some(Kept::Literal(value)) = lock(&self.kept).get(name) {
            return Ok(value.clone());
        }
        let value = ask()?;
        self.keep(name.to_owned(), Kept::Literal(value.clone()));
        Ok(value)
    }

    /// From now on [`redact`](Self::redact) hides `value`: as it is, each of its lines, and as it would stand in a URL or
    /// in JSON.
    pub fn hide(&self, value: &str) {
        let json = serde_json::Value::from(value).to_string();
        let mut forms = vec![value.to_owned(), super::url::encode(value), json[1..json.len() - 1].to_owned()];
        // Logs and errors are lines, a private key has many.
        forms.extend(value.lines().filter(|line| line.len() >= 2 * SHORTEST).map(str::to_owned));
        let mut hidden = lock(&self.hidden);
        for form in forms {
            if form.chars().count() >= SHORTEST && !hidden.contains(&form) {
                let index = hidden.partition_point(|other| other.len() >= form.len());
                hidden.insert(index, form);
            }
        }
    }

    /// From now on the password inside `url`, if there is one, is hidden: a plugin may take it for a part of a path.
    pub fn hide_url(&self, url: &str) {
        if let Some(password) = super::url::password(url) {
            self.hide(&password);
        }
    }

    /// `text` with every value seen so far (of at least 4 characters) replaced by `…`.
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in lock(&self.hidden).iter() {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), "…");
            }
        }
        text
    }

    /// Keeps a secret under `name`; one that was there before is forgotten.
    pub(super) fn keep(&self, name: String, kept: Kept) {
        if let Kept::Literal(value) = &kept {
            self.hide(value);
        }
        lock(&self.kept).insert(name, kept);
    }

    /// The value that a reference means; none: its default, or nothing. A command runs once however many entries and
    /// steps need its value; only [`reveal`](Self::reveal) runs it anew.
    pub(super) fn look_up(&self, reference: &Reference) -> Result<Option<String>, Error> {
        let How::Command { .. } = &reference.how else {
            return reference.how.get(&self.env, self.command_limit);
        };
        // Held while it runs: what is slow or asks for a touch of a key should do so once.
        let mut outputs = lock(&self.outputs);
        if let Some((_, output)) = outputs.iter().find(|(how, _)| *how == reference.how) {
            return Ok(Some(output.clone()));
        }
        let output =
            reference.how.get(&self.env, self.command_limit).map_err(|error| self.redacted(error))?;
        outputs.extend(output.iter().map(|output| (reference.how.clone(), output.clone())));
        Ok(output)
    }

    /// A command's last line of stderr may say more than it should.
    fn redacted(&self, error: Error) -> Error {
        let causes = error.causes.iter().map(|cause| self.redact(cause)).collect();
        Error { causes, ..error }
    }

    /// What relative paths that stand in no file are relative to.
    pub(super) fn folder(&self) -> &Path {
        &self.env.folder
    }

    #[cfg(test)]
    pub(super) fn with_command_limit(self, command_limit: Duration) -> Self {
        Self { command_limit, ..self }
    }
}

/// Of this process.
impl Default for Secrets {
    fn default() -> Self {
        Self::new(Environment::of_process())
    }
}

/// How many there are is all that anybody may see.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({} of them)", lock(&self.kept).len())
    }
}

/// A panic elsewhere leaves whole values behind, so a poisoned lock is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_value_is_hidden_and_the_longest_first() {
        let secrets = Secrets::default();
        secrets.hide("pass");
        secrets.hide("pass word/1\"");
        secrets.hide("abc");
        assert_eq!(
            secrets.redact("a pass, pass word/1\", pass%20word%2F1%22, pass word/1\\\" abc"),
            "a …, …, …, … abc"
        );
        secrets.hide("-----BEGIN KEY-----\nMIIEvQIBADAN\n-----END KEY-----");
        assert_eq!(secrets.redact("line MIIEvQIBADAN here"), "line … here");
    }

    #[test]
    fn the_user_is_asked_once_and_the_answer_is_hidden() {
        let secrets = Secrets::default();
        let asked = Arc::new(Mutex::new(0));
        for _ in 0..2 {
            let asked = asked.clone();
            let ask = move || {
                *lock(&asked) += 1;
                Ok("hunter2".to_owned())
            };
            secrets.keep_asked("passphrase", Arc::new(ask));
            assert_eq!(secrets.reveal("passphrase").unwrap(), "hunter2");
        }
        assert_eq!(*lock(&asked), 1);
        assert_eq!(secrets.redact("a hunter2"), "a …");
    }

    #[test]
    fn debug_shows_no_name_and_no_value() {
        let secrets = Secrets::default();
        secrets.keep("source.shop.password".into(), Kept::Literal("hunter2".into()));
        assert_eq!(format!("{secrets:?}"), "Secrets(1 of them)");
        assert_eq!(secrets.redact("hunter2"), "…");
        assert_eq!(secrets.reveal("gone").unwrap_err().kind, ErrorKind::NotFound);
    }
}
