//! Whether the server is who it should be: by a pinned key, or by the files of known hosts.
//!
//! A server that nobody vouches for is refused, always: there is no first use that is trusted. Certificates of hosts
//! (`@cert-authority`) aren't asked for and prove nothing here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hmac::{Hmac, Mac};
use russh::keys::ssh_key::known_hosts::{Entry, HostPatterns, KnownHosts, Marker};
use russh::keys::ssh_key::{Fingerprint, HashAlg};
use russh::keys::{Algorithm, PublicKey};
use sha1::Sha1;
use windlass_plugin_api::{During, Error, ErrorKind, Result};

use crate::options::{Settings, wrong};

/// Of the system.
const SYSTEM_FILE: &str = "/etc/ssh/ssh_known_hosts";

/// Who may answer for a server.
pub struct Trust {
    /// As `known_hosts` names the server.
    name: String,
    port: u16,
    host: String,
    anchors: Anchors,
}

enum Anchors {
    Pinned(Pinned),
    Known { good: Vec<Line>, revoked: Vec<PublicKey>, files: Vec<PathBuf> },
}

/// What `host_key` says.
pub enum Pinned {
    Key(Box<PublicKey>),
    Fingerprint(Fingerprint),
}

struct Line {
    key: PublicKey,
    file: PathBuf,
}

impl Pinned {
    pub fn read(text: &str) -> Result<Self> {
        let text = text.trim();
        let read = match text.starts_with("SHA256:") {
            true => text.parse().map(Self::Fingerprint),
            false => text.parse().map(|key| Self::Key(Box::new(key))),
        };
        read.map_err(|_| {
            wrong("`host_key` is neither a public key nor a fingerprint")
                .hint("Write `ssh-ed25519 AAAA…` or `SHA256:…`, as `ssh-keyscan` and `ssh-keygen -l` do.")
        })
    }
}

impl Trust {
    pub fn of(settings: &Settings) -> Result<Self> {
        let host = settings.host.to_lowercase();
        let name = if settings.port == 22 { host.clone() } else { format!("[{host}]:{}", settings.port) };
        let anchors = match &settings.host_key {
            Some(pinned) => Anchors::Pinned(Pinned::read(pinned)?),
            None => known(&name, settings.known_hosts.as_deref())?,
        };
        Ok(Self { name, port: settings.port, host, anchors })
    }

    /// The kinds of keys that the server shall show, the best first: another kind than the known one would prove nothing.
    pub fn order(&self, mut kinds: Vec<Algorithm>) -> Vec<Algorithm> {
        kinds.retain(|kind| *kind != Algorithm::Rsa { hash: None });
        let is_known = |kind: &Algorithm| match &self.anchors {
            Anchors::Pinned(Pinned::Key(key)) => is_same(kind, &key.algorithm()),
            Anchors::Pinned(Pinned::Fingerprint(_)) => false,
            Anchors::Known { good, .. } => good.iter().any(|line| is_same(kind, &line.key.algorithm())),
        };
        kinds.sort_by_key(|kind| !is_known(kind));
        kinds
    }

    /// Whether the pin may be of a key of another kind than the one that was shown.
    pub fn is_fingerprint(&self) -> bool {
        matches!(self.anchors, Anchors::Pinned(Pinned::Fingerprint(_)))
    }

    /// Refuses a key that nobody vouches for.
    pub fn judge(&self, key: &PublicKey) -> Result<()> {
        match &self.anchors {
            Anchors::Pinned(Pinned::Key(pinned)) if pinned.key_data() == key.key_data() => Ok(()),
            Anchors::Pinned(Pinned::Fingerprint(pinned)) if *pinned == key.fingerprint(HashAlg::Sha256) => {
                Ok(())
            }
            Anchors::Pinned(_) => Err(self.refused(key, "isn't the one that `host_key` pins").hint(
                "Don't go on before its administrator has told you why. Then pin the new key in `host_key`.",
            )),
            Anchors::Known { good, revoked, files } => self.judge_known(key, good, revoked, files),
        }
    }

    fn judge_known(
        &self,
        key: &PublicKey,
        good: &[Line],
        revoked: &[PublicKey],
        files: &[PathBuf],
    ) -> Result<()> {
        let is_it = |known: &PublicKey| known.key_data() == key.key_data();
        if revoked.iter().any(is_it) {
            return Err(self
                .refused(key, "is revoked by `@revoked` in `known_hosts`")
                .hint("Ask the server's administrator for its new key."));
        }
        if good.iter().any(|line| is_it(&line.key)) {
            return Ok(());
        }
        if let Some(line) = good.iter().find(|line| is_same(&line.key.algorithm(), &key.algorithm())) {
            let why = format!("has changed: `{}` has another one for it", line.file.display());
            return Err(self.refused(key, &why).hint(format!(
                "Don't go on before its administrator has told you why: somebody may stand in between. Then remove the old \
                 key with `ssh-keygen -R '{}'`.",
                self.name
            )));
        }
        let files = files.iter().map(|file| format!("`{}`", file.display())).collect::<Vec<_>>().join(" or ");
        let port = if self.port == 22 { String::new() } else { format!("-p {} ", self.port) };
        let (fingerprint, host) = (key.fingerprint(HashAlg::Sha256), &self.host);
        Err(self.refused(key, &format!("isn't known: it isn't in {files}")).hint(format!(
            "Compare this fingerprint with what the server's administrator says, then pin it with \
             `host_key = \"{fingerprint}\"`, or add what `ssh-keyscan {port}{host}` shows to `known_hosts`."
        )))
    }

