//! A storage that breaks the contract in one point doesn't pass the suite.

use std::cell::Cell;
use std::io::{self, Write};
use std::panic::catch_unwind;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use windlass_plugin_api::export::Described;
use windlass_plugin_api::{
    ByteRange, Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Page, Plugin, Reader,
    Result, Storage, StorageReport, Stored, Upload,
};
use windlass_testkit::Memory;
use windlass_testkit::storage::{self as suite, StorageFixture, Subject};

#[derive(Deserialize, JsonSchema)]
struct Options {
    name: String,
    fault: String,
}

/// A memory storage with one fault.
struct Careless {
    memory: Memory,
    fault: String,
}

impl Described for Careless {
    const DESCRIPTION: &'static [&'static str] = Memory::DESCRIPTION;
}

impl Plugin for Careless {
    type Options = Options;

    fn new(options: Options, _: &Context) -> Result<Self> {
        Ok(Self { memory: Memory::named(&options.name), fault: options.fault })
    }
}

impl Careless {
    fn is(&self, fault: &str) -> bool {
        self.fault == fault
    }
}

struct CarelessUpload {
    inner: Option<Box<dyn Upload>>,
    memory: Memory,
    key: String,
    fault: String,
    bytes: Vec<u8>,
}

impl Write for CarelessUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        self.inner.as_mut().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Upload for CarelessUpload {
    fn finish(&mut self) -> Result<()> {
        if self.fault == "visible-early" {
            self.memory.plant(&self.key, &self.bytes);
        }
        self.inner.as_mut().unwrap().finish()
    }

    fn publish(mut self: Box<Self>) -> Result<Stored> {
        let inner = self.inner.take().unwrap();
        match self.fault.as_str() {
            "appends" => {
                let mut whole = self.memory.objects().remove(&self.key).unwrap_or_default();
                whole.extend_from_slice(&self.bytes);
                self.memory.plant(&self.key, &whole);
                Ok(Stored { size_bytes: self.bytes.len() as u64, ..Stored::default() })
            }
            _ => inner.publish(),
        }
    }
}

impl Drop for CarelessUpload {
    fn drop(&mut self) {
        match (self.fault.as_str(), self.inner.take()) {
            ("drop-publishes", Some(_)) => self.memory.plant(&self.key, &self.bytes),
            ("drop-leaks", Some(inner)) => std::mem::forget(inner),
            _ => {}
        }
    }
}

impl Storage for Careless {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        let mut how = how.clone();
        if how.if_absent && self.is("if-absent-at-create-only") {
            self.memory.create(cx, key, &how)?;
            how.if_absent = false;
        }
        if self.is("forgets-the-run") {
            how.run.clear();
        }
        let any_key =
            self.is("takes-any-key").then(|| key.replace("..", "up").trim_matches('/').replace("//", "/"));
        let inner = self.memory.create(cx, any_key.as_deref().unwrap_or(key), &how)?;
        let (memory, key, fault) = (self.memory.clone(), key.to_owned(), self.fault.clone());
        Ok(Box::new(CarelessUpload { inner: Some(inner), memory, key, fault, bytes: Vec::new() }))
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        let size = self.memory.stat(cx, key)?.map_or(0, |object| object.size_bytes);
        let range = match range {
            Some(range) if self.is("range-past-the-end-fails") && range.offset > size => {
                return Err(Error::failed("416"));
            }
            Some(ByteRange { offset, length }) if self.is("range-is-inclusive") => {
                Some(ByteRange { offset, length: length.map(|length| length.saturating_add(1)) })
            }
            _ if self.is("ignores-ranges") => None,
            other => other,
        };
        self.memory.open(cx, key, range).map_err(|error| match error.kind {
            ErrorKind::NotFound if self.is("absent-is-a-failure") => Error::failed("404"),
            _ => error,
        })
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        let mut object = self.memory.stat(cx, key)?;
        if self.is("wrong-sizes") {
            object.iter_mut().for_each(|object| object.size_bytes += 1);
        }
        Ok(object)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        let mut what = what.clone();
        if self.is("ignores-delimiters") {
            what.delimiter = None;
        }
        if self.is("ignores-starts") {
            what.after = None;
        }
        if self.is("ignores-limits") {
            what.limit = None;
        }
        if self.is("prefix-is-a-folder") && !what.prefix.is_empty() && !what.prefix.ends_with('/') {
            what.prefix.push('/');
        }
        let mut page = self.memory.list(cx, &what)?;
        if self.is("never-more") {
            page.more = false;
        }
        if self.is("order-of-folders") {
            page.entries.sort_by(|a, b| a.key.split('/').cmp(b.key.split('/')));
        }
        Ok(page)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        let absent = |key: &String| !self.memory.objects().contains_key(key);
        let fate = |key: &String| if absent(key) { Err(Error::failed("404")) } else { Ok(()) };
        let fates: Vec<_> = keys.iter().map(fate).collect();
        let deleted = self.memory.delete(cx, if self.is("deletes-nothing") { &[] } else { keys })?;
        Ok(match self.fault.as_str() {
            "absent-can-not-be-deleted" => fates,
            "deletes-nothing" => keys.iter().map(|_| Ok(())).collect(),
            _ => deleted,
        })
    }

    fn leftovers(&self, cx: &Context, prefix: &str) -> Result<Vec<Leftover>> {
        let all = if self.is("tells-all-leftovers") { "" } else { prefix };
        if self.is("tells-no-leftovers") { Ok(Vec::new()) } else { self.memory.leftovers(cx, all) }
    }

    fn discard(&self, cx: &Context, leftovers: &[Leftover]) -> Result<()> {
        if self.is("discards-all") {
            let all = self.memory.leftovers(cx, "")?;
            return self.memory.discard(cx, &all);
        }
        self.memory.discard(cx, leftovers)
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        if self.is("check-leaves-something") {
            self.memory.plant(".windlass-check", b"");
        }
        self.memory.check(cx)
    }
}

