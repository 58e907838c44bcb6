//! Reads what a storage holds.

use std::collections::BTreeMap;
use std::io::Read;

use windlass_plugin_api::{Context, During, Error, ErrorKind, ListOptions, Object, Result, Storage};

use super::abreast::abreast;
use super::level::Shelf;
use super::manifest::{MAX_BYTES, Manifest};
use super::recall::{self, Recall};
use super::reference::{Reference, When};
use super::snapshot::{MANIFEST, SnapshotId, SnapshotKey, is_host_label, is_pipeline_name, pipeline_prefix};
use crate::exit::{Failure, Outcome};

/// The snapshots of one storage.
#[derive(Clone, Copy)]
pub struct Catalog<'a> {
    storage: &'a dyn Storage,
    cx: &'a Context,
    recall: Option<&'a Recall>,
}

/// A snapshot as it was found: with its manifest, or with the reason why that can't be read.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it lies.
    pub key: SnapshotKey,
    /// The manifest, or what is wrong with it.
    pub manifest: Result<Manifest>,
    /// It was read earlier, and the storage's listing says that it is the same.
    pub is_recalled: bool,
}

impl Found {
    /// What snapshots are ordered by: damaged ones by their id alone.
    fn order(&self) -> (u64, &SnapshotId) {
        (self.manifest.as_ref().map_or(0, |manifest| manifest.sequence), &self.key.id)
    }
}

impl<'a> Catalog<'a> {
    /// The catalog of `storage`.
    pub fn new(storage: &'a dyn Storage, cx: &'a Context) -> Self {
        Self { storage, cx, recall: None }
    }

    /// Manifests that were read before need not be read again to be shown.
    #[must_use]
    pub fn with(self, recall: Option<&'a Recall>) -> Self {
        Self { recall, ..self }
    }

    /// The hosts that have snapshots here.
    pub fn hosts(&self) -> Result<Vec<String>> {
        Ok(self.folders("")?.into_iter().filter(|host| is_host_label(host)).collect())
    }

    /// The pipelines of `host`. Items of an `each` lie one level deeper: a folder whose own folders are no ids.
    pub fn pipelines(&self, host: &str) -> Result<Vec<String>> {
        let mut pipelines = Vec::new();
        for name in self.folders(&format!("{host}/"))? {
            if !is_pipeline_name(&name) {
                continue;
            }
            let below = self.folders(&pipeline_prefix(host, &name))?;
            if below.iter().any(|folder| folder.parse::<SnapshotId>().is_ok()) {
                pipelines.push(name.clone());
            }
            pipelines.extend(items(&name, &below));
        }
        Ok(pipelines)
    }

    /// The snapshots of a pipeline and of the items of its `each`, or those of every pipeline of `host`.
    pub fn everything(&self, host: &str, pipeline: Option<&str>) -> Result<Vec<Found>> {
        let names = match pipeline {
            Some(name) => vec![name.to_owned()],
            None => self.folders(&format!("{host}/"))?,
        };
        let mut all = Vec::new();
        for name in names.iter().filter(|name| is_pipeline_name(name)) {
            let below = self.folders(&pipeline_prefix(host, name))?;
            all.extend(self.found(host, name, &below, true)?);
            for item in items(name, &below) {
                all.extend(self.snapshots(host, &item)?);
            }
        }
        Ok(all)
    }

    /// The snapshots of a pipeline, oldest first. Folders without a manifest aren't snapshots.
    pub fn snapshots(&self, host: &str, pipeline: &str) -> Result<Vec<Found>> {
        self.found(host, pipeline, &self.folders(&pipeline_prefix(host, pipeline))?, true)
    }

    /// The snapshots among the `folders` of a pipeline, which are all that it has or some of them.
    fn found(&self, host: &str, pipeline: &str, folders: &[String], are_all: bool) -> Result<Vec<Found>> {
        let ids = folders.iter().filter_map(|folder| folder.parse::<SnapshotId>().ok());
        let key = |id| SnapshotKey { host: host.to_owned(), pipeline: pipeline.to_owned(), id };
        let mut keys: Vec<SnapshotKey> = ids.map(key).collect();
        let recall = self.recall.filter(|_| keys.len() >= recall::WORTH);
        let recalled = match recall {
            Some(recall) => Some(recall.open(host, pipeline, self.manifests(host, pipeline, &keys)?)),
            None => None,
        };
        if let Some(recalled) = &recalled {
            keys.retain(|key| recalled.is_there(key));
        }
        let read = abreast(&keys, |key| {
            self.cx.go_on()?;
            if let Some(manifest) = recalled.as_ref().and_then(|recalled| recalled.manifest(key)) {
                return Ok((Some(Ok(manifest)), None));
            }
            match self.manifest_bytes(key) {
                Ok((manifest, bytes)) => Ok((Some(Ok(manifest)), Some(bytes))),
                Err(error) if error.kind == ErrorKind::NotFound => Ok((None, Some(Vec::new()))),
                Err(error) if matches!(error.kind, ErrorKind::Damaged | ErrorKind::Unsupported) => {
                    Ok((Some(Err(error)), Some(Vec::new())))
                }
                Err(error) => Err(error),
            }
        })?;
        let (mut found, mut news) = (Vec::new(), Vec::new());
        for (key, (manifest, bytes)) in keys.into_iter().zip(read) {
            let is_recalled = bytes.is_none();
            if let (Some(bytes), Some(Ok(_))) = (bytes, &manifest) {
                news.push((key.clone(), bytes));
            }
            found.extend(manifest.map(|manifest| Found { key, manifest, is_recalled }));
        }
        if let Some(Err(error)) = recalled.map(|recalled| recalled.keep(news, are_all)) {
            tracing::debug!(%error, "what was read isn't remembered");
        }
        found.sort_by(|a, b| a.order().cmp(&b.order()));
        Ok(found)
    }

