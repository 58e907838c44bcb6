//! What only objects do: they are replaced and vanish while they are read, have keys that are no file names, and are restored
//! among others.

mod common;

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use windlass_plugin_api::{
    ByteRange, Contents, Context, CreateOptions, Error, ErrorKind, ListOptions, Object, Page, Reader,
    RestoreMode, RestoreOptions, Result, Source, Storage, StorageReport, StreamInfo, Upload,
};
use windlass_testkit::noise::noise;
use windlass_testkit::streams::{MemoryInputs, MemoryOutputs};
use windlass_testkit::{Failure, Faulty, Memory, Operation, SourceFixture, TestHost};

use common::{LARGE, Media, host, mode, picture, source};

/// Why a backup fails.
fn refused(host: &TestHost, options: serde_json::Value) -> Error {
    backup(host, options).map(drop).unwrap_err()
}

fn backup(host: &TestHost, options: serde_json::Value) -> Result<(Contents, MemoryInputs)> {
    let out = MemoryOutputs::new();
    let contents = source(options).backup(&host.context(), &out)?;
    Ok((contents, out.inputs()))
}

/// A storage that changes while it is read, or refuses to be.
struct Moving {
    memory: Memory,
    reads: AtomicU32,
    /// What happens to the large object at its first so many reads.
    times: u32,
    deed: fn(&Memory, u32),
    /// How reading it ends then.
    error: fn() -> Option<Error>,
}

impl Moving {
    fn storage(
        memory: &Memory,
        times: u32,
        deed: fn(&Memory, u32),
        error: fn() -> Option<Error>,
    ) -> Arc<Self> {
        Arc::new(Self { memory: memory.clone(), reads: AtomicU32::new(0), times, deed, error })
    }
}

impl Storage for Moving {
    fn create(&self, cx: &Context, key: &str, how: &CreateOptions) -> Result<Box<dyn Upload>> {
        self.memory.create(cx, key, how)
    }

    fn open(&self, cx: &Context, key: &str, range: Option<ByteRange>) -> Result<Reader> {
        let reader = self.memory.open(cx, key, range)?;
        if key != "up/large" || self.reads.load(Ordering::SeqCst) >= self.times {
            return Ok(reader);
        }
        let number = self.reads.fetch_add(1, Ordering::SeqCst);
        let mut half = Vec::new();
        reader.take(LARGE as u64 / 2).read_to_end(&mut half)?;
        (self.deed)(&self.memory, number);
        let error = self.error;
        Ok(Box::new(io::Cursor::new(half).chain(Ends(error))))
    }

    fn stat(&self, cx: &Context, key: &str) -> Result<Option<Object>> {
        self.memory.stat(cx, key)
    }

    fn list(&self, cx: &Context, what: &ListOptions) -> Result<Page> {
        self.memory.list(cx, what)
    }

    fn delete(&self, cx: &Context, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.memory.delete(cx, keys)
    }

    fn check(&self, cx: &Context) -> Result<StorageReport> {
        self.memory.check(cx)
    }
}

struct Ends(fn() -> Option<Error>);

impl Read for Ends {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        (self.0)().map_or(Ok(0), |error| Err(error.into()))
    }
}

fn other(number: u32) -> Vec<u8> {
    noise(100 + u64::from(number), LARGE + 10)
}

fn restored(contents: Contents, streams: &MemoryInputs) -> String {
    let target = Memory::empty();
    let how = RestoreOptions { contents: Some(contents), ..mode(RestoreMode::Fail) };
    let host = host("target", Arc::new(target.clone()));
    source(json!({ "storage": "target" })).restore(&host.context(), streams, &how).unwrap();
    picture(&target, "")
}

