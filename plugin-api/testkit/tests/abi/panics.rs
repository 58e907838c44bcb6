//! A panic becomes an error, ends what panicked, and goes no further.

use std::io::{Read, Write};

use serde_json::Map;
use windlass_plugin_api::{
    Context, CreateOptions, Error, ErrorKind, Event, ListOptions, Outputs, Result, Sink, StreamInfo,
};
use windlass_testkit::streams::{MemoryInputs, MemoryOutputs, TestReader, TestSink};

use crate::bad::calls;
use crate::{filter, notifier, source, storage};

fn cx() -> Context {
    Context::default()
}

/// `result` is the error that a panic in `call` became.
fn is_panic<T>(result: Result<T, impl Into<Error>>, call: &str) {
    let error = result.err().unwrap_or_else(|| panic!("the panic in `{call}` was swallowed")).into();
    assert_eq!(error.kind, ErrorKind::Broken, "{error}");
    assert!(error.message.contains("panicked") && error.message.contains(call), "{error}");
    assert!(error.hint.is_some(), "{error}");
}

/// `result` is the error of an instance that isn't called any more.
fn is_gone<T>(result: Result<T, impl Into<Error>>) {
    let error = result.err().expect("an instance was used again after a panic").into();
    assert_eq!(error.kind, ErrorKind::Broken, "{error}");
}

#[test]
fn a_panic_in_a_constructor_becomes_an_error() {
    is_panic(filter("new-filter", "new"), "new");
    is_panic(source("new-source", "new"), "new");
    is_panic(storage("new-storage", "new"), "new");
    is_panic(notifier("new-notifier", "new"), "new");
}

#[test]
fn a_panic_in_encode_or_decode_ends_the_filter() {
    let filter_in = |call: &str| filter(&format!("filter {call}"), call).unwrap();
    let (sink, view) = TestSink::new();
    let broken = filter_in("encode");
    is_panic(broken.encode(&cx(), "data", Box::new(sink)).map(drop), "encode");
    assert!(view.seen().dropped && view.seen().finishes == 0);
    is_gone(broken.decode(&cx(), "data", &Map::new(), Box::new(std::io::empty())).map(drop));
    assert_eq!(broken.by_hand(), None);
    assert_eq!((calls("filter encode", "decode"), calls("filter encode", "by_hand")), (0, 0));

    let broken = filter_in("decode");
    is_panic(broken.decode(&cx(), "data", &Map::new(), Box::new(std::io::empty())).map(drop), "decode");
    is_gone(broken.encode(&cx(), "data", Box::new(TestSink::new().0)).map(drop));
    assert_eq!(calls("filter decode", "encode"), 0);

    assert_eq!(filter_in("by_hand").by_hand(), None);
}

#[test]
fn a_panic_in_a_sink_aborts_what_is_behind_it_at_once() {
    for call in ["write", "flush", "finish"] {
        let name = format!("sink {call}");
        let (next, view) = TestSink::new();
        let mut sink = filter(&name, call).unwrap().encode(&cx(), "data", Box::new(next)).unwrap();
        let mut result = sink.write_all(b"bytes").map_err(Error::from);
        result = result.and_then(|()| Ok(sink.flush()?));
        result = result.and_then(|()| sink.finish().map(drop));
        is_panic(result, call);
        let seen = view.seen();
        assert!(seen.dropped, "{call}: the next sink lives on while the broken one is held");
        assert!(!seen.finished, "{call}: the next sink was finished");
        is_gone(sink.write(b"more"));
        is_gone(sink.finish());
        assert_eq!(view.seen().bytes, seen.bytes);
        assert_eq!(calls(&name, "drop-stream"), 1, "{call}");
    }
}

#[test]
fn a_panic_in_a_reader_ends_it() {
    let broken = filter("reader", "read").unwrap();
    let mut reader = broken.decode(&cx(), "data", &Map::new(), Box::new(TestReader::new(*b"bytes"))).unwrap();
    is_panic(reader.read(&mut [0; 4]), "read");
    assert_eq!(calls("reader", "drop-stream"), 1);
    is_gone(reader.read(&mut [0; 4]));
    assert_eq!(calls("reader", "read"), 1);
}

#[test]
fn a_panic_in_a_source_ends_it_and_aborts_its_streams() {
    let inputs = MemoryInputs::new().stream("data", StreamInfo::new("test/1"), *b"bytes");
    let how = Default::default();
    for call in ["probe", "discover", "backup", "target", "preview", "restore"] {
        let name = format!("source {call}");
        let (mut broken, out) = (source(&name, call).unwrap(), MemoryOutputs::new());
        match call {
            "probe" => is_panic(broken.probe(&cx()), call),
            "discover" => is_panic(broken.discover(&cx()), call),
            "backup" => is_panic(broken.backup(&cx(), &out), call),
            "target" => is_panic(broken.target(&cx(), &how), call),
            "preview" => is_panic(broken.preview(&cx(), &inputs, &how), call),
            _ => is_panic(broken.restore(&cx(), &inputs, &how), call),
        }
        for (_, seen) in out.seen() {
            assert!(seen.dropped && seen.finishes == 0, "{call}: {seen:?}");
        }
        assert_eq!(calls(&name, "drop"), 1, "{call}: the broken source is kept");
        let before = calls(&name, "backup");
        is_gone(broken.backup(&cx(), &out));
        assert_eq!(calls(&name, "backup"), before);
    }
    assert_eq!(source("source by_hand", "by_hand").unwrap().by_hand("data", &Default::default()), None);
}

