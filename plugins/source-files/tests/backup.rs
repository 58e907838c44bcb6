//! What a backup takes, leaves and tells.

mod common;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Stream, back_up, files, how, restore, scratch};
use serde_json::{Value, json};
use windlass_plugin_api::{Contents, Context, ErrorKind, RestoreMode, Source};

/// More than fits into one buffer: the sink sees bytes before the file is read to its end.
const LARGE: usize = 1 << 20;

fn tree(paths: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let dir = scratch();
    let root = dir.path().join("media");
    fs::create_dir(&root).unwrap();
    for path in paths {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, path.to_str().unwrap()).unwrap();
    }
    (dir, root)
}

/// The paths that are in the archive, below its first root, folders with a `/`.
fn members(stream: &Stream) -> Vec<String> {
    let dir = scratch();
    let out = dir.path().join("out");
    restore(json!({ "target": out }), stream, &how(RestoreMode::Fail, None, &[])).unwrap();
    let root = out.join("media");
    let paths = common::below(&root).into_iter().skip(1);
    paths
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
            if path.symlink_metadata().unwrap().is_dir() { format!("{name}/") } else { name.to_owned() }
        })
        .collect()
}

fn taken(root: &Path, mut options: Value) -> Vec<String> {
    options["roots"] = json!(root);
    members(&back_up(options).1)
}

/// A backup during which `event` happens, once the first buffer is full.
fn back_up_during(root: &Path, options: Value, event: impl FnOnce() + Send + 'static) -> (Contents, Stream) {
    let mut options = options;
    options["roots"] = json!([root]);
    let stream = Stream::on_first_write(event);
    let contents = files(options).backup(&Context::default(), &stream).unwrap();
    (contents, stream)
}

#[test]
fn include_and_exclude_choose_by_path_below_the_root() {
    let (_dir, root) =
        tree(&["a.jpg", "a.txt", "x/b.jpg", "x/c.txt", "keep/any", "keep/deep/any.tmp", "y/none"]);
    assert_eq!(
        taken(&root, json!({ "exclude": ["*.txt", "/keep/deep", "y"] })),
        ["a.jpg", "keep/", "keep/any", "x/", "x/b.jpg"]
    );
    // Folders are there for what is in them, and only then.
    assert_eq!(
        taken(&root, json!({ "include": ["*.jpg", "keep/"], "exclude": ["*.tmp"] })),
        ["a.jpg", "keep/", "keep/any", "keep/deep/", "x/", "x/b.jpg"]
    );
}

#[test]
fn an_include_that_matches_nothing_is_told() {
    let (_dir, root) = tree(&["a.jpg"]);
    let (contents, _) = back_up(json!({ "roots": root, "include": ["*.jgp"] }));
    assert!(contents.warnings[0].contains("`*.jgp`"), "{:?}", contents.warnings);
}

#[test]
fn gitignore_files_are_heeded_where_they_stand_on_request() {
    let (_dir, root) =
        tree(&["a.o", "keep.o", "target/x", "sub/a.o", "sub/b", "sub/deep/target/y", "other/b"]);
    fs::write(root.join(".gitignore"), "*.o\n!keep.o\n/target/\n").unwrap();
    fs::write(root.join("sub/.gitignore"), "!a.o\nb\n").unwrap();
    assert_eq!(
        taken(&root, json!({ "gitignore": true })),
        [
            ".gitignore",
            "keep.o",
            "other/",
            "other/b",
            "sub/",
            "sub/.gitignore",
            "sub/a.o",
            "sub/deep/",
            "sub/deep/target/",
            "sub/deep/target/y"
        ]
    );
    assert!(taken(&root, json!({})).contains(&"a.o".to_owned()));
}

#[test]
fn temporary_files_of_ours_are_left_out() {
    let (_dir, root) = tree(&[".windlass-20260101T000000Z-abcd-0.restoring", "sub/.windlass-x", "a"]);
    assert_eq!(taken(&root, json!({})), ["a", "sub/"]);
}

#[test]
fn the_order_is_that_of_the_names_and_the_same_each_time() {
    let (_dir, root) = tree(&["b", "a/z", "a-b", "a/y", "c/d/e"]);
    let bytes = || back_up(json!({ "roots": root })).1.bytes.lock().unwrap().clone();
    assert_eq!(bytes(), bytes());
}

