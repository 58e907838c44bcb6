//! The environment that a program gets.
//!
//! An environment variable can be read by every process of the same user (`/proc/PID/environ`): it is better than an
//! argument, which everybody can read, and worse than a descriptor.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use windlass_plugin_api::Result;

use crate::refuse_nul;

/// What a program inherits of the host's own environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Inherit {
    /// All of it.
    #[default]
    All,
    /// Nothing, `PATH` and `HOME` neither.
    Nothing,
    /// Only these variables, where they are set.
    Only(Vec<String>),
}

/// Inherited variables, and those that are set over them.
#[derive(Clone, Default)]
pub(crate) struct Environment {
    pub(crate) inherit: Inherit,
    pub(crate) set: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Every variable by name.
    pub(crate) fn variables(&self) -> BTreeMap<OsString, OsString> {
        let mut all: BTreeMap<OsString, OsString> = match &self.inherit {
            Inherit::All => env::vars_os().collect(),
            Inherit::Nothing => BTreeMap::new(),
            Inherit::Only(names) => {
                names.iter().filter_map(|name| Some((name.into(), env::var_os(name)?))).collect()
            }
        };
        all.extend(self.set.clone());
        all
    }

    /// Where programs are looked for: the program's own `PATH`, else the host's.
    pub(crate) fn path(&self) -> Option<OsString> {
        self.set.get(OsStr::new("PATH")).cloned().or_else(|| env::var_os("PATH"))
    }

    /// As `execve` takes them.
    pub(crate) fn block(&self) -> Result<Vec<CString>> {
        self.variables()
            .into_iter()
            .map(|(name, value)| {
                let mut entry = name.clone().into_vec();
                entry.push(b'=');
                entry.extend_from_slice(value.as_bytes());
                CString::new(entry).map_err(|_| refuse_nul(&format!("the variable `{}`", name.display())))
            })
            .collect()
    }
}

/// Whether a variable of this name is likely to hold a secret, so that its value must not be shown.
///
/// ```
/// use windlass_tool::looks_secret;
/// assert!(looks_secret("PGPASSWORD") && looks_secret("AWS_SECRET_ACCESS_KEY") && looks_secret("MYSQL_PWD"));
/// assert!(!looks_secret("PGDATABASE") && !looks_secret("PASSWORD_FILE") && !looks_secret("PWD"));
/// ```
pub fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // These name a place, not the secret itself.
    let place = ["PWD", "OLDPWD"].contains(&name.as_str())
        || ["_FILE", "_DIR", "_PATH", "_SOCK", "_ID"].iter().any(|end| name.ends_with(end));
    let words =
        ["PASS", "PWD", "SECRET", "TOKEN", "CREDENTIAL", "PRIVATE_KEY", "API_KEY", "APIKEY", "ACCESS_KEY"];
    !place && words.iter().any(|word| name.contains(word))
}
