//! Plugins by name: found once, read when they are asked for, loaded when they are needed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use windlass_plugin_api::ffi::logging::LogLines;
use windlass_plugin_api::ffi::root::Root;
use windlass_plugin_api::{Error, ErrorKind, Kind, PluginInfo, Result};

use super::discover::{self, Candidate, Found, SearchDir};
use super::{inspect, load};
use crate::config::{Known, suggest};

/// The plugins that this process can see.
pub struct Registry {
    dirs: Vec<SearchDir>,
    found: OnceLock<Found>,
    read: Mutex<HashMap<PathBuf, Result<Arc<PluginInfo>>>>,
    loaded: Mutex<HashMap<PathBuf, Root>>,
    log: Arc<dyn LogLines>,
    level: u8,
}

/// A plugin file as `plugins list` shows it.
pub struct Listed {
    /// The file.
    pub candidate: Candidate,
    /// What it says of itself, or why it can't be used.
    pub info: Result<Arc<PluginInfo>>,
}

impl Registry {
    /// Plugins in `dirs`, whose logs go to `log` up to `level`. Looks at no file yet.
    pub fn new(dirs: Vec<SearchDir>, log: Arc<dyn LogLines>, level: u8) -> Self {
        Self { dirs, found: OnceLock::new(), read: Mutex::default(), loaded: Mutex::default(), log, level }
    }

    /// Where plugins are looked for, first match first.
    pub fn dirs(&self) -> &[SearchDir] {
        &self.dirs
    }

    /// Every plugin file, in search order, the shadowed ones too.
    pub fn list(&self) -> Vec<Listed> {
        let candidates = self.found().candidates.iter();
        candidates
            .map(|candidate| Listed { candidate: candidate.clone(), info: self.read(candidate) })
            .collect()
    }

    /// Folders that exist and can't be searched.
    pub fn unreadable(&self) -> &[(SearchDir, Error)] {
        &self.found().unreadable
    }

    /// The file of a plugin that [`info`](Known::info) found.
    pub fn path(&self, info: &PluginInfo) -> Result<&Path> {
        let candidate = self
            .visible(info.kind)
            .find(|candidate| candidate.is_called(info.kind, &info.vendor, &info.name))
            .ok_or_else(|| self.unknown(info.kind, &info.full_name()))?;
        Ok(&candidate.path)
    }

    /// The running plugin. Loads it the first time.
    pub fn load(&self, info: &PluginInfo) -> Result<Root> {
        let path = self.path(info)?;
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = loaded.get(path) {
            return Ok(*root);
        }
        let root = load::load(path, info, self.log.clone(), self.level)?;
        loaded.insert(path.to_owned(), root);
        Ok(root)
    }

    /// The plugin of this full name, such as a manifest's.
    pub fn by_full_name(&self, kind: Kind, full: &str) -> Result<Arc<PluginInfo>> {
        self.info(kind, full.strip_prefix("windlass/").unwrap_or(full))
    }

    /// The filter whose suffix is `suffix`.
    pub fn by_suffix(&self, suffix: &str) -> Option<Arc<PluginInfo>> {
        let mut infos = self.visible(Kind::Filter).filter_map(|candidate| self.read(candidate).ok());
        infos.find(|info| info.suffix.as_deref() == Some(suffix))
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(|| discover::find(&self.dirs))
    }

    fn visible(&self, kind: Kind) -> impl Iterator<Item = &Candidate> {
        let candidates = self.found().candidates.iter();
        candidates.filter(move |candidate| candidate.kind == kind && candidate.shadowed_by.is_none())
    }

    fn read(&self, candidate: &Candidate) -> Result<Arc<PluginInfo>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        read.entry(candidate.path.clone())
            .or_insert_with(|| {
                // By the name under which it was found: a link may point to a file of another name.
                let info = candidate.trusted().and_then(|()| inspect::inspect(&candidate.found));
                // A link that leads nowhere is a broken plugin, and none that isn't known.
                let broken = |error: Error| match error.kind {
                    ErrorKind::NotFound => Error { kind: ErrorKind::Failed, ..error },
                    _ => error,
                };
                info.map(Arc::new).map_err(broken)
            })
            .clone()
    }

    /// A bare name matches any vendor's plugin, but only one.
    fn matching(&self, kind: Kind, name: &str) -> Result<Option<&Candidate>> {
        if let Some((vendor, name)) = name.split_once('/') {
            return Ok(self.visible(kind).find(|candidate| candidate.is_called(kind, vendor, name)));
        }
        let mut all =
            self.visible(kind).filter(|candidate| candidate.is_called(kind, &candidate.vendor, name));
        let first = all.next();
        match (first, all.next()) {
            (Some(one), Some(other)) => Err(Error::new(
                ErrorKind::Config,
                format!(
                    "the {kind} plugin `{name}` is there of two vendors, `{}` and `{}`",
                    one.vendor, other.vendor
                ),
            )
            .hint(format!("Write `{}/{name}` or `{}/{name}`.", one.vendor, other.vendor))),
            (first, _) => Ok(first),
        }
    }

    fn unknown(&self, kind: Kind, name: &str) -> Error {
        let error = Error::new(ErrorKind::NotFound, format!("no {kind} plugin `{name}`"));
        if let Some((dir, why)) = self.unreadable().first() {
            let why = why.clone().during(format!("`{}` can't be searched", dir.path.display()));
            return error.because(&why);
        }
        let names = self.names(kind);
        match suggest::nearest(name, names.iter().map(String::as_str)) {
            Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
            None if names.is_empty() => {
                let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.path.display().to_string()).collect();
                error.hint(format!("There is no {kind} plugin in any of {}.", dirs.join(", ")))
            }
            None => error.hint(format!("There are: {}.", names.join(", "))),
        }
    }
}

impl Known for Registry {
    fn info(&self, kind: Kind, name: &str) -> Result<Arc<PluginInfo>> {
        if let Some(candidate) = self.matching(kind, name)? {
            return self.read(candidate);
        }
        // An alias stands only in the description.
        let mut infos = self.visible(kind).filter_map(|candidate| self.read(candidate).ok());
        infos
            .find(|info| info.aliases.iter().any(|alias| alias == name))
            .ok_or_else(|| self.unknown(kind, name))
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        let mut names: Vec<String> = self
            .visible(kind)
            .map(|candidate| match self.read(candidate) {
                Ok(info) => info.short_name(),
                Err(_) => candidate.name.clone(),
            })
            .collect();
        names.sort();
        names
    }

    fn by_scheme(&self, kind: Kind, scheme: &str) -> Option<Arc<PluginInfo>> {
        let mut infos = self.visible(kind).filter_map(|candidate| self.read(candidate).ok());
        infos.find(|info| info.schemes.iter().any(|known| known == scheme))
    }
}
