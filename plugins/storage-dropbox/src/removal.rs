//! Deleting: only files, only under just that name, and only the version that was looked at, for the service would take a folder
//! with all that is in it.
//!
//! A folder goes with its last file, so that it isn't listed for something. Those around it stay: other runs write there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{name, parent};
use crate::documents::{Job, Metadata, Page, read};
use crate::errors;
use crate::service::Account;

/// From so many keys of one folder on it is cheaper to list it.
const MANY: usize = 3;

/// Between two questions whether a job is done: doubled from the first to the last.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LAST_WAIT: Duration = Duration::from_secs(4);

/// As long as a job is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

impl Account {
    pub async fn remove(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let found = self.looked_up(keys).await?;
        let named: Vec<usize> = (0..keys.len()).filter(|at| found.contains_key(keys[*at].as_str())).collect();
        let entries: Vec<Value> = named
            .iter()
            .map(|at| json!({ "path": self.requests.address.path(&keys[*at]), "parent_rev": found[keys[*at].as_str()].rev }))
            .collect();
        let told = match entries.as_slice() {
            [] => Vec::new(),
            [one] => vec![self.delete_one(one).await],
            _ => self.delete_many(entries).await?,
        };
        let mut fates: Vec<Result<()>> = keys.iter().map(|_| Ok(())).collect();
        for (at, fate) in named.iter().zip(told) {
            fates[*at] = fate;
        }
        let folders: BTreeSet<&str> = named.iter().map(|at| parent(&keys[*at])).collect();
        for folder in folders {
            if let Err(error) = self.tidy(folder).await {
                tracing::info!("an empty folder stays: {}", error.one_line());
            }
        }
        Ok(fates)
    }

    /// The files that are there.
    async fn looked_up<'k>(&self, keys: &'k [String]) -> Result<BTreeMap<&'k str, Metadata>> {
        let mut groups: BTreeMap<&str, Vec<&'k str>> = BTreeMap::new();
        for key in keys {
            groups.entry(parent(key)).or_default().push(key);
        }
        let mut found = BTreeMap::new();
        for (folder, keys) in groups {
            let mut listed = match keys.len() {
                ..MANY => BTreeMap::new(),
                _ => self.entries(folder, false).await?.into_iter().map(|e| (e.name.clone(), e)).collect(),
            };
            for key in keys.iter().copied() {
                let file = match keys.len() {
                    ..MANY => self.file(key).await?,
                    _ => match listed.remove(name(key)).filter(Metadata::is_file) {
                        Some(file) if self.is_spelled(key, &file).await? => Some(file),
                        _ => None,
                    },
                };
                found.extend(file.map(|file| (key, file)));
            }
        }
        Ok(found)
    }

    async fn delete_one(&self, argument: &Value) -> Result<()> {
        let answer = self.requests.send(self.requests.call("delete_v2", argument.clone())).await;
        gone(answer.map(drop))
    }

    async fn delete_many(&self, entries: Vec<Value>) -> Result<Vec<Result<()>>> {
        let count = entries.len();
        let begun = self.requests.call("delete_batch", json!({ "entries": entries }));
        let mut job: Job = read(self.requests.send(begun).await?).await?;
        let (id, mut wait, mut waited) = (job.async_job_id.clone(), FIRST_WAIT, Duration::ZERO);
        while matches!(job.tag.as_str(), "async_job_id" | "in_progress") {
            if waited > PATIENCE {
                return Err(Error::new(
                    ErrorKind::TimedOut,
                    "the service doesn't come to an end of deleting",
                ));
            }
            tokio::time::sleep(wait).await;
            waited += wait;
            wait = (wait * 2).min(LAST_WAIT);
            let asked = self.requests.call("delete_batch/check", json!({ "async_job_id": id })).question();
            job = read(self.requests.send(asked).await?).await?;
        }
        if job.tag != "complete" || job.entries.len() != count {
            return Err(errors::entry(&job.failed));
        }
        let fate = |entry: &Value| match entry[".tag"].as_str() {
            Some("success") => Ok(()),
            _ => gone(Err(errors::entry(&entry["failure"]))),
        };
        Ok(job.entries.iter().map(fate).collect())
    }

    /// Removes a folder that nothing is in.
    async fn tidy(&self, folder: &str) -> Result<()> {
        if folder.is_empty() {
            return Ok(());
        }
        let path = self.requests.address.path(folder);
        let asked = self.requests.call("list_folder", json!({ "path": path, "limit": 1 })).question();
        let page: Page = match self.requests.send(asked).await {
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(()),
            answer => read(answer?).await?,
        };
        if !page.entries.is_empty() || page.has_more {
            return Ok(());
        }
        self.seen.forget(folder);
        self.delete_one(&json!({ "path": path })).await
    }
}

/// What isn't there is deleted. What was replaced meanwhile isn't what was to be deleted.
fn gone(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind == ErrorKind::AlreadyExists => {
            Err(Error { kind: ErrorKind::Failed, ..error })
        }
        result => result,
    }
}
