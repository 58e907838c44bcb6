//! `storage = ["nas", { name = "offsite", required = false }]` and `quorum = 2`: where snapshots go, and which of these places
//! a run can do without.
//!
//! What is read here says who must succeed; [`crate::pipeline::fan`] acts on it.

use std::time::Duration;

use super::fields::{Fields, a};
use super::pipeline::Pipeline;
use super::problem::Problem;
use super::value::{Data, Located};

/// A storage of a pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageUse {
    /// The name of a `[storage.X]`, or a URL.
    pub name: Located<String>,
    /// Whether a run fails without it, if that is said.
    pub required: Option<bool>,
    /// How long an optional one may hold the others back.
    pub stall_timeout: Option<Located<Duration>>,
}

/// How long an optional storage may hold the others back, unless the config says something else.
const STALL: Duration = Duration::from_secs(5 * 60);

const KEYS: [&str; 3] = ["name", "required", "stall_timeout"];

/// A name or a URL, a table with more to say of it, or a list of these.
pub(super) fn storages(fields: &mut Fields<'_, '_>) -> Vec<StorageUse> {
    let Some(field) = fields.table.get("storage") else { return Vec::new() };
    let items = match &field.value.value {
        Data::Array(items) => items.as_slice(),
        _ => std::slice::from_ref(&field.value),
    };
    let is_list = matches!(field.value.value, Data::Array(_));
    let mut storages = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let key = if is_list { format!("storage[{index}]") } else { "storage".to_owned() };
        match &item.value {
            Data::String(name) => {
                let name = item.with(name.clone());
                storages.push(StorageUse { name, required: None, stall_timeout: None });
            }
            Data::Table(table) => {
                let path = fields.path_of(&key);
                let origin = item.origin.clone();
                let mut fields = Fields { table, path, origin, problems: &mut *fields.problems };
                storages.extend(one(&mut fields));
            }
            other => {
                let message = format!("expected a string or a table, found {}", a(other.type_name()));
                fields.problem(&key, &item.origin, message);
            }
        }
    }
    storages
}

fn one(fields: &mut Fields<'_, '_>) -> Option<StorageUse> {
    fields.deny_unknown(&KEYS);
    if !fields.table.contains_key("name") {
        fields.problem_here("the key `name` is missing", "Name a `[storage.X]`, or write a URL.");
    }
    let required = fields.flag("required");
    let origin = fields.table.get("stall_timeout").map(|field| field.value.origin.clone());
    let stall_timeout = fields.duration("stall_timeout").zip(origin);
    let stall_timeout = stall_timeout.map(|(length, origin)| Located::new(length, origin));
    Some(StorageUse { name: fields.string("name")?, required, stall_timeout })
}

/// How many storages must have the manifest.
pub(super) fn quorum(fields: &mut Fields<'_, '_>) -> Option<Located<u32>> {
    let origin = fields.table.get("quorum")?.value.origin.clone();
    let quorum = fields.count("quorum")?;
    if quorum == 0 {
        fields.problem("quorum", &origin, "a quorum is 1 or more");
        return None;
    }
    Some(Located::new(quorum, origin))
}

impl Pipeline {
    /// Whether a run fails without the storage at `index`. All are required unless the config says otherwise; where it has a
    /// quorum and says nothing of any storage, none is by itself.
    pub fn is_required(&self, index: usize) -> bool {
        let is_said = self.storages.iter().any(|storage| storage.required.is_some());
        self.storages[index].required.unwrap_or(self.quorum.is_none() || is_said)
    }

    /// How many storages must have a snapshot's manifest: the quorum, all that are required, one.
    pub fn least_storages(&self) -> usize {
        let required = (0..self.storages.len()).filter(|&index| self.is_required(index)).count();
        let quorum = self.quorum.as_ref().map_or(1, |quorum| quorum.value as usize);
        quorum.max(required)
    }

    /// How long the storage at `index` may hold the others back; in any case less than the run may stand still.
    pub fn patience(&self, index: usize) -> Duration {
        let longest = self.stall_timeout.map_or(STALL, |limit| STALL.min(limit / 2));
        self.storages[index].stall_timeout.as_ref().map_or(longest, |length| length.value)
    }

    /// What doesn't fit together.
    pub(super) fn check_storages(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut tell = |key: String, place: &super::value::Origin, message: String| {
            problems.push(Problem::new(message).at(place).key(format!("pipeline.{}.{key}", self.name)));
        };
        let count = self.storages.len();
        if let Some(quorum) = self.quorum.as_ref().filter(|quorum| quorum.value as usize > count) {
            let message = format!("a quorum of {} can't be reached with {count} storages", quorum.value);
            tell("quorum".to_owned(), &quorum.origin, message);
        }
        for (index, storage) in self.storages.iter().enumerate() {
            let Some(length) = &storage.stall_timeout else { continue };
            let key = format!("storage[{index}].stall_timeout");
            if self.is_required(index) {
                let message =
                    "a required storage is never given up: only an optional one has a `stall_timeout`";
                tell(key, &length.origin, message.to_owned());
            } else if self.stall_timeout.is_some_and(|limit| length.value >= limit) {
                let message = "it must be shorter than the pipeline's own, which would end the run before";
                tell(key, &length.origin, message.to_owned());
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixture;

    /// Of a pipeline with this `storage` and what follows: who is required, how many must succeed, and how long each may take.
    fn rules(storage: &str) -> (Vec<bool>, usize, Vec<u64>) {
        let at = Fixture::new();
        let text = format!("[pipeline.a]\nsource = 'sqlite:x'\nstorage = {storage}\n");
        let config = at.config(&text);
        let pipeline = config.pipeline("a").unwrap();
        let all = 0..pipeline.storages.len();
        (
            all.clone().map(|index| pipeline.is_required(index)).collect(),
            pipeline.least_storages(),
            all.map(|index| pipeline.patience(index).as_secs()).collect(),
        )
    }

    #[test]
    fn who_is_required_and_how_many_must_succeed() {
        let two = |required: [bool; 2], least: usize| (required.to_vec(), least);
        for (storage, wanted) in [
            ("['fs:a', 'fs:b']", two([true, true], 2)),
            ("['fs:a', { name = 'fs:b' }]", two([true, true], 2)),
            ("['fs:a', { name = 'fs:b', required = false }]", two([true, false], 1)),
            ("['fs:a', 'fs:b']\nquorum = 1", two([false, false], 1)),
            ("['fs:a', 'fs:b']\nquorum = 2", two([false, false], 2)),
            ("['fs:a', { name = 'fs:b', required = false }]\nquorum = 2", two([true, false], 2)),
            ("['fs:a', { name = 'fs:b', required = true }]\nquorum = 1", two([true, true], 2)),
            (
                "[{ name = 'fs:a', required = false }, { name = 'fs:b', required = false }]",
                two([false, false], 1),
            ),
        ] {
            let (required, least, _) = rules(storage);
            assert_eq!((required, least), wanted, "{storage}");
        }
        assert_eq!(rules("{ name = 'fs:a' }").1, 1);
    }

    #[test]
    fn an_optional_storage_has_less_time_than_the_run_may_stand_still() {
        let optional = "['fs:a', { name = 'fs:b', required = false }]";
        assert_eq!(rules(optional).2[1], 300);
        assert_eq!(rules(&format!("{optional}\nstall_timeout = '20m'")).2[1], 300);
        assert_eq!(rules(&format!("{optional}\nstall_timeout = '1m'")).2[1], 30);
        let told = optional.replace("false", "false, stall_timeout = '1h'");
        assert_eq!(rules(&told).2[1], 3600);
    }
}
