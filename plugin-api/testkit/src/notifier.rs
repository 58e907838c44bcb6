//! The suite of notifiers.

use serde_json::Value;
use windlass_plugin_api::export::Described;
use windlass_plugin_api::ffi::root::{Root, notifier_header};
use windlass_plugin_api::{Event, Notifier, Plugin};

use crate::host::TestHost;

/// What a notifier is tested with: an end that receives.
pub trait NotifierFixture: 'static {
    /// Makes an end that has received nothing yet, shared with no other fixture.
    fn new() -> Self
    where
        Self: Sized;

    /// The options that lead to it; each call the same.
    fn options(&self) -> Value;

    /// The text of everything that arrived, an entry each, in order.
    fn received(&self) -> Vec<String>;

    /// The host that it needs: secrets.
    fn host(&self) -> TestHost {
        TestHost::new()
    }
}

/// A notifier under test.
pub struct Subject<F> {
    fixture: F,
    notifier: Box<dyn Notifier>,
}

impl<F: NotifierFixture> Subject<F> {
    /// The notifier `T` on a fixture of its own.
    pub fn new<T: Plugin + Notifier + Described + 'static>() -> Self {
        let fixture = F::new();
        let header = Box::leak(Box::new(notifier_header::<T>()));
        let root = Root::linked(header).unwrap_or_else(|error| panic!("the entry can't be used: {error}"));
        let notifier = root.notifier(&fixture.options(), &fixture.host().context());
        Self { fixture, notifier: notifier.unwrap_or_else(|error| panic!("can't be made: {error}")) }
    }
}

#[doc(hidden)]
pub fn sample_options<F: NotifierFixture>() -> Vec<Value> {
    vec![F::new().options()]
}

/// Its message, pipeline and host label are in what arrives.
pub fn an_event_arrives_once_and_whole<F: NotifierFixture>(subject: &Subject<F>) {
    let event = Event {
        event: "failure".into(),
        command: "backup".into(),
        pipeline: Some("shop".into()),
        host: "web1".into(),
        time: 1_795_000_000,
        message: "no space left on `nas`".into(),
        ..Event::default()
    };
    subject.notifier.notify(&subject.fixture.host().context(), &event).unwrap();
    let received = subject.fixture.received();
    assert_eq!(received.len(), 1, "one event gave {received:?}");
    for part in ["shop", "web1", "no space left on `nas`"] {
        assert!(received[0].contains(part), "`{part}` is missing in {}", received[0]);
    }
}