#[test]
fn two_roots_of_one_name_get_labels_of_their_own_and_go_back_where_they_were() {
    let dir = scratch();
    let roots = [dir.path().join("a/media"), dir.path().join("b/media")];
    for root in &roots {
        fs::create_dir_all(root).unwrap();
        fs::write(root.join("name"), root.to_str().unwrap()).unwrap();
        common::times(root);
    }
    let before = roots.each_ref().map(|root| common::picture(root));
    let (contents, stream) = back_up(json!({ "roots": roots }));
    assert_eq!(contents.details["roots"][1], json!({ "label": "media-2", "path": roots[1] }));
    roots.iter().for_each(|root| fs::remove_dir_all(root).unwrap());
    restore(json!({ "roots": roots }), &stream, &how(RestoreMode::Fail, Some(contents), &[])).unwrap();
    assert_eq!(roots.each_ref().map(|root| common::picture(root)), before);
}

#[test]
fn a_root_may_be_a_symlink_and_links_inside_stay_links() {
    let (dir, root) = tree(&["a"]);
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::write(dir.path().join("elsewhere/secret"), "not asked for").unwrap();
    symlink("../elsewhere", root.join("out")).unwrap();
    let real = dir.path().join("real");
    fs::rename(&root, &real).unwrap();
    symlink("real", &root).unwrap();
    assert_eq!(taken(&root, json!({})), ["a", "out"]);
}

#[test]
fn a_root_that_is_not_there_or_no_folder_fails_the_backup() {
    let (_dir, root) = tree(&["a"]);
    for (path, kind) in [("nothing", ErrorKind::NotFound), ("a", ErrorKind::Failed)] {
        let mut files = files(json!({ "roots": [root.join(path)] }));
        let error = files.probe(&Context::default()).unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        let stream = Stream::default();
        assert!(files.backup(&Context::default(), &stream).is_err());
        assert!(stream.bytes.lock().unwrap().is_empty());
    }
}

#[test]
fn an_empty_root_is_a_backup_and_a_warning() {
    let (_dir, root) = tree(&[]);
    let probe = files(json!({ "roots": root })).probe(&Context::default()).unwrap();
    assert!(probe.warnings[0].contains("is empty"), "{probe:?}");
    assert_eq!(taken(&root, json!({})), Vec::<String>::new());
}

#[test]
fn a_file_that_shrinks_is_filled_up_and_told() {
    let (_dir, root) = tree(&["z-after"]);
    let large = root.join("large");
    fs::write(&large, vec![1; LARGE]).unwrap();
    let path = large.clone();
    let (contents, stream) = back_up_during(&root, json!({}), move || {
        OpenOptions::new().write(true).open(path).unwrap().set_len(300_000).unwrap();
    });
    assert_eq!((contents.left_out.len(), contents.left_out_count), (1, 1));
    assert!(contents.left_out[0].starts_with("`media/large`: shrank from 1048576 to 300000"), "{contents:?}");
    let dir = scratch();
    let out = dir.path().join("out");
    restore(json!({ "target": out }), &stream, &how(RestoreMode::Fail, None, &[])).unwrap();
    let got = fs::read(out.join("media/large")).unwrap();
    assert_eq!(got.len(), LARGE);
    assert!(
        got[..262_144 - 2048].iter().all(|byte| *byte == 1) && got[300_000..].iter().all(|byte| *byte == 0)
    );
    assert!(out.join("media/z-after").exists(), "the archive is out of step");
}

#[test]
fn a_file_that_grows_is_cut_and_told() {
    let (_dir, root) = tree(&["z-after"]);
    let large = root.join("large");
    fs::write(&large, vec![1; LARGE]).unwrap();
    let path = large.clone();
    let (contents, stream) = back_up_during(&root, json!({}), move || {
        use std::io::Write;
        OpenOptions::new().append(true).open(path).unwrap().write_all(&[2; 5000]).unwrap();
    });
    assert_eq!(contents.left_out_count, 0);
    assert!(contents.warnings[0].contains("`media/large`"), "{contents:?}");
    let dir = scratch();
    let out = dir.path().join("out");
    restore(json!({ "target": out }), &stream, &how(RestoreMode::Fail, None, &[])).unwrap();
    assert_eq!(fs::read(out.join("media/large")).unwrap(), vec![1; LARGE]);
    assert!(out.join("media/z-after").exists(), "the archive is out of step");
}

