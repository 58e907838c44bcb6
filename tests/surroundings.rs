//! Where it runs: as which user, with which umask, home, clock, time zone and neighbours.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Ran, Sandbox, binary, database, rename_snapshot, rows};
use rustix::process::{getegid, geteuid};

const CONFIG: &str = r#"
[source.shop]
plugin = "sqlite"
path = "shop.db"
[storage.local]
plugin = "fs"
root = "store"
[pipeline.shop]
source = "shop"
filters = ["zstd"]
storage = ["local"]
"#;

/// No line of `/etc/passwd` has it.
const NOBODY: u32 = 54_321;

/// A copy of the binary and its plugins in a folder that any user can reach, and a folder that belongs to one.
struct Installed {
    dir: tempfile::TempDir,
    /// Who runs it: the user of the tests, or `NOBODY` if that is root.
    user: u32,
    group: u32,
}

impl Installed {
    fn new() -> Self {
        // Not in the tests' scratch folder: another user need not be let that far.
        let dir = tempfile::Builder::new().prefix("windlass-e2e-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let bin = dir.path().join("bin");
        fs::create_dir(&bin).unwrap();
        fs::copy(binary(), bin.join("windlass")).unwrap();
        let plugins = fs::read_dir(Path::new(binary()).parent().unwrap().join("deps")).unwrap();
        for plugin in plugins.map(|entry| entry.unwrap().path()) {
            let name = plugin.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("libwindlass_") && name.ends_with(".so") && !name.contains("misbehaving") {
                fs::copy(&plugin, bin.join(name)).unwrap();
            }
        }
        let is_root = geteuid().is_root();
        let (user, group) = if is_root { (NOBODY, NOBODY) } else { (geteuid().as_raw(), getegid().as_raw()) };
        let installed = Self { dir, user, group };
        fs::create_dir(installed.path("")).unwrap();
        fs::create_dir(installed.path("store")).unwrap();
        database(&installed.path("shop.db"), "delete", 20);
        fs::write(installed.path("windlass.toml"), CONFIG).unwrap();
        for name in ["", "store", "shop.db", "windlass.toml"] {
            installed.give(&installed.path(name));
        }
        installed
    }

    /// A path in the user's folder.
    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.dir.path().join("own") } else { self.dir.path().join("own").join(name) }
    }

    fn plugin(&self) -> PathBuf {
        self.dir.path().join("bin/libwindlass_source_sqlite.so")
    }

    fn give(&self, path: &Path) {
        chown(path, Some(self.user), Some(self.group)).unwrap();
    }

    /// Runs it as the user, with neither a home nor groups, and with this umask.
    fn run(&self, umask: &str, variables: &[(&str, &Path)], arguments: &[&str]) -> Ran {
        let (user, group) = (self.user.to_string(), self.group.to_string());
        let mut command = Command::new("sh");
        command.args(["-c", "umask $0; exec \"$@\"", umask]);
        if geteuid().is_root() {
            command.args(["setpriv", "--reuid", &user, "--regid", &group, "--clear-groups", "--"]);
        }
        command.arg(self.dir.path().join("bin/windlass")).args(arguments).current_dir(self.path(""));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).env("WINDLASS_HOST", "web1");
        Ran::of(command.envs(variables.iter().copied()).output().unwrap())
    }
}

#[test]
fn a_user_without_home_and_passwd_entry_backs_up_and_restores() {
    let at = Installed::new();
    let temporary = at.path("tmp");
    fs::create_dir(&temporary).unwrap();
    at.give(&temporary);
    let run = |arguments: &[&str]| at.run("022", &[("TMPDIR", &temporary)], arguments).expect(0);
    run(&["check"]);
    run(&["backup"]);
    run(&["verify", "--full"]);
    run(&["restore", "shop", "--to", "sqlite:new.db"]);
    assert_eq!(rows(&at.path("new.db")), rows(&at.path("shop.db")));
    let state = temporary.join(format!("windlass-{}", at.user));
    assert_eq!(fs::metadata(state).unwrap().mode() & 0o7777, 0o700, "the state folder of last resort");
}

