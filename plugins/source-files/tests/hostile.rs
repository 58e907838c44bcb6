//! Archives that try to get out of the target, or that are broken: each is refused, and nothing outside has changed.

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use common::{Stream, how, picture_without, restore, scratch};
use serde_json::json;
use windlass_plugin_api::{Contents, Context, Error, ErrorKind, RestoreMode, Result};
use windlass_source_files::archive::write::Writer;
use windlass_source_files::archive::{Kind, Member};

struct House {
    dir: tempfile::TempDir,
    before: String,
}

impl House {
    /// A target, and beside it what must not be touched.
    fn new() -> Self {
        let dir = scratch();
        fs::create_dir(dir.path().join("outside")).unwrap();
        fs::write(dir.path().join("outside/secret"), "untouched").unwrap();
        fs::write(dir.path().join("victim"), "untouched").unwrap();
        fs::create_dir(dir.path().join("target")).unwrap();
        let mut house = Self { dir, before: String::new() };
        house.before = house.outside();
        house
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }

    fn outside(&self) -> String {
        let target = self.target();
        picture_without(self.dir.path(), |path| path.starts_with(&target) || path == self.dir.path())
    }

    fn restore(&self, members: &[Member], mode: RestoreMode, contents: Option<Contents>) -> Result<()> {
        let result =
            restore(json!({ "target": self.target() }), &archive(members), &how(mode, contents, &[]));
        assert_eq!(self.outside(), self.before, "something outside of the target has changed");
        let leftovers = common::below(&self.target());
        assert!(!leftovers.iter().any(|path| path.to_string_lossy().contains(".windlass-")), "{leftovers:?}");
        result.map(|_| ())
    }

