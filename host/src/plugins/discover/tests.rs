//! Search order, file names, shadowing.

use std::fs::{create_dir_all, hard_link, write};
use std::os::unix::fs::symlink;

use super::*;

fn no_env(_: &str) -> Option<OsString> {
    None
}

fn paths(dirs: &[SearchDir]) -> Vec<&str> {
    dirs.iter().map(|dir| dir.path.to_str().unwrap()).collect()
}

fn dir(path: &Path) -> SearchDir {
    SearchDir { path: path.to_owned(), origin: Origin::Argument }
}

#[test]
fn folders_are_searched_in_the_documented_order() {
    let env = |name: &str| match name {
        "WINDLASS_PLUGIN_PATH" => Some("/e1:/e2".into()),
        "XDG_DATA_HOME" => Some("/data".into()),
        _ => None,
    };
    let exe = Path::new("/nonexistent/bin/windlass");
    let dirs = search_dirs(&["/given".into()], &env, &["/config".into()], exe);
    assert_eq!(
        paths(&dirs),
        [
            "/given",
            "/e1",
            "/e2",
            "/config",
            "/data/windlass/plugins",
            "/nonexistent/lib/windlass/plugins",
            "/nonexistent/bin",
            "/usr/local/lib/windlass/plugins",
            "/usr/lib/windlass/plugins"
        ]
    );
    assert!(dirs.is_sorted_by_key(|dir| dir.origin));
}

#[test]
fn a_folder_that_is_named_twice_is_searched_once_and_an_empty_entry_never() {
    let env = |name: &str| (name == "WINDLASS_PLUGIN_PATH").then(|| "/a::/b/:".into());
    let dirs = search_dirs(&["/a".into(), "/b".into(), "".into()], &env, &[], Path::new("/usr/bin/windlass"));
    assert_eq!(paths(&dirs)[..2], ["/a", "/b"]);
    assert_eq!(dirs.iter().filter(|dir| dir.path.starts_with("/usr/lib")).count(), 1);
    assert!(dirs.iter().all(|dir| dir.origin != Origin::Environment));
}

#[test]
fn the_users_data_folder_follows_the_xdg_rules() {
    let with = |data: &'static str, home: &'static str| {
        user_data_folder(&move |name: &str| match name {
            "XDG_DATA_HOME" => Some(data.into()),
            "HOME" => Some(home.into()),
            _ => None,
        })
    };
    assert_eq!(with("", "/home/ann").unwrap(), Path::new("/home/ann/.local/share"));
    assert_eq!(with("relative", "/home/ann").unwrap(), Path::new("/home/ann/.local/share"));
    assert_eq!(with("", ""), None);
    assert_eq!(user_data_folder(&no_env), None);
}

#[test]
fn in_a_cargo_build_folder_deps_comes_first() {
    let target = tempfile::tempdir().unwrap();
    let profile = target.path().canonicalize().unwrap().join("debug");
    create_dir_all(profile.join(".fingerprint")).unwrap();
    create_dir_all(profile.join("deps")).unwrap();
    let searched = |exe: &str| -> Vec<PathBuf> {
        write(profile.join(exe), "").unwrap();
        let dirs = search_dirs(&[], &no_env, &[], &profile.join(exe));
        dirs.into_iter().filter(|dir| dir.origin == Origin::Executable).map(|dir| dir.path).collect()
    };
    assert_eq!(searched("windlass"), [profile.join("deps"), profile.clone()]);
    assert_eq!(searched("deps/windlass-0123456789abcdef"), [profile.join("deps")]);
}

#[test]
fn an_installed_executable_that_is_linked_to_finds_its_own_plugins() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    create_dir_all(root.join("opt/bin")).unwrap();
    write(root.join("opt/bin/windlass"), "").unwrap();
    symlink(root.join("opt/bin/windlass"), root.join("windlass")).unwrap();
    let dirs = search_dirs(&[], &no_env, &[], &root.join("windlass"));
    assert_eq!(dirs[0].path, root.join("opt/lib/windlass/plugins"));
    assert_eq!(dirs[1].path, root.join("opt/bin"));
}

