//! What it is asked to do wrong, it does wrong, and nothing else.

use serde_json::json;
use windlass_notifier_misbehaving::Misbehaving;
use windlass_plugin_api::ffi::root::{Root, notifier_header};
use windlass_plugin_api::{Context, ErrorKind, Event, Notifier, Result};

fn made(behaviour: &str) -> Result<Box<dyn Notifier>> {
    let root = Root::linked(Box::leak(Box::new(notifier_header::<Misbehaving>()))).unwrap();
    root.notifier(&json!({ "behaviour": behaviour }), &Context::default())
}

fn told(behaviour: &str) -> Result<()> {
    made(behaviour)?.notify(&Context::default(), &Event::default())
}

#[test]
fn it_goes_wrong_where_it_was_asked_to() {
    assert_eq!(told("panic-in-new").unwrap_err().kind, ErrorKind::Broken);
    assert_eq!(told("panic-in-notify").unwrap_err().kind, ErrorKind::Broken);
    assert_eq!(told("fails").unwrap_err().kind, ErrorKind::Unavailable);
    told("panic-in-drop").unwrap();
    told("none").unwrap();
}