    fn refused(&self, key: &PublicKey, why: &str) -> Error {
        let (kind, fingerprint) = (key.algorithm(), key.fingerprint(HashAlg::Sha256));
        let message = format!("the host key of `{}` {why}: it shows `{fingerprint}` ({kind})", self.name);
        Error::new(ErrorKind::Denied, message)
    }
}

/// The same kind of key, whatever it signs with.
pub fn is_same(one: &Algorithm, other: &Algorithm) -> bool {
    matches!((one, other), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })) || one == other
}

/// What the files say of the server. A file that is named must be there.
fn known(name: &str, named: Option<&[PathBuf]>) -> Result<Anchors> {
    let files = named.map_or_else(usual_files, <[PathBuf]>::to_vec);
    let (mut good, mut revoked) = (Vec::new(), Vec::new());
    for file in &files {
        let text = match fs::read(file) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error).during_with(|| format!("can't read `{}`", file.display())),
        };
        for entry in entries(&text, name) {
            match entry.marker() {
                None => good.push(Line { key: entry.public_key().clone(), file: file.clone() }),
                Some(Marker::Revoked) => revoked.push(entry.public_key().clone()),
                Some(Marker::CertAuthority) => {}
            }
        }
    }
    Ok(Anchors::Known { good, revoked, files })
}

fn usual_files() -> Vec<PathBuf> {
    let own = std::env::home_dir().map(|home| home.join(".ssh/known_hosts"));
    own.into_iter().chain([Path::new(SYSTEM_FILE).to_owned()]).collect()
}

/// The lines about a server. A line that can't be read is about none, as ssh has it.
fn entries<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = Entry> + 'a {
    // Spaces may stand in front, and more than one between.
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let entries = lines.filter_map(|line| KnownHosts::new(&line).next()?.ok());
    entries.filter(move |entry| is_about(entry.host_patterns(), name))
}

fn is_about(patterns: &HostPatterns, name: &str) -> bool {
    match patterns {
        HostPatterns::HashedName { salt, hash } => Hmac::<Sha1>::new_from_slice(salt)
            .is_ok_and(|mac| mac.chain_update(name).verify_slice(hash).is_ok()),
        HostPatterns::Patterns(patterns) => {
            let matches = |pattern: &str| fits(pattern.to_lowercase().as_bytes(), name.as_bytes());
            let denied = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!')).any(matches);
            !denied && patterns.iter().any(|pattern| matches(pattern))
        }
    }
}

/// `*` is any text, `?` any character.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((b'*', rest)) => (0..=name.len()).any(|at| fits(rest, &name[at..])),
        Some((b'?', rest)) => !name.is_empty() && fits(rest, &name[1..]),
        Some((byte, rest)) => name.first() == Some(byte) && fits(rest, &name[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn is_known(line: &str, name: &str) -> bool {
        entries(&format!("# a comment\n\nnot a line\n{line} {ONE} a comment\n"), name).count() == 1
    }

    #[test]
    fn a_line_is_about_the_hosts_that_its_patterns_name() {
        assert!(is_known("nas", "nas") && is_known("NAS.example,nas", "nas.example"));
        assert!(is_known("*.example", "nas.example") && is_known("na?", "nas"));
        assert!(is_known("[nas]:2222", "[nas]:2222") && !is_known("nas", "[nas]:2222"));
        assert!(!is_known("nas", "nas.example") && !is_known("*.example,!nas.example", "nas.example"));
    }

    #[test]
    fn a_hashed_name_is_found() {
        // `ssh-keygen -H` of `nas.example`.
        let line = "|1|c2FsdHNhbHRzYWx0c2FsdHNhbHQ=|";
        let mac = Hmac::<Sha1>::new_from_slice(b"saltsaltsaltsaltsalt").unwrap().chain_update("nas.example");
        let hash: [u8; 20] = mac.finalize().into_bytes().into();
        let patterns = HostPatterns::HashedName { salt: b"saltsaltsaltsaltsalt".to_vec(), hash };
        assert!(patterns.to_string().starts_with(line));
        assert!(is_known(&patterns.to_string(), "nas.example") && !is_known(&patterns.to_string(), "nas"));
    }
}