#[test]
fn what_vanishes_is_told_or_not_as_the_option_says() {
    for (policy, warnings) in [("warn", 1), ("ok", 0)] {
        let (_dir, root) = tree(&["b-folder/x", "c-file", "d-link", "z"]);
        fs::write(root.join("a-large"), vec![1; LARGE]).unwrap();
        fs::remove_file(root.join("d-link")).unwrap();
        symlink("x", root.join("d-link")).unwrap();
        let place = root.clone();
        let (contents, stream) = back_up_during(&root, json!({ "vanished": policy }), move || {
            fs::remove_dir_all(place.join("b-folder")).unwrap();
            fs::remove_file(place.join("c-file")).unwrap();
            fs::remove_file(place.join("d-link")).unwrap();
        });
        assert_eq!((contents.left_out_count, contents.warnings.len()), (0, warnings), "{contents:?}");
        assert!(
            contents.warnings.iter().all(|text| text.contains(": 3 (`media/b-folder`, ")),
            "{contents:?}"
        );
        assert_eq!(members(&stream), ["a-large", "z"]);
    }
}

#[test]
fn fifos_and_sockets_are_told_and_never_waited_for() {
    let (_dir, root) = tree(&["a"]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let here = std::env::current_dir().unwrap();
    // A socket's path is short: bound from inside.
    let socket = root.strip_prefix(&here).map_or(root.join("sock"), |short| short.join("sock"));
    let listening = std::os::unix::net::UnixListener::bind(socket);
    let (contents, stream) = back_up(json!({ "roots": root }));
    let count = 1 + usize::from(listening.is_ok());
    assert!(contents.warnings[0].contains(&format!(": {count} (`media/fifo`")), "{contents:?}");
    assert_eq!(members(&stream), ["a"]);
}

/// A file that becomes a fifo between listing and opening.
#[test]
fn a_fifo_that_takes_a_files_place_is_not_waited_for() {
    let (_dir, root) = tree(&["b"]);
    fs::write(root.join("a-large"), vec![1; LARGE]).unwrap();
    let place = root.join("b");
    let (contents, _) = back_up_during(&root, json!({}), move || {
        fs::remove_file(&place).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &place, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    });
    assert!(contents.warnings[0].contains("`media/b`"), "{contents:?}");
}

/// A folder that becomes a symlink between listing and opening.
#[test]
fn a_symlink_that_takes_a_folders_place_is_not_followed() {
    let (dir, root) = tree(&["b/x"]);
    fs::create_dir(dir.path().join("elsewhere")).unwrap();
    fs::write(dir.path().join("elsewhere/secret"), "not asked for").unwrap();
    fs::write(root.join("a-large"), vec![1; LARGE]).unwrap();
    let place = root.join("b");
    let (_, stream) = back_up_during(&root, json!({}), move || {
        fs::remove_dir_all(&place).unwrap();
        symlink("../elsewhere", &place).unwrap();
    });
    assert_eq!(members(&stream), ["a-large"]);
}

#[test]
fn holes_are_not_stored() {
    let (_dir, root) = tree(&[]);
    common::sparse(&root.join("sparse"), 1 << 30);
    let (_, stream) = back_up(json!({ "roots": root }));
    assert!(stream.bytes.lock().unwrap().len() < 64 * 1024);
    let dir = scratch();
    let out = dir.path().join("out");
    restore(json!({ "target": out }), &stream, &how(RestoreMode::Fail, None, &[])).unwrap();
    let restored = fs::metadata(out.join("media/sparse")).unwrap();
    assert_eq!(restored.len(), 1 << 30);
    assert!(restored.blocks() * 512 < 64 * 1024);
}

#[test]
fn attributes_are_left_where_the_option_says_so() {
    let (_dir, root) = tree(&["a"]);
    common::attribute(&root.join("a"), "user.x", b"y");
    let (_, stream) = back_up(json!({ "roots": root, "xattrs": false }));
    assert!(!stream.bytes.lock().unwrap().windows(6).any(|bytes| bytes == b"user.x"));
}

#[test]
fn many_small_files_come_back_all() {
    let (dir, root) = tree(&[]);
    for number in 0..5000 {
        let folder = root.join(format!("{}", number % 50));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}")), number.to_string()).unwrap();
    }
    let (contents, stream) = back_up(json!({ "roots": root }));
    assert_eq!((&contents.details["files"], &contents.details["folders"]), (&json!(5000), &json!(51)));
    let out = dir.path().join("out");
    restore(json!({ "target": out }), &stream, &how(RestoreMode::Fail, None, &[])).unwrap();
    assert_eq!(common::picture(&out.join("media")), common::picture(&root));
}

