//! From a plan with an `each` to a plan for each item.
//!
//! What a plan for one item is differs only in its name and in the options that select the item: lock, sequence, snapshots and
//! exit are its own, so that one that fails doesn't touch the others.

use std::sync::Arc;

use serde_json::{Map, Value};
use windlass_plugin_api::{Error, ErrorKind, Item};

use super::plan::{Engine, Plan};
use super::run::Run;
use super::watch::supervise;
use crate::catalog::SnapshotId;
use crate::catalog::item::label_of;
use crate::exit::{Failure, Outcome};

impl Plan {
    /// The plan for one item, which `options` select and a storage knows as `label`.
    pub fn of_item(&self, label: &str, options: Map<String, Value>) -> Self {
        let mut plan = Self { pipeline: format!("{}/{label}", self.pipeline), each: None, ..self.clone() };
        if let Value::Object(all) = &mut plan.source.options {
            all.extend(options);
        }
        plan
    }
}

/// The plan itself, or one for each item that its `each` takes. An item that can't be named in a storage is a failure of its
/// own.
pub fn expand(engine: &Arc<Engine>, plan: Plan) -> Outcome<Vec<Outcome<Plan>>> {
    let Some(each) = plan.each.clone() else { return Ok(vec![Ok(plan)]) };
    let items = discover(engine, &plan)?;
    let count = items.len();
    let taken: Vec<Item> = items.into_iter().filter(|item| each.takes(&item.name)).collect();
    if taken.is_empty() {
        let message = format!("`each` takes none of the {count} items that the source has");
        return Err(Failure::from(Error::new(ErrorKind::NotFound, message)).at(plan.source.stage()))
            .map_err(|failure| failure.in_pipeline(&plan.pipeline));
    }
    Ok(taken.into_iter().map(|item| one(&plan, &each.option, item)).collect())
}

fn one(plan: &Plan, option: &str, item: Item) -> Outcome<Plan> {
    let Some(label) = label_of(&item.name) else {
        let message = format!("the name of `{}` is too long or too odd for a storage", item.name);
        return Err(Failure::from(Error::failed(message)).in_pipeline(&plan.pipeline));
    };
    let mut options = item.options;
    options.entry(option.to_owned()).or_insert(Value::String(item.name));
    Ok(plan.of_item(&label, options))
}

/// What the source has, by name.
pub fn discover(engine: &Arc<Engine>, plan: &Plan) -> Outcome<Vec<Item>> {
    let run = Run::new(engine, SnapshotId::new(jiff::Timestamp::now()));
    let (own, chosen, cx) = (engine.clone(), plan.source.clone(), run.cx.clone());
    let ask = move || -> Outcome<Vec<Item>> {
        let mut source = own.open_source(&chosen, &cx)?;
        Ok(source.discover(&cx)?)
    };
    let found = supervise(&run.cancel, plan.limits, &run.moved, ask).and_then(|items| items);
    let found = run.cancel.reason().map_or(found, |reason| Err(reason.failure()));
    let mut items = found.map_err(|failure| failure.at(plan.source.stage()).in_pipeline(&plan.pipeline))?;
    items.sort_by(|one, other| one.name.cmp(&other.name));
    items.dedup_by(|one, other| one.name == other.name);
    Ok(items)
}
