//! Values: errors, options, secrets and counts arrive as they were sent; what can't be true is refused.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RSlice, RSliceMut, RString};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use windlass_plugin_api::ffi::AbiResult;
use windlass_plugin_api::ffi::root::{filter_header, source_header};
use windlass_plugin_api::ffi::stream::{
    AbiReader, AbiReader_TO, AbiSink, AbiSink_TO, ForeignReader, ForeignSink,
};
use windlass_plugin_api::{
    Context, Error, ErrorKind, Filter, ListOptions, Plugin, Progress, Reader, Result, Secret, Sink,
};
use windlass_testkit::streams::TestSink;
use windlass_testkit::{Memory, TestHost};

use crate::bad::Bad;
use crate::{filter, root};

/// A filter that does with its context and input what it is told.
struct Probing(ProbingOptions);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbingOptions {
    what: String,
    #[serde(default)]
    password: Option<Secret>,
}

impl Plugin for Probing {
    type Options = ProbingOptions;

    fn new(options: ProbingOptions, _: &Context) -> Result<Self> {
        Ok(Self(options))
    }
}

fn rich_error() -> Error {
    let mut error =
        Error::new(ErrorKind::Full, "can't write").hint("Free some.").detail("stderr", "no space");
    error.causes = vec!["outer".into(), "inner".into()];
    error.os_error = Some(28);
    error
}

impl Filter for Probing {
    fn encode(&self, cx: &Context, _: &str, mut next: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
        match self.0.what.as_str() {
            "fail" => return Err(rich_error()),
            "reveal" => next.write_all(cx.reveal(self.0.password.as_ref().unwrap())?.as_bytes())?,
            "storage" => {
                let page = cx.storage("nas")?.list(cx, &ListOptions::default())?;
                next.write_all(page.entries[0].key.as_bytes())?;
            }
            "wait" => {
                let (tell, told) = mpsc::channel();
                let _guard = cx.on_cancel(move || tell.send(()).unwrap_or_default());
                cx.progress(&Progress { message: "waiting".into(), ..Progress::default() });
                told.recv_timeout(Duration::from_secs(60)).map_err(|_| Error::failed("nobody cancelled"))?;
                cx.go_on()?;
            }
            "lying-writer" => return Ok(Box::new(Liar(next))),
            _ => {}
        }
        Ok(next)
    }

    fn decode(&self, _: &Context, _: &str, _: &Map<String, Value>, input: Reader) -> Result<Reader> {
        Ok(if self.0.what == "lying-reader" { Box::new(Liar(input)) } else { input })
    }
}

/// Claims one byte more than can be.
struct Liar<T>(T);

impl<T> Read for Liar<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(buffer.len() + 1)
    }
}

impl<T> Write for Liar<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len() + 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for Liar<Box<dyn Sink>> {
    fn finish(&mut self) -> Result<windlass_plugin_api::Finished> {
        self.0.finish()
    }
}

impl<T: Send> AbiReader for Liar<T> {
    fn read(&mut self, buffer: RSliceMut<'_, u8>) -> AbiResult<usize> {
        AbiResult::ROk(buffer.len() + 1)
    }
}

impl<T: Send> AbiSink for Liar<T> {
    fn write(&mut self, bytes: RSlice<'_, u8>) -> AbiResult<usize> {
        AbiResult::ROk(bytes.len() + 1)
    }

    fn flush(&mut self) -> AbiResult<()> {
        AbiResult::ROk(())
    }

    fn finish(&mut self) -> AbiResult<RString> {
        AbiResult::ROk("{}".into())
    }
}

fn probing(options: &Value, cx: &Context) -> Result<Box<dyn Filter>> {
    root(filter_header::<Probing>()).filter(options, cx)
}

fn is_lie<T>(result: io::Result<T>) {
    let error = Error::from(result.err().expect("a lie was believed"));
    assert_eq!(error.kind, ErrorKind::Broken, "{error}");
    assert!(error.message.contains("claims"), "{error}");
}

#[test]
fn an_error_crosses_whole() {
    let result = probing(&json!({ "what": "fail" }), &Context::default()).unwrap();
    let error = result.encode(&Context::default(), "data", Box::new(TestSink::new().0)).err().unwrap();
    assert_eq!(error, rich_error());
}