fn extracted(streams: &MemoryInputs, name: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let mut tar = Command::new("tar")
        .args(["-xf", "-"])
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut archive = Vec::new();
    windlass_plugin_api::Inputs::open(streams, "data").unwrap().read_to_end(&mut archive).unwrap();
    tar.stdin.take().unwrap().write_all(&archive).unwrap();
    assert!(tar.wait().unwrap().success());
    std::fs::read(folder.path().join(name)).unwrap()
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_there_in_its_newer_form() {
    for ending in [|| Some(Error::failed("it was replaced")), || None] {
        let media = Media::new();
        media.storage.delete(&Context::default(), &["up/a".to_owned()]).unwrap();
        let replace: fn(&Memory, u32) = |memory, number| memory.plant("up/large", &other(number));
        let host = host("media", Moving::storage(&media.storage, 2, replace, ending));
        let (contents, streams) = backup(&host, media.options()).unwrap();
        assert!(contents.warnings[0].contains("2 times an object was replaced"), "{:?}", contents.warnings);
        assert_eq!(contents.left_out, Vec::<String>::new());
        assert!(extracted(&streams, "large") == other(1), "another object was extracted");
        assert_eq!(restored(contents, &streams), picture(&media.storage, "up/"));
    }
}

#[test]
fn an_object_that_vanishes_while_it_is_read_is_told_and_not_restored_in_half() {
    let media = Media::new();
    let remove: fn(&Memory, u32) = |memory, _| {
        memory.delete(&Context::default(), &["up/large".to_owned()]).unwrap();
    };
    let host = host("media", Moving::storage(&media.storage, 9, remove, || Some(Error::failed("gone"))));
    let (contents, streams) = backup(&host, media.options()).unwrap();
    assert!(contents.warnings[0].contains("1 objects were removed"), "{:?}", contents.warnings);
    assert_eq!(restored(contents, &streams), picture(&media.storage, "up/"));
}

#[test]
fn an_object_that_is_replaced_again_and_again_is_left_out_and_told() {
    let media = Media::new();
    let replace: fn(&Memory, u32) = |memory, number| memory.plant("up/large", &other(number));
    let host =
        host("media", Moving::storage(&media.storage, 99, replace, || Some(Error::failed("replaced"))));
    let (contents, streams) = backup(&host, media.options()).unwrap();
    assert!(contents.left_out[0].contains("`up/large`"), "{:?}", contents.left_out);
    media.storage.delete(&Context::default(), &["up/large".to_owned()]).unwrap();
    assert_eq!(restored(contents, &streams), picture(&media.storage, "up/"));
}

#[test]
fn an_object_that_can_not_be_read_ends_the_backup_with_its_error() {
    let media = Media::new();
    let unavailable = || Some(Error::new(ErrorKind::Unavailable, "the line is down"));
    let host = host("media", Moving::storage(&media.storage, 9, |_, _| (), unavailable));
    let error = refused(&host, media.options());
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error.one_line().contains("up/large") && error.one_line().contains("the line is down"),
        "{error}"
    );
    // Cut short without a word, and nobody replaced it.
    let host = common::host("media", Moving::storage(&media.storage, 9, |_, _| (), || None));
    assert_eq!(refused(&host, media.options()).kind, ErrorKind::Damaged);
}

#[test]
fn one_object_that_may_not_be_read_is_left_out_and_none_at_all_is_an_error() {
    let media = Media::new();
    let faulty = |failure: Failure| host("media", Arc::new(Faulty::new(media.storage.clone()).fail(failure)));
    let denied = Failure::new(Operation::Open, 3, ErrorKind::Denied);
    let (contents, _) = backup(&faulty(denied.clone()), media.options()).unwrap();
    assert_eq!((contents.left_out.len(), contents.left_out_count), (1, 1), "{:?}", contents.left_out);
    let all = Failure { nth: 1, ..denied }.for_ever();
    let error = refused(&faulty(all), media.options());
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.to_string().contains("`up/` of the storage `media`"), "{error}");
}

#[test]
fn keys_that_can_not_be_names_are_told_and_marks_of_folders_are_not() {
    let memory = Memory::empty();
    memory.plant("good", b"good");
    let odd = ["/root", "a//b", "a/../b", "folder/"];
    for key in odd {
        memory.plant(key, if key == "folder/" { b"" } else { b"odd" });
    }
    let host = host("media", Arc::new(memory));
    let (contents, streams) = backup(&host, json!({ "storage": "media" })).unwrap();
    assert_eq!(contents.left_out_count, 3, "{:?}", contents.left_out);
    assert!(
        odd[..3].iter().all(|key| contents.left_out.iter().any(|told| told.contains(&format!("`{key}`"))))
    );
    assert_eq!(restored(contents, &streams).lines().count(), 1);
}

