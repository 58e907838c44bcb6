//! Deleting: only objects, only under just that name, and of a file only the version that was looked at. A folder goes with its last
//! object; those around it stay, for other runs write there.

use std::collections::BTreeMap;

use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::parent;
use crate::documents::Item;
use crate::service::Drive;
use crate::spelling::Folder;
use crate::tree::Found;

impl Drive {
    pub async fn delete_all(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            groups.entry(parent(key)).or_default().push(at);
        }
        let mut fates: Vec<Result<()>> = keys.iter().map(|_| Ok(())).collect();
        for (folder, group) in groups {
            let there = match self.objects_in(folder).await {
                Ok(there) => there,
                Err(error) => {
                    group.iter().for_each(|at| fates[*at] = Err(error.clone()));
                    continue;
                }
            };
            for at in group {
                for item in there.get(&keys[at]).into_iter().flatten() {
                    fates[at] = fates[at].clone().and(gone(self.requests.remove(item).await, &keys[at]));
                }
            }
            if let Err(error) = self.tidy(folder).await {
                tracing::info!("an empty folder stays: {}", error.one_line());
            }
        }
        Ok(fates)
    }

    /// The objects of a folder, each in all of its forms.
    async fn objects_in(&self, folder: &str) -> Result<BTreeMap<String, Vec<Item>>> {
        let mut objects: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        if !matches!(self.folder(folder).await?, Folder::There) {
            return Ok(objects);
        }
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        for found in self.walk(&prefix, false).await? {
            if let Found::Small(key, item) | Found::Large(key, item) = found {
                objects.entry(key).or_default().push(item);
            }
        }
        Ok(objects)
    }
}

/// What was replaced meanwhile isn't what was to be deleted.
fn gone(result: Result<()>, key: &str) -> Result<()> {
    result.map_err(|error| match error.kind {
        ErrorKind::Failed => {
            Error::failed(format!("`{key}` was replaced while it was to be deleted")).because(&error)
        }
        _ => error,
    })
}