#[test]
fn a_database_in_a_folder_that_may_not_be_written_is_backed_up_and_left_as_it_was() {
    for journal in ["delete", "wal"] {
        let at = Installed::new();
        let folder = at.path("read-only");
        fs::create_dir(&folder).unwrap();
        drop(database(&folder.join("it.db"), journal, 20));
        fs::set_permissions(folder.join("it.db"), Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o555)).unwrap();
        let before = fs::read(folder.join("it.db")).unwrap();
        let state = at.path("state");
        let run = |arguments: &[&str]| at.run("022", &[("XDG_STATE_HOME", &state)], arguments);
        let backup = run(&["backup", "sqlite:read-only/it.db", "--storage", "fs:store"]);
        let restore = run(&["restore", "it", "--storage", "fs:store", "--to", "sqlite:new.db"]);
        let (names, after) =
            (fs::read_dir(&folder).unwrap().count(), fs::read(folder.join("it.db")).unwrap());
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let backup = backup.expect(0);
        assert_eq!(backup.stderr.contains("every writer waits"), journal == "delete", "{}", backup.stderr);
        restore.expect(0);
        assert_eq!((names, after == before), (1, true), "{journal}");
        assert_eq!(rows(&at.path("new.db")), rows(&folder.join("it.db")), "{journal}");
    }
}

#[test]
fn a_file_that_may_not_be_read_is_named_and_the_snapshot_is_incomplete() {
    let at = Installed::new();
    fs::create_dir(at.path("media")).unwrap();
    for (name, mode) in [("public", 0o644), ("private", 0o000)] {
        fs::write(at.path("media").join(name), name).unwrap();
        fs::set_permissions(at.path("media").join(name), Permissions::from_mode(mode)).unwrap();
    }
    let ran = at.run("022", &[], &["backup", "files:media", "--storage", "fs:store"]).expect(3);
    assert!(ran.stderr.contains("media/private"), "{}", ran.stderr);
    at.run("022", &[], &["restore", "media", "--storage", "fs:store", "--to", "files:media?target=back"])
        .expect(0);
    assert_eq!(fs::read(at.path("back/media/public")).unwrap(), b"public");
    assert!(!at.path("back/media/private").exists());
}

