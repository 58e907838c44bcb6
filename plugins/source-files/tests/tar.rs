//! What we write, GNU tar extracts; what GNU tar writes, we restore.

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Stream, back_up, how, picture, picture_without, restore, scratch};
use serde_json::json;
use windlass_plugin_api::{Contents, ErrorKind, RestoreMode, Source};

fn tar(arguments: &[&str], folder: &Path, input: Option<&[u8]>) -> Vec<u8> {
    let dir = scratch();
    let archive = dir.path().join("in.tar");
    fs::write(&archive, input.unwrap_or_default()).unwrap();
    let output = Command::new("tar")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::from(fs::File::open(archive).unwrap()))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    // Times before 1970 are kept, and remarked upon.
    let told: Vec<&str> = told.lines().filter(|line| !line.contains("implausibly old time stamp")).collect();
    assert!(output.status.success() && told.is_empty(), "tar {arguments:?}: {told:?}");
    output.stdout
}

#[test]
fn gnu_tar_extracts_all_of_a_backup_without_a_word() {
    let dir = scratch();
    let (media, out) = (dir.path().join("media"), dir.path().join("out"));
    fs::create_dir(&media).unwrap();
    fs::create_dir(&out).unwrap();
    common::fill(&media);
    let (_, stream) = back_up(json!({ "roots": media }));
    tar(&["--xattrs", "-xpf", "-"], &out, Some(&stream.bytes.lock().unwrap()));
    assert_eq!(picture(&out.join("media")), picture(&media));
    for name in ["sparse", "all hole"] {
        let blocks = |root: &Path| fs::metadata(root.join(name)).unwrap().blocks();
        assert_eq!(blocks(&out.join("media")), blocks(&media), "{name}");
    }
}

#[test]
fn the_command_by_hand_restores_a_backup() {
    let dir = scratch();
    let (media, out) = (dir.path().join("media"), dir.path().join("out"));
    fs::create_dir(&media).unwrap();
    fs::create_dir(&out).unwrap();
    common::fill(&media);
    let (contents, stream) = back_up(json!({ "roots": media }));
    let command = common::files(json!({})).by_hand("data", &contents).unwrap();
    let command = command.replace("/path/to/put/it", out.to_str().unwrap());
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    tar(&arguments, dir.path(), Some(&stream.bytes.lock().unwrap()));
    assert_eq!(picture(&out.join("media")), picture(&media));
}

/// Every format and sparse form of GNU tar that can say it.
#[test]
fn archives_of_gnu_tar_are_restored() {
    let dir = scratch();
    let media = dir.path().join("media");
    fs::create_dir(&media).unwrap();
    common::fill(&media);
    for (number, arguments) in [
        &["--format=posix", "--xattrs", "--sparse", "--sparse-version=1.0"][..],
        &["--format=posix", "--xattrs", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--xattrs", "--sparse", "--sparse-version=0.0"],
        &["--format=posix", "--xattrs"],
    ]
    .iter()
    .enumerate()
    {
        let bytes = tar(&[*arguments, &["-cf", "-", "media"]].concat(), dir.path(), None);
        let out = dir.path().join(format!("out-{number}"));
        restore(json!({ "target": out }), &Stream::of(bytes), &how(RestoreMode::Fail, None, &[])).unwrap();
        assert_eq!(picture(&out.join("media")), picture(&media), "{arguments:?}");
    }
}

/// GNU's own format has no attributes and no parts of a second.
#[test]
fn archives_in_older_formats_are_restored() {
    let dir = scratch();
    let media = dir.path().join("media");
    fs::create_dir_all(media.join("d".repeat(80)).join("e".repeat(80))).unwrap();
    fs::write(media.join("d".repeat(80)).join("e".repeat(80)).join("f".repeat(70)), "deep").unwrap();
    fs::write(media.join("n".repeat(140)), "long").unwrap();
    symlink("t".repeat(150), media.join("link")).unwrap();
    let sparse = fs::File::create(media.join("sparse")).unwrap();
    for piece in 0..60u64 {
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[1; 4096], piece * 65536).unwrap();
    }
    sparse.set_len(60 * 65536).unwrap();
    for path in common::below(&media) {
        let time = rustix::fs::Timespec { tv_sec: 1_600_000_000, tv_nsec: 0 };
        let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags).unwrap();
    }
    for format in ["gnu", "oldgnu"] {
        let arguments = [&*format!("--format={format}"), "--sparse", "-cf", "-", "./media"];
        let bytes = tar(&arguments, dir.path(), None);
        let out = dir.path().join(format);
        restore(json!({ "target": out }), &Stream::of(bytes), &how(RestoreMode::Fail, None, &[])).unwrap();
        assert_eq!(picture(&out.join("media")), picture(&media), "{format}");
        let blocks = |root: &Path| fs::metadata(root.join("sparse")).unwrap().blocks();
        assert_eq!(blocks(&out.join("media")), blocks(&media), "{format}");
    }
    // ustar and the format before it can't say such long names.
    let short = |path: &Path| path.components().any(|part| part.as_os_str().len() > 60);
    for format in ["ustar", "v7"] {
        let arguments =
            [&*format!("--format={format}"), "--exclude=*ddd*", "--exclude=*nnn*", "--exclude=link"];
        let bytes = tar(&[&arguments[..], &["-cf", "-", "media"]].concat(), dir.path(), None);
        let out = dir.path().join(format);
        restore(json!({ "target": out }), &Stream::of(bytes), &how(RestoreMode::Fail, None, &[])).unwrap();
        let skip = |path: &Path| short(path.strip_prefix(dir.path()).unwrap()) || path.ends_with("link");
        assert_eq!(picture_without(&out.join("media"), skip), picture_without(&media, skip), "{format}");
    }
}

#[test]
fn a_bare_archive_without_a_target_is_refused_with_the_way_out() {
    let error = restore(json!({}), &Stream::default(), &how(RestoreMode::Fail, None, &[])).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
    assert!(error.hint.unwrap().contains("target="));
    let contents = Some(Contents::default());
    assert!(restore(json!({}), &Stream::default(), &how(RestoreMode::Fail, contents, &[])).is_err());
}