    /// The objects that are the manifests of these snapshots, as listings tell them.
    fn manifests(&self, host: &str, pipeline: &str, keys: &[SnapshotKey]) -> Result<Vec<Object>> {
        let place = pipeline_prefix(host, pipeline);
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let pages = abreast(&recall::prefixes(&ids), |prefix| {
            let mut manifests = Vec::new();
            self.entries(&format!("{place}{prefix}"), None, |entry| {
                let rest = entry.key.strip_prefix(&place).and_then(|rest| rest.split_once('/'));
                // An item of an `each` lies deeper.
                if rest.is_some_and(|(_, name)| name == MANIFEST) {
                    manifests.push(entry);
                }
            })?;
            Ok(manifests)
        })?;
        Ok(pages.into_iter().flatten().collect())
    }

    /// The snapshots among which the newest is, by sequence, the newest last.
    pub fn newest(&self, host: &str, pipeline: &str) -> Result<Vec<Found>> {
        self.newest_of(host, pipeline, &self.folders(&pipeline_prefix(host, pipeline))?)
    }

    /// The snapshots among which the newest of `folders` is, the newest last: the latest by its id that can be read, with those that are
    /// later and can't, and all that are belated.
    fn newest_of(&self, host: &str, pipeline: &str, folders: &[String]) -> Result<Vec<Found>> {
        let is_belated = |folder: &String| folder.parse::<SnapshotId>().is_ok_and(|id| id.is_belated());
        let (belated, others): (Vec<String>, Vec<String>) = folders.iter().cloned().partition(is_belated);
        let mut all = self.found(host, pipeline, &belated, false)?;
        for folder in others.into_iter().rev() {
            let found = self.found(host, pipeline, &[folder], false)?;
            let is_read = found.iter().any(|found| found.manifest.is_ok());
            all.extend(found);
            if is_read {
                break;
            }
        }
        all.sort_by(|a, b| a.order().cmp(&b.order()));
        Ok(all)
    }

    /// Folders of a pipeline that hold no manifest: a run that died, or one under way.
    pub fn incomplete(&self, host: &str, pipeline: &str) -> Result<Vec<SnapshotKey>> {
        let mut incomplete = Vec::new();
        for folder in self.folders(&pipeline_prefix(host, pipeline))? {
            let Ok(id) = folder.parse::<SnapshotId>() else { continue };
            let key = SnapshotKey { host: host.to_owned(), pipeline: pipeline.to_owned(), id };
            if self.storage.stat(self.cx, &key.object(MANIFEST))?.is_none() {
                incomplete.push(key);
            }
        }
        Ok(incomplete)
    }

    /// What this storage holds of a pipeline.
    pub fn shelf(&self, host: &str, pipeline: &str) -> Result<Shelf> {
        // In this order: of a snapshot that comes meanwhile everything is there before its manifest is.
        let found = self.snapshots(host, pipeline)?;
        let mut objects = BTreeMap::new();
        let prefix = pipeline_prefix(host, pipeline);
        self.entries(&prefix, None, |entry| _ = objects.insert(entry.key, entry.size_bytes))?;
        Ok(Shelf { found, objects })
    }

    /// The manifest of one snapshot; [`NotFound`](ErrorKind::NotFound) if there is none.
    pub fn manifest(&self, key: &SnapshotKey) -> Result<Manifest> {
        self.manifest_bytes(key).map(|(manifest, _)| manifest)
    }

