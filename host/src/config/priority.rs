//! `nice` and `io_class`: how much a run gives way to what else the machine does. [`crate::run::priority`] acts on it.

use super::fields::Fields;
use super::problem::Problem;
use super::value::Data;

const NICE_EXAMPLE: &str =
    "Write it as `nice = 10`: from -20 to 19, and the more, the more others come first.";
const IO_EXAMPLE: &str = "Write it as `io_class = \"idle\"`, `io_class = \"best-effort\"` or `io_class = { class = \"best-effort\", level = 7 }`.";

/// How a run is scheduled; what isn't said stays as the process was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Priority {
    /// The nice level: from -20 to 19.
    pub nice: Option<i8>,
    /// The class of its reads and writes.
    pub io: Option<IoClass>,
}

/// A class of the I/O scheduler. None comes before other programs: a backup has no business to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoClass {
    /// Only what nobody else uses.
    Idle,
    /// As others, at a level from 0 (first) to 7 (last).
    BestEffort(u8),
}

/// What a class without a level means, as `ionice` has it.
const USUAL_LEVEL: u8 = 4;

impl Priority {
    pub(super) fn read(fields: &mut Fields<'_, '_>) -> Self {
        Self { nice: nice(fields), io: io_class(fields) }
    }
}

fn nice(fields: &mut Fields<'_, '_>) -> Option<i8> {
    let value = &fields.table.get("nice")?.value;
    let level = match &value.value {
        Data::Number(number) => number.as_i64().and_then(|number| i8::try_from(number).ok()),
        _ => None,
    };
    let level = level.filter(|level| (-20..=19).contains(level));
    if level.is_none() {
        let message = format!("`{}` is not a nice level", value.to_json());
        let problem = Problem::new(message).at(&value.origin).key(fields.path_of("nice"));
        fields.problems.push(problem.hint(NICE_EXAMPLE));
    }
    level
}

fn io_class(fields: &mut Fields<'_, '_>) -> Option<IoClass> {
    let value = &fields.table.get("io_class")?.value;
    let found = match &value.value {
        Data::Table(_) => {
            let mut parts = fields.table("io_class")?;
            parts.deny_unknown(&["class", "level"]);
            let class = parts.table.get("class").map(|field| &field.value.value);
            let level = parts.table.get("level").map(|field| &field.value.value);
            class_of(class.and_then(Data::as_str), level)
        }
        other => class_of(other.as_str(), None),
    };
    if found.is_none() {
        let message = format!("`{}` is not an I/O class", value.to_json());
        let problem = Problem::new(message).at(&value.origin).key(fields.path_of("io_class"));
        fields.problems.push(problem.hint(IO_EXAMPLE));
    }
    found
}

fn class_of(class: Option<&str>, level: Option<&Data>) -> Option<IoClass> {
    match (class?, level) {
        ("idle", None) => Some(IoClass::Idle),
        ("best-effort", None) => Some(IoClass::BestEffort(USUAL_LEVEL)),
        ("best-effort", Some(Data::Number(level))) => {
            let level = level.as_u64().and_then(|level| u8::try_from(level).ok());
            level.filter(|level| *level <= 7).map(IoClass::BestEffort)
        }
        _ => None,
    }
}