#[test]
fn a_panic_in_a_storage_ends_it() {
    let (list, create) = (ListOptions::default(), CreateOptions::default());
    for call in ["create", "open", "stat", "list", "delete", "leftovers", "discard", "check"] {
        let name = format!("storage {call}");
        let broken = storage(&name, call).unwrap();
        match call {
            "create" => is_panic(broken.create(&cx(), "a", &create).map(drop), call),
            "open" => is_panic(broken.open(&cx(), "a", None).map(drop), call),
            "stat" => is_panic(broken.stat(&cx(), "a"), call),
            "list" => is_panic(broken.list(&cx(), &list), call),
            "delete" => is_panic(broken.delete(&cx(), &["a".into()]), call),
            "leftovers" => is_panic(broken.leftovers(&cx(), ""), call),
            "discard" => is_panic(broken.discard(&cx(), &[]), call),
            _ => is_panic(broken.check(&cx()), call),
        }
        let before = calls(&name, "stat");
        is_gone(broken.stat(&cx(), "a"));
        assert_eq!(calls(&name, "stat"), before, "{call}");
    }
    assert_eq!(storage("storage by_hand", "by_hand").unwrap().by_hand("a"), None);
}

#[test]
fn a_panic_in_an_upload_aborts_it_at_once() {
    for call in ["write", "finish", "publish"] {
        let name = format!("upload {call}");
        let broken = storage(&name, call).unwrap();
        let mut upload = broken.create(&cx(), "a", &CreateOptions::default()).unwrap();
        let mut result = upload.write_all(b"bytes").map_err(Error::from);
        result = result.and_then(|()| upload.finish());
        if call == "publish" {
            result = upload.publish().map(drop);
        }
        is_panic(result, call);
        assert_eq!(calls(&name, "drop-stream"), 1, "{call}: the upload lives on");
        assert_eq!(calls(&name, "publish"), u64::from(call == "publish"));
        // The storage itself is another object, and goes on.
        broken.check(&cx()).unwrap();
    }
}

#[test]
fn a_panic_in_a_notifier_ends_it() {
    let broken = notifier("notifier", "notify").unwrap();
    is_panic(broken.notify(&cx(), &Event::default()), "notify");
    is_gone(broken.notify(&cx(), &Event::default()));
    assert_eq!(calls("notifier", "notify"), 1);
}

#[test]
fn a_panic_in_a_destructor_ends_in_it() {
    drop(filter("drop filter", "drop").unwrap());
    drop(source("drop source", "drop").unwrap());
    drop(storage("drop storage", "drop").unwrap());
    drop(notifier("drop notifier", "drop").unwrap());
    for kind in ["filter", "source", "storage", "notifier"] {
        assert_eq!(calls(&format!("drop {kind}"), "drop"), 1, "{kind}");
    }
    let (next, view) = TestSink::new();
    drop(filter("drop sink", "drop-stream").unwrap().encode(&cx(), "data", Box::new(next)).unwrap());
    assert!(view.seen().dropped && view.seen().finishes == 0);
    drop(
        storage("drop upload", "drop-stream").unwrap().create(&cx(), "a", &CreateOptions::default()).unwrap(),
    );
    drop(storage("drop reader", "drop-stream").unwrap().open(&cx(), "a", None).unwrap());
    for what in ["sink", "upload", "reader"] {
        assert_eq!(calls(&format!("drop {what}"), "drop-stream"), 1, "{what}");
    }
}

#[test]
fn a_panic_whose_payload_panics_is_an_error_as_well() {
    let broken = notifier("payload", "payload notify").unwrap();
    let error = broken.notify(&cx(), &Event::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken, "{error}");
}

#[test]
fn a_panic_of_the_hosts_own_side_does_not_reach_the_plugin_as_one() {
    struct Panicking;
    impl Outputs for Panicking {
        fn create(&self, _: &str, _: StreamInfo) -> Result<Box<dyn Sink>> {
            panic!("the host panicked")
        }
    }
    let mut fine = source("host panics", "").unwrap();
    let error = fine.backup(&cx(), &Panicking).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Broken, "{error}");
    // The source passed an error on; it is not itself broken.
    fine.backup(&cx(), &MemoryOutputs::new()).unwrap();
}