#[test]
fn what_is_excluded_is_neither_backed_up_nor_removed() {
    let media = Media::new();
    let with = |exclude: &[&str]| json!({ "storage": "media", "prefix": "up/", "exclude": exclude });
    let names = |exclude: &[&str]| {
        let (contents, streams) = backup(&media.host(), with(exclude)).unwrap();
        let restored = restored(contents, &streams);
        restored.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(
        names(&["many", "n*/**", "gr*"]) == ["a", "a/b", "empty", "large", "zz"],
        "{:?}",
        names(&["many"])
    );
    assert!(!names(&["/a"]).contains(&"a/b".to_owned()));
    assert!(names(&["/b"]).contains(&"a/b".to_owned()));
    // Only what a backup would take is removed.
    let (contents, streams) = backup(&media.host(), with(&["many"])).unwrap();
    media.storage.plant("up/new", b"new");
    media.storage.plant("up/many/new", b"new");
    let how = RestoreOptions { contents: Some(contents), ..mode(RestoreMode::Replace) };
    let told = source(with(&["many"])).preview(&media.host().context(), &streams, &how).unwrap();
    assert_eq!(told, ["replaces 7 objects", "removes 1 objects that aren't in the snapshot"]);
    source(with(&["many"])).restore(&media.host().context(), &streams, &how).unwrap();
    let objects = media.storage.objects();
    assert!(!objects.contains_key("up/new") && objects.contains_key("up/many/new"));
    assert!(objects.contains_key("other/a") && objects.contains_key("up"), "removed beside its prefix");
}

#[test]
fn only_what_is_asked_for_is_put_and_only_there_is_something_removed() {
    let media = Media::new();
    let (contents, streams) = backup(&media.host(), media.options()).unwrap();
    media.storage.plant("up/a/b", b"changed");
    media.storage.plant("up/a/new", b"new");
    media.storage.plant("up/empty", b"changed too");
    let only = |name: &str| RestoreOptions {
        only: vec![name.as_bytes().to_vec().into()],
        contents: Some(contents.clone()),
        ..mode(RestoreMode::Replace)
    };
    source(media.options()).restore(&media.host().context(), &streams, &only("a/")).unwrap();
    let objects = media.storage.objects();
    assert_eq!(objects["up/a/b"], b"below an object");
    assert_eq!(objects["up/empty"], b"changed too");
    assert!(!objects.contains_key("up/a/new"));
    let error =
        source(media.options()).restore(&media.host().context(), &streams, &only("nothing")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert_eq!(media.storage.objects(), objects);
}

#[test]
fn the_archive_of_a_folder_becomes_objects_and_what_can_not_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("media/sub")).unwrap();
    std::fs::write(folder.path().join("media/sub/file"), "bytes").unwrap();
    std::os::unix::fs::symlink("sub/file", folder.path().join("media/link")).unwrap();
    let packed =
        Command::new("tar").args(["-cf", "-", "./media"]).current_dir(folder.path()).output().unwrap();
    let (target, streams) =
        (Memory::empty(), MemoryInputs::new().stream("data", StreamInfo::new("tar/1"), packed.stdout));
    let host = host("target", Arc::new(target.clone()));
    let told =
        source(json!({ "storage": "target" })).restore(&host.context(), &streams, &mode(RestoreMode::Fail));
    assert_eq!(told.unwrap().left_out, ["`media/link` is a link"]);
    assert_eq!(
        target.objects().into_iter().collect::<Vec<_>>(),
        [("media/sub/file".to_owned(), b"bytes".to_vec())]
    );
}

#[test]
fn an_archive_that_leads_out_of_the_prefix_is_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..8].copy_from_slice(b"../other");
    header.set_size(1);
    header.set_cksum();
    builder.append(&header, &b"x"[..]).unwrap();
    let (target, streams) = (
        Memory::empty(),
        MemoryInputs::new().stream("data", StreamInfo::new("tar/1"), builder.into_inner().unwrap()),
    );
    let host = host("target", Arc::new(target.clone()));
    let options = json!({ "storage": "target", "prefix": "deep/" });
    let error = source(options).restore(&host.context(), &streams, &mode(RestoreMode::Fail)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    assert!(target.objects().is_empty());
}

#[test]
fn options_that_can_not_be_meant_are_refused() {
    use windlass_plugin_api::Plugin;
    for (options, wanted) in [
        (json!({}), "names no storage"),
        (json!({ "storage": "a", "prefix": "b" }), "doesn't end with `/`"),
        (json!({ "storage": "a", "prefix": "/b/" }), "without a name"),
        (json!({ "storage": "a", "concurrency": 0 }), "from 1 to 64"),
    ] {
        let options = serde_json::from_value(options).unwrap();
        let error = windlass_source_objects::Objects::new(options, &Context::default()).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Config);
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let error = refused(&TestHost::new(), json!({ "storage": "a", "exclude": ["a{"] }));
    assert!(error.to_string().contains("`a{`"), "{error}");
}