    /// With the bytes of its object.
    pub fn manifest_bytes(&self, key: &SnapshotKey) -> Result<(Manifest, Vec<u8>)> {
        let object = key.object(MANIFEST);
        let mut bytes = Vec::new();
        let reader = self.storage.open(self.cx, &object, None)?;
        reader
            .take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .during_with(|| format!("can't read the manifest of `{key}`"))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(Error::damaged(format!(
                "the manifest of `{key}` is damaged: it is over {MAX_BYTES} bytes"
            )));
        }
        Ok((Manifest::from_bytes(&bytes, key)?, bytes))
    }

    /// The snapshot that `reference` names, on `host` unless it names another.
    pub fn resolve(&self, reference: &Reference, host: &str) -> Outcome<Manifest> {
        let host = reference.host.as_deref().unwrap_or(host);
        let pipeline = &reference.pipeline;
        let mut folders = self.folders(&pipeline_prefix(host, pipeline))?;
        if let When::Id(prefix) = &reference.when {
            let wanted = prefix.to_ascii_lowercase();
            folders.retain(|folder| folder.to_ascii_lowercase().starts_with(&wanted));
        }
        if let When::At(time) = &reference.when {
            folders.retain(|folder| folder.parse::<SnapshotId>().is_ok_and(|id| id.time() <= *time));
        }
        let found = match &reference.when {
            When::Id(_) => self.found(host, pipeline, &folders, false)?,
            When::Newest | When::At(_) => self.newest_of(host, pipeline, &folders)?,
        };
        let chosen = match &reference.when {
            When::Id(prefix) => only_one(&found, prefix)?,
            When::Newest | When::At(_) => found.last(),
        };
        match chosen {
            // What is recalled chooses; what is used is what the storage has.
            Some(found) if found.is_recalled => Ok(self.manifest(&found.key)?),
            Some(found) => Ok(found.manifest.clone()?),
            None => Err(self.nothing(reference, host, &self.snapshots(host, pipeline)?)),
        }
    }

    fn nothing(&self, reference: &Reference, host: &str, found: &[Found]) -> Failure {
        let pipeline = &reference.pipeline;
        if let Some(oldest) = found.first() {
            return Failure::not_found(format!("no snapshot `{reference}` of host `{host}`")).hint(format!(
                "There are {}, the oldest is `{}`: see `windlass list {pipeline}`.",
                found.len(),
                oldest.key
            ));
        }
        let elsewhere: Vec<String> = self
            .hosts()
            .unwrap_or_default()
            .into_iter()
            .filter(|other| other != host && self.pipelines(other).is_ok_and(|all| all.contains(pipeline)))
            .collect();
        let failure = Failure::not_found(format!("no snapshot of `{pipeline}` of host `{host}`"));
        match elsewhere.first() {
            Some(other) => failure.hint(format!("Host `{other}` has some: name it as `{other}/{pipeline}`.")),
            None => failure.hint("See what there is with `windlass list --all-hosts`."),
        }
    }

    /// The names that stand between `prefix` and the next slash.
    fn folders(&self, prefix: &str) -> Result<Vec<String>> {
        let mut folders = Vec::new();
        self.entries(prefix, Some("/"), |entry| {
            let name = entry.key.strip_prefix(prefix).and_then(|name| name.strip_suffix('/'));
            folders.extend(name.map(str::to_owned));
        })?;
        Ok(folders)
    }

    /// Every entry below `prefix`, page by page.
    fn entries(&self, prefix: &str, delimiter: Option<&str>, mut each: impl FnMut(Object)) -> Result<()> {
        let mut what = ListOptions {
            prefix: prefix.to_owned(),
            delimiter: delimiter.map(str::to_owned),
            ..ListOptions::default()
        };
        loop {
            let page = self.storage.list(self.cx, &what)?;
            let last = page.entries.last().map(|entry| entry.key.clone());
            page.entries.into_iter().for_each(&mut each);
            // A storage that says "more" and gives nothing, or the same again, would keep us here for ever.
            if !page.more || last.is_none() || last <= what.after {
                return Ok(());
            }
            what.after = last;
        }
    }
}

fn only_one<'f>(found: &'f [Found], prefix: &str) -> Outcome<Option<&'f Found>> {
    let wanted = prefix.to_ascii_lowercase();
    let mut fitting =
        found.iter().filter(|snapshot| snapshot.key.id.as_str().to_ascii_lowercase().starts_with(&wanted));
    let first = fitting.next();
    if let Some(second) = fitting.next() {
        let first = first.map(|snapshot| snapshot.key.id.to_string()).unwrap_or_default();
        return Err(Failure::not_found(format!(
            "`{prefix}` begins several ids: `{first}`, `{}`, …",
            second.key.id
        ))
        .hint("Write more of it."));
    }
    Ok(first)
}

/// The items of an `each` among the folders of `pipeline`.
fn items(pipeline: &str, folders: &[String]) -> impl Iterator<Item = String> {
    let items = folders.iter().filter(|folder| folder.parse::<SnapshotId>().is_err());
    items.map(move |item| format!("{pipeline}/{item}")).filter(|name| is_pipeline_name(name))
}