thread_local! {
    static FAULT: Cell<&'static str> = const { Cell::new("none") };
}

/// Keeps the shared storage alive.
struct Shelf(#[allow(dead_code)] Memory, String, &'static str);

impl StorageFixture for Shelf {
    fn new() -> Self {
        let name = tempfile::tempdir().unwrap().path().display().to_string();
        Self(Memory::named(&name), name, FAULT.get())
    }

    fn options(&self) -> Value {
        json!({ "name": self.1, "fault": self.2 })
    }
}

type Proof = fn(&Subject);

fn passes(fault: &'static str, proof: Proof) -> bool {
    FAULT.set(fault);
    catch_unwind(|| proof(&Subject::new::<Careless, Shelf>())).is_ok()
}

#[test]
fn a_storage_with_a_fault_does_not_pass() {
    let faults: [(&str, Proof); 23] = [
        ("visible-early", suite::an_object_is_invisible_before_it_is_published),
        ("drop-publishes", suite::a_dropped_upload_leaves_nothing),
        ("drop-leaks", suite::a_dropped_upload_leaves_nothing),
        ("appends", suite::an_object_is_replaced_whole_or_not_at_all),
        ("drop-publishes", suite::an_object_is_replaced_whole_or_not_at_all),
        ("if-absent-at-create-only", suite::an_object_that_must_be_absent_replaces_nothing),
        ("wrong-sizes", suite::what_is_put_comes_back),
        ("range-past-the-end-fails", suite::ranges_are_what_they_name),
        ("range-is-inclusive", suite::ranges_are_what_they_name),
        ("ignores-ranges", suite::ranges_are_what_they_name),
        ("absent-is-a-failure", suite::what_is_not_there_is_told),
        ("takes-any-key", suite::keys_that_lead_outside_are_refused),
        ("absent-can-not-be-deleted", suite::what_is_deleted_is_gone_and_the_rest_stays),
        ("deletes-nothing", suite::what_is_deleted_is_gone_and_the_rest_stays),
        ("ignores-delimiters", suite::a_listing_is_in_byte_order_and_complete),
        ("ignores-starts", suite::a_listing_is_in_byte_order_and_complete),
        ("order-of-folders", suite::a_listing_is_in_byte_order_and_complete),
        ("prefix-is-a-folder", suite::a_listing_is_in_byte_order_and_complete),
        ("ignores-limits", suite::pages_add_up_to_the_whole),
        ("never-more", suite::pages_add_up_to_the_whole),
        ("forgets-the-run", suite::what_a_dead_maker_left_is_told_and_can_be_removed),
        ("tells-all-leftovers", suite::what_a_dead_maker_left_is_told_and_can_be_removed),
        ("check-leaves-something", suite::a_check_leaves_nothing),
    ];
    for (fault, proof) in faults {
        assert!(passes("none", proof), "the proof against `{fault}` fails without it");
        assert!(!passes(fault, proof), "a storage with the fault `{fault}` passed");
    }
    for fault in ["tells-no-leftovers", "discards-all"] {
        assert!(!passes(fault, suite::what_a_dead_maker_left_is_told_and_can_be_removed), "`{fault}` passed");
    }
}