#[test]
fn an_error_of_an_input_crosses_whole_both_ways() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(rich_error().into_io())
        }
    }
    let through = filter("passes errors", "").unwrap();
    let mut reader = through.decode(&Context::default(), "data", &Map::new(), Box::new(Failing)).unwrap();
    assert_eq!(Error::from(reader.read(&mut [0; 8]).unwrap_err()), rich_error());
}

#[test]
fn an_interrupted_call_is_made_again() {
    struct Interrupted(bool);
    impl Read for Interrupted {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if !std::mem::replace(&mut self.0, true) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            buffer[0] = 7;
            Ok(1)
        }
    }
    let through = filter("interrupted", "").unwrap();
    let input = Box::new(Interrupted(false));
    let mut reader = through.decode(&Context::default(), "data", &Map::new(), input).unwrap();
    assert_eq!(reader.read(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn a_lie_about_a_count_is_caught() {
    let lying = |what: &str| probing(&json!({ "what": what }), &Context::default()).unwrap();
    let cx = Context::default();
    let mut reader = lying("lying-reader").decode(&cx, "data", &Map::new(), Box::new(io::empty())).unwrap();
    is_lie(reader.read(&mut [0; 8]));
    let (next, view) = TestSink::new();
    let mut sink = lying("lying-writer").encode(&cx, "data", Box::new(next)).unwrap();
    is_lie(sink.write(b"bytes"));
    assert_eq!(view.len(), 0);
    // The host's own lie, told to a plugin.
    let honest = filter("honest", "").unwrap();
    is_lie(honest.decode(&cx, "data", &Map::new(), Box::new(Liar(()))).unwrap().read(&mut [0; 8]));
    let (next, _) = TestSink::new();
    is_lie(
        honest.encode(&cx, "data", Box::new(Liar(Box::new(next) as Box<dyn Sink>))).unwrap().write(b"bytes"),
    );
}

#[test]
fn a_lie_is_caught_on_the_far_side_too() {
    // As of a plugin whose near side doesn't check: another language, an older crate.
    is_lie(ForeignReader(AbiReader_TO::from_value(Liar(()), TD_Opaque)).read(&mut [0; 8]));
    is_lie(ForeignSink(AbiSink_TO::from_value(Liar(()), TD_Opaque)).write(b"bytes"));
    // Its documents are looked at as well: this one has no version.
    let error = ForeignSink(AbiSink_TO::from_value(Liar(()), TD_Opaque)).finish().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken, "{error}");
}

#[test]
fn options_that_do_not_fit_are_told_by_name() {
    let error = probing(&json!({ "what": "x", "levle": 3 }), &Context::default()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.to_string().contains("levle"), "{error}");
}

#[test]
fn a_plugin_of_another_kind_says_so() {
    let error =
        root(source_header::<Bad>()).filter(&json!({ "name": "other" }), &Context::default()).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported);
}

#[test]
fn two_plugins_of_one_kind_are_two() {
    let first =
        root(filter_header::<Bad>()).filter(&json!({ "name": "first" }), &Context::default()).unwrap();
    let second = probing(&json!({ "what": "none" }), &Context::default()).unwrap();
    assert_eq!((first.by_hand().as_deref(), second.by_hand()), (Some("cat"), None));
}

#[test]
fn secrets_and_storages_are_asked_of_the_host() {
    let nas = Memory::empty();
    nas.plant("an/object", b"bytes");
    let host = TestHost::new().secret("db", "hunter2").storage("nas", Arc::new(nas));
    let told = |options: Value| {
        let (next, view) = TestSink::new();
        probing(&options, &host.context()).unwrap().encode(&host.context(), "data", Box::new(next)).unwrap();
        String::from_utf8(view.seen().bytes).unwrap()
    };
    assert_eq!(told(json!({ "what": "reveal", "password": { "$secret": "db" } })), "hunter2");
    assert_eq!(told(json!({ "what": "reveal", "password": "literal" })), "literal");
    assert_eq!(told(json!({ "what": "storage" })), "an/object");
}

#[test]
fn a_blocked_call_hears_of_the_cancelling() {
    let host = TestHost::new();
    let cx = host.context();
    let waiting = probing(&json!({ "what": "wait" }), &cx).unwrap();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| waiting.encode(&cx, "data", Box::new(TestSink::new().0)).map(drop));
        assert!(host.wait_told(Duration::from_secs(60)));
        host.cancel();
        assert_eq!(call.join().unwrap().unwrap_err().kind, ErrorKind::Cancelled);
    });
    assert_eq!(host.callbacks(), 0);
    assert_eq!(host.progress()[0].message, "waiting");
}