    fn refuses(&self, members: &[Member]) -> Error {
        let error = self.restore(members, RestoreMode::Merge, None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
        assert!(error.message.starts_with("hostile or broken archive"), "{error}");
        error
    }
}

const TEXT: &[u8] = b"overwritten";

fn archive(members: &[Member]) -> Stream {
    let (stream, cx) = (Stream::default(), Context::default());
    let mut writer = Writer::new(&cx, Box::new(stream.clone()));
    for member in members {
        writer.member(member).unwrap();
        if member.kind == Kind::File {
            writer.put(TEXT).unwrap();
            writer.pad(member.size).unwrap();
        }
    }
    writer.finish().unwrap();
    stream
}

fn member(kind: Kind, path: &str, link: &str) -> Member {
    let size = if kind == Kind::File { TEXT.len() as u64 } else { 0 };
    Member { kind, size, path: path.into(), link: link.into(), mode: 0o755, ..Member::default() }
}

fn file(path: &str) -> Member {
    member(Kind::File, path, "")
}

fn folder(path: &str) -> Member {
    member(Kind::Folder, path, "")
}

fn roots(labels: &[&str]) -> Option<Contents> {
    let roots: Vec<_> = labels.iter().map(|label| json!({ "label": label, "path": "/srv/x" })).collect();
    let details = json!({ "roots": roots }).as_object().unwrap().clone();
    Some(Contents { details, ..Contents::default() })
}

#[test]
fn absolute_paths_are_refused() {
    let house = House::new();
    let victim = house.dir.path().join("victim");
    house.refuses(&[file(victim.to_str().unwrap())]);
    house.refuses(&[folder("//a")]);
}

#[test]
fn paths_that_go_up_are_refused() {
    let house = House::new();
    house.refuses(&[file("../victim")]);
    house.refuses(&[folder("a"), file("a/../../victim")]);
    house.refuses(&[folder("..")]);
}

#[test]
fn members_that_go_through_a_symlink_of_the_archive_are_refused() {
    for link in ["../outside", "/etc", "."] {
        let house = House::new();
        house.refuses(&[member(Kind::Symlink, "a", link), file("a/secret")]);
        house.refuses(&[folder("d"), member(Kind::Symlink, "d/a", link), folder("d/a/b")]);
        let house = House::new();
        house.refuses(&[member(Kind::Symlink, "a", link), folder("a")]);
        assert!(
            house
                .restore(&[member(Kind::Symlink, "x", link), file("x/y")], RestoreMode::Replace, None)
                .is_err()
        );
    }
}

#[test]
fn a_symlink_that_is_in_the_target_already_is_not_followed() {
    let house = House::new();
    symlink("../outside", house.target().join("a")).unwrap();
    for members in [&[file("a/secret")][..], &[folder("a"), file("a/secret")]] {
        let error = house.restore(members, RestoreMode::Merge, None).unwrap_err();
        // Nothing is wrong with the archive: the user decides.
        assert_eq!(error.kind, ErrorKind::Refused, "{error}");
        assert!(house.target().join("a").is_symlink());
    }
    house.restore(&[folder("a"), file("a/secret")], RestoreMode::Replace, None).unwrap();
    assert!(house.target().join("a").symlink_metadata().unwrap().is_dir());
    assert_eq!(fs::read(house.target().join("a/secret")).unwrap(), TEXT);
}

#[test]
fn a_file_replaces_a_symlink_and_is_not_written_through_it() {
    let house = House::new();
    symlink("../victim", house.target().join("a")).unwrap();
    house.restore(&[file("a")], RestoreMode::Merge, None).unwrap();
    assert!(house.target().join("a").symlink_metadata().unwrap().is_file());
}

#[test]
fn hard_links_to_what_is_outside_are_refused() {
    let house = House::new();
    let victim = house.dir.path().join("victim");
    house.refuses(&[member(Kind::Hardlink, "a", victim.to_str().unwrap()), file("b")]);
    house.refuses(&[member(Kind::Hardlink, "a", "../victim")]);
    house.refuses(&[member(Kind::Hardlink, "a", "a")]);
    house.refuses(&[folder("f"), member(Kind::Hardlink, "a", "f")]);
    house.refuses(&[member(Kind::Symlink, "s", ".."), member(Kind::Hardlink, "a", "s/victim")]);
    // What was in the target before is none of the archive's either.
    fs::hard_link(&victim, house.target().join("old")).unwrap();
    house.refuses(&[member(Kind::Hardlink, "a", "old")]);
}

#[test]
fn a_file_that_is_a_hard_link_to_outside_is_not_written_through() {
    let house = House::new();
    fs::hard_link(house.dir.path().join("victim"), house.target().join("a")).unwrap();
    house.restore(&[file("a")], RestoreMode::Merge, None).unwrap();
    assert_eq!(fs::read(house.target().join("a")).unwrap(), TEXT);
    assert_eq!(fs::read(house.dir.path().join("victim")).unwrap(), b"untouched");
}

#[test]
fn a_hard_link_to_a_symlink_links_the_symlink() {
    let house = House::new();
    house
        .restore(
            &[member(Kind::Symlink, "s", "../victim"), member(Kind::Hardlink, "a", "s")],
            RestoreMode::Fail,
            None,
        )
        .unwrap();
    assert!(house.target().join("a").is_symlink());
}

#[test]
fn devices_are_refused() {
    let house = House::new();
    house.refuses(&[member(Kind::Device, "sda", "")]);
    assert!(!house.target().join("sda").exists());
}

#[test]
fn duplicate_members_are_refused() {
    let house = House::new();
    house.refuses(&[file("a"), file("a")]);
    house.refuses(&[file("b"), file("./b")]);
    house.refuses(&[folder("c"), folder("c/")]);
    house.refuses(&[file("d"), file("d/e")]);
    house.refuses(&[file("f/g"), file("f")]);
    house.refuses(&[file("h"), member(Kind::Symlink, "h", "../outside"), file("h/secret")]);
}

#[test]
fn members_outside_of_the_known_roots_are_refused() {
    let house = House::new();
    let refuses = |members: &[Member]| {
        let error = house.restore(members, RestoreMode::Merge, roots(&["media"])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    };
    refuses(&[folder("media"), file("other/a")]);
    refuses(&[file("other")]);
    refuses(&[folder("./")]);
    refuses(&[member(Kind::Symlink, "media", "../outside")]);
    refuses(&[file("media")]);
    assert!(!house.target().join("other").exists());
}

#[test]
fn a_root_that_a_manifest_makes_up_is_not_written_to() {
    let house = House::new();
    let outside = house.dir.path().join("outside");
    let details =
        json!({ "roots": [{ "label": "a", "path": outside }, { "label": "b", "path": house.target() }] });
    let contents = Contents { details: details.as_object().unwrap().clone(), ..Contents::default() };
    let options = json!({ "roots": [house.target(), house.dir.path().join("more")] });
    let members = archive(&[folder("a"), file("a/secret")]);
    let error = restore(options, &members, &how(RestoreMode::Merge, Some(contents), &[])).unwrap_err();
    assert_eq!((error.kind, house.outside()), (ErrorKind::Config, house.before.clone()), "{error}");
}

#[test]
fn a_truncated_archive_is_refused_wherever_it_ends() {
    let house = House::new();
    let whole = archive(&[folder("a"), file("a/b"), file("c")]).bytes.lock().unwrap().clone();
    for length in [0, 1, 511, 512, 600, 1024, 1100, 1536, whole.len() - 1024] {
        let stream = Stream::of(whole[..length].to_vec());
        let options = json!({ "target": house.target() });
        let error = restore(options, &stream, &how(RestoreMode::Merge, None, &[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{length}: {error}");
    }
}

#[test]
fn what_is_no_archive_or_more_than_one_is_refused() {
    let house = House::new();
    let one = archive(&[file("a")]).bytes.lock().unwrap().clone();
    for bytes in [b"PK\x03\x04 not a tar".repeat(100), [one.clone(), one].concat()] {
        let options = json!({ "target": house.target() });
        let error = restore(options, &Stream::of(bytes), &how(RestoreMode::Merge, None, &[])).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    }
}

#[test]
fn a_fifo_is_told_and_left_out() {
    let house = House::new();
    let stream = archive(&[member(Kind::Fifo, "pipe", ""), file("a")]);
    let restored =
        restore(json!({ "target": house.target() }), &stream, &how(RestoreMode::Fail, None, &[])).unwrap();
    assert!(restored.left_out[0].contains("`pipe`"), "{restored:?}");
    assert!(Path::new(&house.target()).join("a").exists() && !house.target().join("pipe").exists());
}
