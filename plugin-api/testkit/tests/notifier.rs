//! A notifier that loses or repeats what it is told doesn't pass.

use std::panic::catch_unwind;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};
use windlass_plugin_api::export::Described;
use windlass_plugin_api::{Context, Event, Notifier, Plugin, Result};
use windlass_testkit::notifier::{self as suite, NotifierFixture, Subject};

static TOLD: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());

#[derive(Deserialize)]
struct Careless {
    fault: String,
}

impl Described for Careless {
    const DESCRIPTION: &'static [&'static str] = &[];
}

impl Plugin for Careless {
    type Options = Self;

    fn new(options: Self, _: &Context) -> Result<Self> {
        Ok(options)
    }
}

impl Notifier for Careless {
    fn notify(&self, _: &Context, event: &Event) -> Result<()> {
        let mut line = format!("{} {:?}: {}", event.host, event.pipeline, event.message);
        if self.fault == "says-half" {
            line.truncate(10);
        }
        let times = match self.fault.as_str() {
            "says-nothing" => 0,
            "says-twice" => 2,
            _ => 1,
        };
        let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        told.extend((0..times).map(|_| (self.fault.clone(), line.clone())));
        Ok(())
    }
}

/// One for each fault.
struct Ear<const FAULT: usize>;

const FAULTS: [&str; 4] = ["none", "says-nothing", "says-twice", "says-half"];

impl<const FAULT: usize> NotifierFixture for Ear<FAULT> {
    fn new() -> Self {
        Self
    }

    fn options(&self) -> Value {
        json!({ "fault": FAULTS[FAULT] })
    }

    fn received(&self) -> Vec<String> {
        let told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().filter(|(fault, _)| fault == FAULTS[FAULT]).map(|(_, line)| line.clone()).collect()
    }
}

fn passes<const FAULT: usize>() -> bool {
    catch_unwind(|| suite::an_event_arrives_once_and_whole(&Subject::<Ear<FAULT>>::new::<Careless>())).is_ok()
}

#[test]
fn a_notifier_with_a_fault_does_not_pass() {
    assert!(passes::<0>());
    assert!(!passes::<1>() && !passes::<2>() && !passes::<3>());
}