#[test]
fn what_is_made_is_for_the_owner_alone_whatever_the_umask() {
    for umask in ["000", "002", "022", "077"] {
        let at = Installed::new();
        let state = at.path("state");
        let run = |arguments: &[&str]| at.run(umask, &[("XDG_STATE_HOME", &state)], arguments).expect(0);
        run(&["init", "sqlite:shop.db", "--output", "new.toml"]);
        run(&["backup"]);
        run(&["restore", "shop", "--to", "sqlite:new.db"]);
        run(&["restore", "shop", "--output", "plain.db"]);
        let mut made = vec![at.path("new.toml"), at.path("new.db"), at.path("plain.db"), state];
        made.extend(fs::read_dir(at.path("store")).unwrap().map(|entry| entry.unwrap().path()));
        while let Some(path) = made.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            assert_eq!(meta.mode() & 0o077, 0, "{umask}: {} has mode {:o}", path.display(), meta.mode());
            if meta.is_dir() {
                made.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
    }
}

#[test]
fn plugins_that_the_users_own_group_may_write_are_fine_and_others_are_refused() {
    let at = Installed::new();
    let plugin = at.plugin();
    let backup = || at.run("002", &[("XDG_STATE_HOME", &at.path("state"))], &["backup"]);
    for folder in [at.dir.path().join("bin"), plugin.clone()] {
        at.give(&folder);
        let mode = if folder.is_dir() { 0o775 } else { 0o664 };
        fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
    }
    backup().expect(0);
    fs::set_permissions(&plugin, Permissions::from_mode(0o666)).unwrap();
    backup().expect(2).says("libwindlass_source_sqlite.so` can be written by everyone").says("chmod o-w");
    fs::set_permissions(&plugin, Permissions::from_mode(0o664)).unwrap();
    if geteuid().is_root() {
        chown(&plugin, None, Some(at.group + 1)).unwrap();
        backup().expect(2).says("libwindlass_source_sqlite.so").says("chmod g-w");
        chown(&plugin, Some(at.user + 1), Some(at.group)).unwrap();
        backup().expect(2).says("libwindlass_source_sqlite.so` belongs to user");
    }
}

#[test]
fn a_file_system_without_a_place_for_state_has_one_elsewhere_or_says_so() {
    let sandbox = Sandbox::new();
    sandbox.config(CONFIG);
    database(&sandbox.path("shop.db"), "delete", 20);
    fs::create_dir(sandbox.path("run")).unwrap();
    // Nobody, not even root, can make a folder in /proc.
    let run = |arguments: &[&str], runtime: &Path| {
        let mut command = sandbox.command(arguments);
        command.env("HOME", "/proc").env("XDG_STATE_HOME", "/proc/state").env("TMPDIR", "/proc");
        Ran::of(command.env("XDG_RUNTIME_DIR", runtime).output().unwrap())
    };
    run(&["backup"], &sandbox.path("run")).expect(0);
    assert!(sandbox.path("run/windlass/locks").is_dir());
    run(&["--state-dir", "named", "backup"], Path::new("/proc")).expect(0);
    assert!(sandbox.path("named/locks").is_dir());
    if !geteuid().is_root() {
        run(&["backup"], Path::new("/proc")).expect(1).says("/proc/state").says("--state-dir");
    }
    run(&["--state-dir", "/proc/state", "backup"], Path::new("/proc")).expect(1).says("`/proc/state`");
    assert_eq!(sandbox.listed().len(), 2);
    // Whoever only reads needs none.
    for arguments in
        [&["list"][..], &["show", "shop"], &["verify", "--full"], &["restore", "shop", "--to", "sqlite:x.db"]]
    {
        let mut all = vec!["--state-dir", "/proc/state"];
        all.extend(arguments);
        run(&all, Path::new("/proc")).expect(0);
    }
}

#[test]
fn two_hosts_with_the_same_pipeline_on_one_storage_never_touch_each_other() {
    let sandbox = Sandbox::new();
    sandbox.config(CONFIG);
    database(&sandbox.path("shop.db"), "delete", 10);
    let first = rows(&sandbox.path("shop.db"));
    let on = |host: &'static str, arguments: &[&str]| {
        let mut all = vec!["--host", host, "--state-dir", host];
        all.extend(arguments);
        sandbox.run(&all)
    };
    on("web1", &["backup"]).expect(0);
    fs::remove_file(sandbox.path("shop.db")).unwrap();
    database(&sandbox.path("shop.db"), "delete", 30);
    let second = rows(&sandbox.path("shop.db"));
    // A run of web2's that died on another machine: nobody's to remove.
    let leftover = "store/web2/shop/20260101T100000Z-dead/data.zst";
    sandbox.write(leftover, "half");
    on("web2", &["backup"]).expect(0);
    on("web1", &["restore", "shop", "--to", "sqlite:of-1.db"]).expect(0);
    on("web2", &["restore", "shop", "--to", "sqlite:of-2.db"]).expect(0);
    on("web2", &["restore", "web1/shop", "--to", "sqlite:of-1-by-2.db"]).expect(0);
    assert_eq!(rows(&sandbox.path("of-1.db")), first);
    assert_eq!(rows(&sandbox.path("of-2.db")), second);
    assert_eq!(rows(&sandbox.path("of-1-by-2.db")), first);
    for (host, other) in [("web1", "web2"), ("web2", "web1")] {
        let list = on(host, &["list"]).expect(0).stdout;
        assert!(list.contains(host) && !list.contains(other), "{list}");
        let verified = on(host, &["verify"]).expect(0).stdout;
        assert_eq!(verified.lines().count(), 1, "{verified}");
    }
    assert_eq!(on("web1", &["list", "--all-hosts"]).expect(0).stdout.lines().count(), 3);
    assert_eq!(on("web1", &["list", "web2/shop"]).expect(0).stdout.lines().count(), 2);
    let check = on("web1", &["check"]).expect(0).stdout;
    assert!(!check.contains("no manifest"), "{check}");
    let check = on("web2", &["check"]).expect(0).stdout;
    assert!(check.contains("warning: `web2/shop/20260101T100000Z-dead/` holds no manifest"), "{check}");
    assert!(sandbox.path(leftover).exists(), "check tells, and nothing deletes");
    let unnamed = sandbox.ok(&["--host", "", "list"]);
    assert!(!unnamed.contains("web"), "an empty label is none, so it is the host's own: {unnamed}");
    on("../web1", &["list"]).expect(2).says("host label");
}

#[test]
fn check_tells_what_a_dead_run_left_and_no_backup_removes_what_this_machine_does_not_know() {
    let sandbox = Sandbox::new();
    let config = |behaviour: &str| {
        sandbox.config(&format!(
            "[source.s]\nplugin = \"misbehaving\"\nbehaviour = \"{behaviour}\"\n[storage.local]\nplugin = \"fs\"\n\
             root = \"store\"\n[pipeline.p]\nsource = \"s\"\nstorage = [\"local\"]\n"
        ));
    };
    config("kills-itself");
    sandbox.run(&["backup"]).expect(137);
    let left = sandbox.files("store");
    assert_eq!(left.len(), 1, "a half upload: {left:?}");
    // As if it had died on another machine.
    let state = sandbox.path(".local");
    fs::rename(&state, sandbox.path("elsewhere")).unwrap();
    config("none");
    let check = sandbox.ok(&["check"]);
    assert!(check.contains("warning: there is a half upload of `web1/p/20"), "{check}");
    sandbox.ok(&["backup"]);
    assert!(sandbox.files("store").contains(&left[0]), "not ours to remove");
    // The machine that knows it does.
    fs::remove_dir_all(&state).unwrap();
    fs::rename(sandbox.path("elsewhere"), &state).unwrap();
    sandbox.run(&["backup"]).expect(0).says("removed 1 leftover");
    assert!(!sandbox.files("store").contains(&left[0]));
    let check = sandbox.ok(&["check"]);
    assert!(!check.contains("warning"), "{check}");
    let manifest = sandbox.object("p", "manifest.json");
    fs::write(&manifest, "{}").unwrap();
    assert!(sandbox.ok(&["check"]).contains("warning: the manifest of `p@"));
}

