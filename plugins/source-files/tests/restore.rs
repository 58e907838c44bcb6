//! What a restore does with what is there, and how much of a snapshot it takes.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Stream, back_up, files, how, picture, restore, scratch};
use serde_json::json;
use windlass_plugin_api::{Contents, Context, ErrorKind, RestoreMode, Source};

struct Snapshot {
    dir: tempfile::TempDir,
    contents: Contents,
    stream: Stream,
}

impl Snapshot {
    fn new() -> Self {
        let dir = scratch();
        let root = dir.path().join("media");
        fs::create_dir(&root).unwrap();
        common::fill(&root);
        let (contents, stream) = back_up(json!({ "roots": root }));
        Self { dir, contents, stream }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("media")
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn restore(&self, mode: RestoreMode, only: &[&[u8]]) -> windlass_plugin_api::Result<Vec<String>> {
        let how = how(mode, Some(self.contents.clone()), only);
        let restored = restore(json!({ "target": self.out() }), &self.stream, &how)?;
        assert_eq!(restored.left_out, Vec::<String>::new());
        Ok(restored.notes)
    }

    fn has(&self, path: &str) -> bool {
        self.out().join("media").join(path).symlink_metadata().is_ok()
    }
}

#[test]
fn a_root_goes_back_to_where_it_was() {
    let snapshot = Snapshot::new();
    let before = picture(&snapshot.root());
    fs::remove_dir_all(snapshot.root()).unwrap();
    let how = how(RestoreMode::Fail, Some(snapshot.contents.clone()), &[]);
    restore(json!({ "roots": snapshot.root() }), &snapshot.stream, &how).unwrap();
    assert_eq!(picture(&snapshot.root()), before);
}

#[test]
fn mode_replace_makes_a_root_in_its_own_place_equal() {
    let snapshot = Snapshot::new();
    let before = picture(&snapshot.root());
    fs::write(snapshot.root().join("new"), "new").unwrap();
    let how = how(RestoreMode::Replace, Some(snapshot.contents.clone()), &[]);
    restore(json!({ "roots": snapshot.root() }), &snapshot.stream, &how).unwrap();
    assert_eq!(picture(&snapshot.root()), before);
}

#[test]
fn a_single_root_can_be_restored_to_another_one_that_is_named() {
    let snapshot = Snapshot::new();
    let how = how(RestoreMode::Fail, Some(snapshot.contents.clone()), &[]);
    restore(json!({ "roots": snapshot.out() }), &snapshot.stream, &how).unwrap();
    assert_eq!(picture(&snapshot.out()), picture(&snapshot.root()));
}

#[test]
fn mode_fail_refuses_a_target_that_is_not_empty_and_merge_keeps_what_the_snapshot_has_not() {
    let snapshot = Snapshot::new();
    fs::create_dir_all(snapshot.out().join("media/folder")).unwrap();
    fs::write(snapshot.out().join("media/folder/inner"), "old").unwrap();
    fs::write(snapshot.out().join("media/folder/own"), "own").unwrap();
    let error = snapshot.restore(RestoreMode::Fail, &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(fs::read(snapshot.out().join("media/folder/inner")).unwrap(), b"old");
    snapshot.restore(RestoreMode::Merge, &[]).unwrap();
    assert_eq!(fs::read(snapshot.out().join("media/folder/inner")).unwrap(), b"inner");
    assert_eq!(fs::read(snapshot.out().join("media/folder/own")).unwrap(), b"own");
    fs::remove_file(snapshot.out().join("media/folder/own")).unwrap();
    snapshot.restore(RestoreMode::Merge, &[]).unwrap();
    assert_eq!(picture(&snapshot.out().join("media")), picture(&snapshot.root()));
}

#[test]
fn mode_replace_makes_the_target_equal_and_counts_what_goes() {
    let snapshot = Snapshot::new();
    snapshot.restore(RestoreMode::Fail, &[]).unwrap();
    let media = snapshot.out().join("media");
    fs::create_dir_all(media.join("more/deep")).unwrap();
    fs::write(media.join("more/deep/file"), "goes").unwrap();
    fs::write(media.join("folder/goes"), "goes").unwrap();
    fs::remove_file(media.join("odd")).unwrap();
    fs::create_dir_all(media.join("odd/in the way")).unwrap();
    fs::remove_dir(media.join("empty folder")).unwrap();
    fs::write(media.join("empty folder"), "in the way").unwrap();
    fs::write(snapshot.out().join("beside"), "stays").unwrap();
    let how = how(RestoreMode::Replace, Some(snapshot.contents.clone()), &[]);
    let target = files(json!({ "target": snapshot.out() })).target(&Context::default(), &how).unwrap();
    assert!(!target.empty && !target.atomic && target.size_bytes.unwrap() > 700_000);
    assert!(target.effects.iter().any(|effect| effect.starts_with("overwrites")), "{target:?}");
    // Four that are nowhere in the snapshot, and one in a folder where the snapshot has a file.
    let before = picture(&media);
    let preview = files(json!({ "target": snapshot.out() }))
        .preview(&Context::default(), &snapshot.stream, &how)
        .unwrap();
    assert!(preview.len() == 1 && preview[0].starts_with("removes 5 files and folders"), "{preview:?}");
    assert_eq!(picture(&media), before, "a preview changes nothing");
    let notes = snapshot.restore(RestoreMode::Replace, &[]).unwrap();
    assert!(notes.iter().any(|note| note.contains("Removed 4 ")), "{notes:?}");
    assert_eq!(picture(&media), picture(&snapshot.root()));
    assert!(snapshot.out().join("beside").exists(), "it belongs to no root");
}

#[test]
fn merge_does_not_throw_a_folder_away_for_a_file() {
    let snapshot = Snapshot::new();
    fs::create_dir_all(snapshot.out().join("media/odd")).unwrap();
    fs::write(snapshot.out().join("media/odd/precious"), "").unwrap();
    let error = snapshot.restore(RestoreMode::Merge, &[]).unwrap_err();
    assert!(error.kind == ErrorKind::Refused && error.message.contains("`media/odd`"), "{error}");
    assert!(snapshot.has("odd/precious"));
}

#[test]
fn only_takes_files_folders_and_names_that_are_not_utf8() {
    let snapshot = Snapshot::new();
    snapshot.restore(RestoreMode::Fail, &[b"media/folder/", b"media/not-utf8-\xff\xfe\n"]).unwrap();
    let names: Vec<_> = common::below(&snapshot.out().join("media"))
        .iter()
        .map(|path| path.strip_prefix(snapshot.out().join("media")).unwrap().to_path_buf())
        .collect();
    assert_eq!(names.len(), 5, "{names:?}");
    // The file of this hard link wasn't asked for: it has the data all the same.
    let linked = snapshot.out().join("media/folder/odd too");
    assert_eq!(fs::read(&linked).unwrap(), vec![7; 513]);
    assert_eq!(fs::metadata(&linked).unwrap().nlink(), 1);
    assert_eq!(fs::metadata(&linked).unwrap().mode() & 0o7777, 0o4751);
}

#[test]
fn only_links_the_names_that_were_asked_for() {
    let snapshot = Snapshot::new();
    snapshot.restore(RestoreMode::Fail, &[b"media/odd", b"media/zz odd three"]).unwrap();
    assert_eq!(fs::metadata(snapshot.out().join("media/odd")).unwrap().nlink(), 2);
}

#[test]
fn only_refuses_a_name_that_is_not_there_before_it_writes_anything() {
    let snapshot = Snapshot::new();
    for name in ["media/folder/iner", "folder/inner", "inner", "../media", "/media"] {
        let error = snapshot.restore(RestoreMode::Fail, &[b"media/odd", name.as_bytes()]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        assert!(
            name.starts_with(['.', '/']) || error.hint.unwrap().contains("`media/folder/inner`"),
            "{name}"
        );
        assert!(!snapshot.out().exists());
    }
}

#[test]
fn replace_with_only_leaves_the_rest_of_the_target_alone() {
    let snapshot = Snapshot::new();
    snapshot.restore(RestoreMode::Fail, &[]).unwrap();
    let media = snapshot.out().join("media");
    fs::write(media.join("folder/goes"), "").unwrap();
    fs::write(media.join("stays"), "").unwrap();
    fs::write(media.join("big"), "changed").unwrap();
    snapshot.restore(RestoreMode::Replace, &[b"media/folder"]).unwrap();
    assert!(!snapshot.has("folder/goes") && snapshot.has("stays"));
    assert_eq!(fs::read(media.join("big")).unwrap(), b"changed");
}

#[test]
fn what_a_killed_restore_left_is_removed_by_the_next_one() {
    let snapshot = Snapshot::new();
    let leftover = "media/.windlass-20260101T000000Z-dead-7.restoring";
    let foreign = "media/.windlass-20260101T000000Z-live-copy";
    fs::create_dir_all(snapshot.out().join("media")).unwrap();
    fs::write(snapshot.out().join(leftover), "half").unwrap();
    // A target with nothing else in it counts as empty.
    snapshot.restore(RestoreMode::Fail, &[]).unwrap();
    assert!(!snapshot.out().join(leftover).exists());
    fs::write(snapshot.out().join(leftover), "half").unwrap();
    fs::write(snapshot.out().join(foreign), "another program's").unwrap();
    for mode in [RestoreMode::Merge, RestoreMode::Replace] {
        snapshot.restore(mode, &[]).unwrap();
        assert!(!snapshot.out().join(leftover).exists() && snapshot.out().join(foreign).exists());
    }
}

#[test]
fn a_restore_that_fails_leaves_no_temporary_and_no_half_file() {
    let snapshot = Snapshot::new();
    let bytes = snapshot.stream.bytes.lock().unwrap().clone();
    let cut = Stream::of(bytes[..400_000].to_vec());
    let how = how(RestoreMode::Fail, Some(snapshot.contents.clone()), &[]);
    let error = restore(json!({ "target": snapshot.out() }), &cut, &how).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    for path in common::below(&snapshot.out()).iter().filter(|path| path.is_file()) {
        let original = snapshot.root().join(path.strip_prefix(snapshot.out().join("media")).unwrap());
        assert_eq!(fs::read(path).unwrap(), fs::read(original).unwrap(), "{path:?}");
    }
}

#[test]
fn two_restores_to_one_place_do_not_meet() {
    let snapshot = Snapshot::new();
    fs::create_dir(snapshot.out()).unwrap();
    let held = fs::File::open(snapshot.out()).unwrap();
    held.lock().unwrap();
    let error = snapshot.restore(RestoreMode::Fail, &[]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused, "{error}");
}

/// As somebody who may not give files away: everything but the owner comes back, and set-user bits don't.
#[test]
fn without_root_owners_are_told_and_set_user_bits_are_dropped() {
    const PLACE: &str = "WINDLASS_TEST_PLAIN_USER";
    if let Some(place) = std::env::var_os(PLACE) {
        let place = Path::new(&place);
        let stream = Stream::of(fs::read(place.join("archive")).unwrap());
        let options = json!({ "target": place.join("out") });
        let restored = restore(options, &stream, &how(RestoreMode::Fail, None, &[])).unwrap();
        assert_eq!(restored.notes.len(), 1, "{restored:?}");
        let about = fs::metadata(place.join("out/media/odd")).unwrap();
        assert_eq!((about.mode() & 0o7777, about.uid()), (0o751, rustix::process::geteuid().as_raw()));
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let snapshot = Snapshot::new();
    // Where every user can reach it: the tests' scratch folder may be closed to others.
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    fs::write(dir.path().join("archive"), &*snapshot.stream.bytes.lock().unwrap()).unwrap();
    let program = dir.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    common::mode(&program, 0o755);
    common::mode(dir.path(), 0o777);
    let output = Command::new(&program)
        .args(["--exact", "without_root_owners_are_told_and_set_user_bits_are_dropped"])
        .env(PLACE, dir.path())
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

#[test]
fn as_root_owners_come_back_unless_the_option_says_otherwise() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = scratch();
    let root = dir.path().join("media");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("a"), "").unwrap();
    std::os::unix::fs::lchown(root.join("a"), Some(3_000_001), Some(70_000)).unwrap();
    common::mode(&root.join("a"), 0o6755);
    let (_, stream) = back_up(json!({ "roots": root }));
    for (owner, wanted) in [(true, (3_000_001, 70_000, 0o6755)), (false, (0, 0, 0o755))] {
        let out = dir.path().join(format!("out-{owner}"));
        restore(json!({ "target": out, "owner": owner }), &stream, &how(RestoreMode::Fail, None, &[]))
            .unwrap();
        let about = fs::metadata(out.join("media/a")).unwrap();
        assert_eq!((about.uid(), about.gid(), about.mode() & 0o7777), wanted);
    }
}

/// Two roots with one file between them go to two file systems, where they can't be linked.
#[test]
fn hard_links_that_can_not_be_made_become_copies() {
    let Ok(far) = tempfile::tempdir_in("/dev/shm") else { return };
    let dir = scratch();
    let roots = [dir.path().join("a"), dir.path().join("b")];
    roots.iter().for_each(|root| fs::create_dir(root).unwrap());
    fs::write(roots[0].join("file"), "shared").unwrap();
    fs::hard_link(roots[0].join("file"), roots[1].join("file")).unwrap();
    let (mut contents, stream) = back_up(json!({ "roots": roots }));
    let places = [dir.path().join("out"), far.path().join("out")];
    for (number, place) in places.iter().enumerate() {
        contents.details["roots"][number]["path"] = json!(place);
    }
    let how = how(RestoreMode::Fail, Some(contents), &[]);
    restore(json!({ "roots": places }), &stream, &how).unwrap();
    let before = fs::metadata(roots[0].join("file")).unwrap();
    for place in places {
        let about = fs::metadata(place.join("file")).unwrap();
        assert_eq!(fs::read(place.join("file")).unwrap(), b"shared");
        assert_eq!((about.mode(), about.mtime_nsec()), (before.mode(), before.mtime_nsec()));
    }
}
