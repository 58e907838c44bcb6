//! Each rule with a file that breaks it alone. Owners and groups that a test can't give to a file are swapped the other
//! way round: the judge is told that the file's own are someone else's.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

struct Place {
    dir: TempDir,
    file: PathBuf,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("libwindlass_filter_gzip.so");
    fs::write(&file, "").unwrap();
    set_mode(dir.path(), 0o755);
    set_mode(&file, 0o644);
    Place { dir, file }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// As the process itself would judge, with this text as `/etc/passwd`.
fn judge_with(passwd: String) -> Judge {
    Judge { passwd, ..Judge::of_this_process() }
}

#[track_caller]
fn refused(result: Result<()>, line: &str, hint: &str) {
    let error = result.expect_err("it must be refused");
    assert_eq!(error.kind, ErrorKind::Refused);
    assert_eq!(error.one_line(), line);
    assert_eq!(error.hint.unwrap(), format!("If you trust what it holds, run `{hint}`."));
}

#[test]
fn a_file_of_ones_own_in_a_sticky_folder_is_trusted() {
    let place = place();
    trusted(&place.file).unwrap();
}

#[test]
fn a_strangers_file_is_refused() {
    let place = place();
    let me = fs::metadata(&place.file).unwrap().uid();
    let judge = Judge { owners: vec![me + 1], user: (me + 1, me + 1), passwd: String::new() };
    let path = place.file.canonicalize().unwrap();
    refused(
        judge.judge(&place.file),
        &format!(
            "the plugin file `{}` belongs to user {me}, who is neither root nor you nor the owner of the windlass \
             executable",
            path.display()
        ),
        &format!("chown {} {}", me + 1, path.display()),
    );
}

#[test]
fn a_world_writable_file_is_refused() {
    let place = place();
    set_mode(&place.file, 0o646);
    let path = place.file.canonicalize().unwrap();
    refused(
        trusted(&place.file),
        &format!("the plugin file `{}` can be written by everyone", path.display()),
        &format!("chmod o-w {}", path.display()),
    );
}

#[test]
fn a_world_writable_folder_above_is_refused_and_a_sticky_one_is_not() {
    let place = place();
    let folder = place.dir.path().join("a b");
    fs::create_dir(&folder).unwrap();
    let deeper = folder.join("deeper");
    fs::create_dir(&deeper).unwrap();
    let file = deeper.join("libwindlass_filter_gzip.so");
    fs::write(&file, "").unwrap();
    set_mode(&deeper, 0o755);
    set_mode(&file, 0o644);
    set_mode(&folder, 0o777);
    let path = folder.canonicalize().unwrap();
    refused(
        trusted(&file),
        &format!("the plugin folder `{}` can be written by everyone", path.display()),
        &format!("chmod o-w '{}'", path.display()),
    );
    set_mode(&folder, 0o1777);
    trusted(&file).unwrap();
}

#[test]
fn umask_002_is_fine_with_a_group_of_ones_own() {
    let place = place();
    set_mode(&place.file, 0o664);
    set_mode(place.dir.path(), 0o775);
    let meta = fs::metadata(&place.file).unwrap();
    let (uid, gid) = (meta.uid(), meta.gid());
    judge_with(format!("root:x:0:0::/root:/bin/sh\nme:x:{uid}:{gid}::/:/bin/sh\n"))
        .judge(&place.file)
        .unwrap();
    // Without an entry, as in a container: the running group is the runner's own.
    judge_with(String::new()).judge(&place.file).unwrap();
}

#[test]
fn without_an_entry_the_group_of_the_same_number_is_ones_own() {
    let judge = Judge { owners: vec![0], passwd: "other:x:7:8::/:\n".to_owned(), user: (1, 2) };
    assert!(judge.is_own_group(1000, 1000));
    assert!(!judge.is_own_group(1000, 1001));
    assert!(judge.is_own_group(1, 2));
    assert!(judge.is_own_group(7, 8));
    assert!(!judge.is_own_group(7, 7));
    assert!(judge.is_own_group(7, 0));
}

#[test]
fn a_group_that_is_not_the_owners_own_may_not_write() {
    let place = place();
    set_mode(&place.file, 0o664);
    let meta = fs::metadata(&place.file).unwrap();
    if meta.gid() == 0 {
        // Root's group is always fine; root can give the file away to another.
        std::os::unix::fs::chown(&place.file, None, Some(4242)).unwrap();
    }
    let group = fs::metadata(&place.file).unwrap().gid();
    let judge = judge_with(format!("me:x:{}:{}::/:/bin/sh\n", meta.uid(), group + 1));
    let path = place.file.canonicalize().unwrap();
    refused(
        judge.judge(&place.file),
        &format!(
            "the plugin file `{}` can be written by group {group}, which is not its owner's own",
            path.display()
        ),
        &format!("chmod g-w {}", path.display()),
    );
}

#[test]
fn a_link_is_judged_by_its_own_folder_too() {
    let (target, place) = (place(), place());
    let open = place.dir.path().join("open");
    fs::create_dir(&open).unwrap();
    let link = open.join("libwindlass_filter_zstd.so");
    symlink(&target.file, &link).unwrap();
    trusted(&link).unwrap();
    set_mode(&open, 0o777);
    let line = trusted(&link).unwrap_err().one_line();
    assert!(line.contains(&*open.canonicalize().unwrap().to_string_lossy()), "{line}");
}

#[test]
fn what_is_no_file_is_refused_and_what_is_not_there_is_told() {
    let place = place();
    let link = place.dir.path().join("libwindlass_filter_xz.so");
    symlink("nowhere", &link).unwrap();
    let error = trusted(&link).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.one_line().contains(&*link.to_string_lossy()));
    let line = trusted(place.dir.path()).unwrap_err().one_line();
    assert!(line.ends_with("is not a regular file"), "{line}");
}