#[test]
fn a_file_name_tells_kind_vendor_and_name() {
    let parsed = |name: &str| {
        parse_file_name(OsStr::new(name)).map(|(kind, vendor, name)| format!("{kind} {vendor} {name}"))
    };
    assert_eq!(parsed("libwindlass_filter_zstd.so").unwrap(), "filter windlass zstd");
    assert_eq!(parsed("libwindlass_storage_acme__tape_drive.so").unwrap(), "storage acme tape_drive");
    assert_eq!(parsed("libwindlass_source_foo_bar.so").unwrap(), "source windlass foo_bar");
    for other in [
        "libwindlass_plugin_api.so",
        "libwindlass_filter_.so",
        "libwindlass_filter_acme__.so",
        "libwindlass_filter___zstd.so",
        "libwindlass_filter_Zstd.so",
        "libwindlass_filter_zstd.so.1",
        "libwindlass_filter_zstd.rlib",
        "libwindlass_filter.so",
        "windlass_filter_zstd.so",
    ] {
        assert_eq!(parsed(other), None, "{other}");
    }
}

#[test]
fn the_name_that_is_built_is_the_name_that_is_read() {
    for (vendor, name) in [("windlass", "foo-bar"), ("acme-corp", "tape")] {
        let file = file_name(Kind::Source, vendor, name);
        let (kind, found_vendor, found_name) = parse_file_name(OsStr::new(&file)).unwrap();
        assert_eq!(kind, Kind::Source);
        assert_eq!((found_vendor, found_name), (in_file_names(vendor), in_file_names(name)));
    }
}

#[test]
fn the_first_file_of_a_name_wins_and_the_others_are_kept_as_shadowed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (first, second) = (root.join("first"), root.join("second"));
    for folder in [&first, &second] {
        create_dir_all(folder).unwrap();
        write(folder.join("libwindlass_filter_zstd.so"), "").unwrap();
    }
    write(second.join("libwindlass_filter_acme__zstd.so"), "").unwrap();
    write(second.join("notes.txt"), "").unwrap();
    let found = find(&[dir(&first), dir(&root.join("missing")), dir(&second)]);
    let told: Vec<_> = found
        .candidates
        .iter()
        .map(|one| (one.path.strip_prefix(&root).unwrap().to_str().unwrap(), one.shadowed_by.is_some()))
        .collect();
    assert_eq!(
        told,
        [
            ("first/libwindlass_filter_zstd.so", false),
            ("second/libwindlass_filter_acme__zstd.so", false),
            ("second/libwindlass_filter_zstd.so", true)
        ]
    );
    assert_eq!(found.candidates[2].shadowed_by.as_ref(), Some(&found.candidates[0].path));
    assert!(found.candidates[1].is_called(Kind::Filter, "acme", "zstd"));
    assert!(!found.candidates[0].is_called(Kind::Filter, "acme", "zstd"));
    assert!(found.unreadable.is_empty());
}

#[test]
fn the_same_file_again_is_not_shadowed() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (deps, beside, linked) = (root.join("deps"), root.join("beside"), root.join("linked"));
    for folder in [&deps, &beside, &linked] {
        create_dir_all(folder).unwrap();
    }
    let file = deps.join("libwindlass_filter_zstd.so");
    write(&file, "").unwrap();
    hard_link(&file, beside.join("libwindlass_filter_zstd.so")).unwrap();
    symlink(&file, linked.join("libwindlass_filter_zstd.so")).unwrap();
    let found = find(&[dir(&deps), dir(&beside), dir(&linked)]);
    assert_eq!(found.candidates.len(), 1);
    assert_eq!(found.candidates[0].path, file);
}

#[test]
fn a_broken_link_still_wins_over_a_later_good_file() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (first, second) = (root.join("first"), root.join("second"));
    for folder in [&first, &second] {
        create_dir_all(folder).unwrap();
    }
    let broken = first.join("libwindlass_filter_zstd.so");
    symlink("nowhere", &broken).unwrap();
    write(second.join("libwindlass_filter_zstd.so"), "").unwrap();
    let found = find(&[dir(&first), dir(&second)]);
    assert_eq!(found.candidates[0].path, broken);
    assert!(found.candidates[0].trusted().is_err());
    assert_eq!(found.candidates[1].shadowed_by.as_ref(), Some(&broken));
}

#[test]
fn a_folder_that_cannot_be_read_is_told_and_the_others_are_searched() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let file = root.join("not-a-folder");
    write(&file, "").unwrap();
    write(root.join("libwindlass_filter_zstd.so"), "").unwrap();
    let found = find(&[dir(&file), dir(&root)]);
    assert_eq!(found.candidates.len(), 1);
    let (folder, error) = &found.unreadable[0];
    assert_eq!(folder.path, file);
    assert!(error.one_line().starts_with(&format!("can't read the plugin folder `{}`: ", file.display())));
}