#[test]
fn a_tree_deeper_than_descriptors_are_kept_comes_back() {
    let (dir, root) = tree(&[]);
    let mut path = root.clone();
    for number in 0..150 {
        path.push("d");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("a"), number.to_string()).unwrap();
        fs::write(path.join("z"), number.to_string()).unwrap();
    }
    common::times(&root);
    let (_, stream) = back_up(json!({ "roots": root }));
    let out = dir.path().join("out");
    restore(json!({ "target": out }), &stream, &how(RestoreMode::Fail, None, &[])).unwrap();
    assert_eq!(common::picture(&out.join("media")), common::picture(&root));
}

/// Who may read everything can't test this: the test runs itself again as somebody who may not.
#[test]
fn unreadable_files_and_folders_are_told_and_the_rest_is_kept() {
    const ROOT: &str = "WINDLASS_TEST_UNREADABLE_ROOT";
    if let Some(root) = std::env::var_os(ROOT) {
        let (contents, _) = back_up(json!({ "roots": Path::new(&root) }));
        assert_eq!((contents.left_out.len(), contents.left_out_count), (100, 121), "{contents:?}");
        assert!(contents.left_out[0].starts_with("`media/closed`: Permission denied"), "{contents:?}");
        assert_eq!(contents.details["files"], json!(1));
        return;
    }
    // Where every user can reach it: the tests' scratch folder may be closed to others.
    let dir = tempfile::tempdir_in("/tmp").unwrap();
    let root = dir.path().join("media");
    fs::create_dir_all(root.join("closed")).unwrap();
    fs::write(root.join("open"), "open").unwrap();
    for number in 0..120 {
        File::create(root.join(format!("secret-{number:03}"))).unwrap();
        common::mode(&root.join(format!("secret-{number:03}")), 0o000);
    }
    common::mode(&root.join("closed"), 0o000);
    common::mode(dir.path(), 0o755);
    let program = dir.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    common::mode(&program, 0o755);
    let mut command = Command::new(&program);
    command.args(["--exact", "unreadable_files_and_folders_are_told_and_the_rest_is_kept"]).env(ROOT, &root);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.current_dir("/").output().unwrap();
    common::mode(&root.join("closed"), 0o755);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}

/// Needs a file system that is mounted below a folder: the memory of processes usually is.
#[test]
fn other_file_systems_are_entered_unless_the_option_says_not() {
    use std::os::unix::ffi::OsStrExt;
    let Ok(dir) = tempfile::tempdir_in("/dev/shm") else { return };
    if fs::metadata("/dev").unwrap().dev() == fs::metadata("/dev/shm").unwrap().dev() {
        return;
    }
    fs::write(dir.path().join("file"), "there").unwrap();
    let include = format!("/shm/{}", dir.path().file_name().unwrap().to_str().unwrap());
    for (one_file_system, files) in [(false, 1), (true, 0)] {
        let options = json!({ "roots": "/dev", "include": [include], "one_file_system": one_file_system });
        let (contents, stream) = back_up(options);
        assert_eq!(contents.details["files"], json!(files));
        let name = dir.path().file_name().unwrap().as_bytes();
        let is_there = stream.bytes.lock().unwrap().windows(name.len()).any(|bytes| bytes == name);
        assert_eq!(is_there, files == 1);
    }
}

#[test]
fn a_mount_point_is_kept_as_an_empty_folder() {
    let Ok(inner) = fs::metadata("/dev/shm") else { return };
    if fs::metadata("/dev").unwrap().dev() == inner.dev() {
        return;
    }
    let (contents, _) = back_up(json!({ "roots": "/dev", "include": ["/shm"], "one_file_system": true }));
    assert_eq!((&contents.details["folders"], &contents.details["files"]), (&json!(2), &json!(0)));
}