#[test]
fn the_sequence_and_not_the_clock_says_what_is_newest() {
    let sandbox = Sandbox::new();
    sandbox.config(CONFIG);
    let connection = database(&sandbox.path("shop.db"), "delete", 10);
    sandbox.ok(&["backup"]);
    // The clock was a year ahead; before the second run it was set right.
    let id = sandbox.object("shop", "").file_name().unwrap().to_str().unwrap().to_owned();
    let year: u32 = id[..4].parse().unwrap();
    let ahead = format!("{}{}", year + 1, &id[4..]);
    rename_snapshot(&sandbox.object("shop", ""), &ahead, &[]);
    common::fill(&connection, 5);
    sandbox.ok(&["backup"]);
    let newest = rows(&sandbox.path("shop.db"));
    let late = sandbox.object("shop", "").file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(&late[16..18], "-0", "its id says that there is a later one: {late}");
    let sequence = |text: &str| {
        let shown = sandbox.ok(&["show", text]);
        let line = shown.lines().find(|line| line.starts_with("sequence")).unwrap().to_owned();
        line.split_whitespace().last().unwrap().parse::<u64>().unwrap()
    };
    let second = sequence("shop");
    assert!(second > sequence(&format!("shop@{ahead}")));
    sandbox.ok(&["restore", "shop", "--to", "sqlite:new.db"]);
    assert_eq!(rows(&sandbox.path("new.db")), newest);
    let list = sandbox.ok(&["list"]);
    assert!(list.lines().nth(1).unwrap().contains(&ahead), "the oldest first: {list}");
    sandbox.ok(&["backup"]);
    let third = sequence("shop");
    assert!(third > second);
    fs::remove_dir_all(sandbox.path(".local")).unwrap();
    sandbox.ok(&["backup"]);
    assert!(sequence("shop") > third, "what this machine doesn't remember the manifests know");
}

#[test]
fn dates_are_local_and_what_is_printed_is_both() {
    let sandbox = Sandbox::new();
    sandbox.config(CONFIG);
    database(&sandbox.path("shop.db"), "delete", 1);
    let ids = ["20260101T100000Z-aaaa", "20260101T200000Z-bbbb"];
    for id in ids {
        sandbox.ok(&["backup"]);
        rename_snapshot(&sandbox.object("shop", ""), id, &[]);
    }
    for zone in ["Asia/Karachi", "PKT-5"] {
        let show = |reference: &str| {
            let mut command = sandbox.command(&["show", reference]);
            Ran::of(command.env("TZ", zone).output().unwrap())
        };
        for (reference, expected) in [
            ("shop@2026-01-01", ids[0]),
            ("shop@2026-01-02", ids[1]),
            ("shop@2026-01-02T00:59", ids[0]),
            ("shop@2026-01-02T01:00", ids[1]),
            ("shop@2026-01-01T20:00Z", ids[1]),
            ("shop@2026-01-01T20:00:00+05:00", ids[0]),
        ] {
            let ran = show(reference).expect(0);
            assert!(
                ran.stdout.contains(&format!("snapshot     shop@{expected}")),
                "{zone} {reference}: {}",
                ran.stdout
            );
        }
        let ran = show("shop").says("2026-01-01T20:00:00Z (2026-01-02 01:00 here, ");
        assert!(ran.stdout.contains("2026-01-01T20:00:00Z (2026-01-02 01:00 here)"), "{}", ran.stdout);
        show("shop@2026-01-01T14:59").expect(10).says("shop@20260101T100000Z-aaaa");
        let mut command = sandbox.command(&["list", "--since", "2026-01-01T15:01"]);
        let listed = Ran::of(command.env("TZ", zone).output().unwrap()).expect(0).stdout;
        assert!(!listed.contains(ids[0]) && listed.contains(ids[1]), "{listed}");
    }
}
