//! Restores, as a user asks for them: where to, what may be overwritten, who is asked, and bare streams.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use common::{Ran, Sandbox, database, fill, rows, until};

const CONFIG: &str = r#"
[source.shop]
plugin = "sqlite"
path = "shop.db"
[source.media]
plugin = "files"
roots = ["media"]
[storage.local]
plugin = "fs"
root = "store"
[pipeline.shop]
source = "shop"
filters = ["zstd"]
storage = ["local"]
[pipeline.media]
source = "media"
filters = ["gzip"]
storage = ["local"]
"#;

/// A database of 20 rows and a folder of three files, both backed up.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(CONFIG);
    database(&sandbox.path("shop.db"), "delete", 20);
    for name in ["a.txt", "b/c.txt", "b/d.txt"] {
        sandbox.write(&format!("media/{name}"), format!("content of {name}"));
    }
    sandbox.ok(&["backup", "--all"]);
    sandbox
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn a_missing_target_is_made_and_equal() {
    let sandbox = sandbox();
    fs::rename(sandbox.path("shop.db"), sandbox.path("before.db")).unwrap();
    fs::rename(sandbox.path("media"), sandbox.path("before")).unwrap();
    let last = sandbox.ok(&["restore", "shop"]);
    assert!(
        last.starts_with("Restored shop@20") && last.contains("shop.db (") && last.contains(" KiB) in "),
        "{last}"
    );
    sandbox.ok(&["restore", "media"]);
    assert_eq!(fs::read(sandbox.path("shop.db")).unwrap(), fs::read(sandbox.path("before.db")).unwrap());
    assert_eq!(sandbox.files("media"), sandbox.files("before"));
    assert_eq!(read(sandbox.path("media/b/c.txt")), "content of b/c.txt");
}

#[test]
fn without_a_mode_what_is_there_stays_even_with_yes() {
    let sandbox = sandbox();
    fill(&database(&sandbox.path("shop.db"), "delete", 0), 1);
    sandbox.write("media/a.txt", "newer");
    let before = (rows(&sandbox.path("shop.db")), sandbox.files(""));
    for snapshot in ["shop", "media"] {
        for arguments in [
            &["restore", snapshot][..],
            &["restore", snapshot, "--yes"],
            &["restore", snapshot, "--mode", "fail", "-y"],
        ] {
            sandbox
                .run(arguments)
                .expect(12)
                .says("isn't empty")
                .says("--mode replace")
                .says("last changed 20");
        }
    }
    assert_eq!((rows(&sandbox.path("shop.db")), sandbox.files("")), before);
    assert_eq!(read(sandbox.path("media/a.txt")), "newer");
}

#[test]
fn replace_makes_the_target_equal_and_merge_adds_to_it() {
    let sandbox = sandbox();
    let before = rows(&sandbox.path("shop.db"));
    fill(&database(&sandbox.path("shop.db"), "delete", 0), 1);
    sandbox.ok(&["restore", "shop", "--mode", "replace", "--yes"]);
    assert_eq!(rows(&sandbox.path("shop.db")), before);

    sandbox.write("media/a.txt", "newer");
    sandbox.write("media/new.txt", "new");
    fs::remove_file(sandbox.path("media/b/c.txt")).unwrap();
    sandbox.ok(&["restore", "media", "--mode", "merge", "--yes"]);
    assert_eq!(sandbox.files("media"), ["a.txt", "b/c.txt", "b/d.txt", "new.txt"]);
    assert_eq!(read(sandbox.path("media/a.txt")), "content of a.txt", "the snapshot wins");
    let ran = sandbox.run(&["restore", "media", "--mode", "replace"]).expect(12);
    ran.says("removes 1 files and folders that aren't in the snapshot");
    sandbox.run(&["restore", "media", "--mode", "replace", "--yes"]).expect(0).says("Removed 1 files");
    assert_eq!(sandbox.files("media"), ["a.txt", "b/c.txt", "b/d.txt"]);
}

#[test]
fn without_a_terminal_nobody_is_waited_for() {
    let sandbox = sandbox();
    fill(&database(&sandbox.path("shop.db"), "delete", 0), 1);
    let before = rows(&sandbox.path("shop.db"));
    sandbox.run(&["restore", "shop", "--mode", "replace"]).expect(12).says("--yes");
    // A pipe that stays open and silent: whoever reads it waits for ever.
    let mut command = sandbox.command(&["restore", "shop", "--mode", "replace"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let silent = child.stdin.take();
    Ran::of(child.wait_with_output().unwrap()).expect(12).says("--yes");
    drop(silent);
    assert_eq!(rows(&sandbox.path("shop.db")), before);
}

/// Runs it on a terminal on which `answer` is typed.
fn on_terminal(sandbox: &Sandbox, arguments: &[&str], answer: &str) -> Ran {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    let slave = fs::OpenOptions::new().read(true).write(true).open(name).unwrap();
    let mut master = fs::File::from(master);
    master.write_all(answer.as_bytes()).unwrap();
    let mut command = sandbox.command(arguments);
    Ran::of(command.stdin(slave).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap())
}

#[test]
fn on_a_terminal_it_asks_and_only_a_yes_is_one() {
    let sandbox = sandbox();
    let backed_up = rows(&sandbox.path("shop.db"));
    fill(&database(&sandbox.path("shop.db"), "delete", 0), 1);
    let newer = rows(&sandbox.path("shop.db"));
    let restore = ["restore", "shop", "--mode", "replace"];
    for no in ["n\n", "\n", "yep\n"] {
        let ran = on_terminal(&sandbox, &restore, no)
            .expect(12)
            .says("Replace `")
            .says("[y/N]")
            .says("last changed");
        assert!(ran.stderr.contains("shop@20"), "it says what it restores: {}", ran.stderr);
        assert_eq!(rows(&sandbox.path("shop.db")), newer);
    }
    on_terminal(&sandbox, &restore, "y\n").expect(0);
    assert_eq!(rows(&sandbox.path("shop.db")), backed_up);
}

#[test]
fn a_dry_run_of_a_restore_says_what_would_go_and_writes_nothing() {
    let sandbox = sandbox();
    sandbox.write("media/new.txt", "new");
    let before = (sandbox.files(""), fs::read(sandbox.path("shop.db")).unwrap());
    sandbox
        .run(&["restore", "shop", "--mode", "replace", "--dry-run"])
        .expect(0)
        .says("shop.db")
        .says("last changed");
    sandbox.run(&["restore", "media", "--mode", "replace", "--dry-run"]).expect(0).says("removes ");
    sandbox.run(&["restore", "shop", "--to", "sqlite:new.db", "--dry-run"]).expect(0).says("empty");
    sandbox.run(&["restore", "shop", "--dry-run"]).expect(12);
    assert_eq!((sandbox.files(""), fs::read(sandbox.path("shop.db")).unwrap()), before);
}

#[test]
fn to_names_another_source_and_set_changes_its_options() {
    let sandbox = sandbox();
    sandbox.ok(&["restore", "shop", "--to", "sqlite:by-url.db"]);
    sandbox.ok(&["restore", "shop", "--set", "path=by-set.db"]);
    sandbox.ok(&["restore", "shop", "--to", "shop", "--set", "path=by-name.db"]);
    let whole = rows(&sandbox.path("shop.db"));
    for name in ["by-url.db", "by-set.db", "by-name.db"] {
        assert_eq!(rows(&sandbox.path(name)), whole, "{name}");
    }
    sandbox.ok(&["restore", "media", "--set", "target=elsewhere"]);
    assert_eq!(sandbox.files("elsewhere/media"), sandbox.files("media"));
    sandbox.run(&["restore", "shop", "--set", "pth=x.db"]).expect(2).says("`path`");
    sandbox.run(&["restore", "shop", "--set", "mode=wrong", "--to", "sqlite:x.db"]).expect(2).says("pages");
    sandbox.run(&["restore", "shop", "--to", "shopp"]).expect(2).says("`shop`");
    sandbox.run(&["restore", "shop", "--to", "files:x"]).expect(2).says("sqlite/1").says("tar/1");
    assert!(!sandbox.path("x.db").exists() && !sandbox.path("x").exists());
}

#[test]
fn only_restores_a_part_and_a_part_that_is_not_there_is_an_error() {
    let sandbox = sandbox();
    sandbox.ok(&["restore", "media", "--set", "target=part", "--only", "media/b"]);
    assert_eq!(sandbox.files("part"), ["media/b/c.txt", "media/b/d.txt"]);
    sandbox.ok(&[
        "restore",
        "media",
        "--set",
        "target=two",
        "--only",
        "media/a.txt",
        "--only",
        "media/b/d.txt",
    ]);
    assert_eq!(sandbox.files("two"), ["media/a.txt", "media/b/d.txt"]);
    let ran = sandbox.run(&["restore", "media", "--set", "target=none", "--only", "media/nope"]);
    assert!(ran.code != 0 && ran.stderr.contains("media/nope"), "{ran:?}");
    assert!(sandbox.files("none").is_empty());
}

#[test]
fn output_decodes_to_a_file_or_to_standard_output_and_restores_nothing() {
    let sandbox = sandbox();
    let plain = fs::read(sandbox.path("shop.db")).unwrap();
    let said = sandbox.ok(&["restore", "shop", "--output", "plain.db"]);
    assert!(said.starts_with("Wrote shop@20") && said.contains("to plain.db ("), "{said}");
    assert_eq!(fs::read(sandbox.path("plain.db")).unwrap(), plain);
    assert_eq!(fs::metadata(sandbox.path("plain.db")).unwrap().permissions().mode() & 0o777, 0o600);
    let output = sandbox.command(&["restore", "shop", "--output", "-"]).output().unwrap();
    assert_eq!((output.status.code(), output.stdout == plain), (Some(0), true), "nothing but the stream");

    sandbox.write("there", "mine");
    sandbox.run(&["restore", "shop", "--output", "there"]).expect(12);
    assert_eq!(read(sandbox.path("there")), "mine");
    sandbox.ok(&["restore", "shop", "--output", "there", "--yes"]);
    assert_eq!(fs::read(sandbox.path("there")).unwrap(), plain);
    sandbox.run(&["--json", "restore", "shop", "--output", "-"]).expect(2);
    sandbox.run(&["restore", "shop", "--output", "x", "--to", "shop"]).expect(2);
    sandbox.run(&["restore", "shop", "--output", "x", "--dry-run"]).expect(2);
    assert!(!sandbox.path("x").exists());
    sandbox.run(&["restore", "shop", "--output", "no/such/folder/x"]).expect(1).says("no/such/folder");
    assert_eq!(rows(&sandbox.path("shop.db")), rows(&sandbox.path("plain.db")));
}

#[test]
fn a_damaged_stream_leaves_no_output_file() {
    let sandbox = sandbox();
    let object = sandbox.object("shop", "data.zst");
    let mut bytes = fs::read(&object).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&object, &bytes).unwrap();
    sandbox.write("there", "mine");
    sandbox.run(&["restore", "shop", "--output", "there", "--yes"]).expect(4);
    sandbox.run(&["restore", "shop", "--output", "new"]).expect(4);
    assert_eq!(read(sandbox.path("there")), "mine");
    let left: Vec<String> =
        sandbox.files("").into_iter().filter(|name| name.starts_with(".windlass") || name == "new").collect();
    assert_eq!(left, Vec::<String>::new());
}

/// What is being written has no name until it is whole.
#[test]
fn a_killed_decode_leaves_nothing() {
    let sandbox = Sandbox::new();
    let config = "[source.shop]\nplugin = \"misbehaving\"\nbytes = 3000000\n[storage.local]\nplugin = \"misbehaving\"\n\
                  root = \"store\"\n[pipeline.shop]\nsource = \"shop\"\nstorage = [\"local\"]\n";
    sandbox.config(config);
    sandbox.ok(&["backup"]);
    sandbox.config(&config.replace("root =", "bytes_per_second = 200000\nroot ="));
    let before = sandbox.files("");
    let mut child = sandbox.spawn(&["restore", "shop", "--output", "out"]);
    let open = format!("/proc/{}/fd", child.id());
    let folder = sandbox.path("").canonicalize().unwrap();
    let is_open = |entry: fs::DirEntry| {
        fs::read_link(entry.path())
            .is_ok_and(|to| to.parent() == Some(&folder) && to.to_string_lossy().ends_with(" (deleted)"))
    };
    until("the file is open", || fs::read_dir(&open).unwrap().flatten().any(is_open));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(sandbox.files(""), before);
}

/// The whole matrix of damage is that of the database; here is another source.
#[test]
fn a_damaged_archive_is_refused_before_a_file_is_touched() {
    let sandbox = sandbox();
    let object = sandbox.object("media", "data.gz");
    let good = fs::read(&object).unwrap();
    sandbox.write("media/a.txt", "newer");
    fs::remove_file(sandbox.path("media/b/c.txt")).unwrap();
    for at in [0, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&object, bytes).unwrap();
        for mode in ["replace", "merge"] {
            sandbox.run(&["restore", "media", "--mode", mode, "--yes"]).expect(4).says("data.gz");
            assert_eq!(sandbox.files("media"), ["a.txt", "b/d.txt"], "byte {at}, {mode}");
            assert_eq!(read(sandbox.path("media/a.txt")), "newer", "byte {at}, {mode}");
        }
    }
    fs::write(&object, good).unwrap();
    sandbox.ok(&["restore", "media", "--mode", "replace", "--yes"]);
    assert_eq!(read(sandbox.path("media/a.txt")), "content of a.txt");
}

#[test]
fn a_bare_stream_is_decoded_by_its_name_or_as_told() {
    let sandbox = sandbox();
    let whole = rows(&sandbox.path("shop.db"));
    let stored = sandbox.object("shop", "data.zst");
    let stored_name = stored.to_str().unwrap();
    let said = sandbox.ok(&["restore", "--input", stored_name, "--to", "sqlite:by-suffix.db"]);
    assert!(said.starts_with("Restored ") && !said.contains("(0 B)"), "{said}");
    fs::copy(&stored, sandbox.path("unnamed")).unwrap();
    sandbox.ok(&["restore", "--input", "unnamed", "--decode", "zstd", "--to", "sqlite:as-told.db"]);
    fs::copy(sandbox.path("shop.db"), sandbox.path("plain")).unwrap();
    sandbox.ok(&["restore", "--input", "plain", "--to", "sqlite:plain.db"]);
    for name in ["by-suffix.db", "as-told.db", "plain.db"] {
        assert_eq!(rows(&sandbox.path(name)), whole, "{name}");
    }
    let ran = sandbox.run(&["restore", "--input", "unnamed", "--to", "sqlite:x.db"]);
    assert!(ran.code != 0, "compressed bytes are no database: {ran:?}");
    assert!(!sandbox.path("x.db").exists());
    sandbox.run(&["restore", "--input", "unnamed", "--decode", "zst", "--to", "sqlite:alias.db"]).expect(0);
    sandbox
        .run(&["restore", "--input", "unnamed", "--decode", "zstdd", "--to", "sqlite:x.db"])
        .expect(2)
        .says("`zstd`");
    sandbox.run(&["restore", "--input", "unnamed"]).expect(2).says("--to");
    sandbox.run(&["restore", "--input", "gone", "--to", "sqlite:x.db"]).expect(1).says("`gone`");
    sandbox.run(&["restore", "--input", "plain", "--to", "shop"]).expect(12);
}

fn feed(sandbox: &Sandbox, arguments: &[&str], bytes: &[u8]) -> Ran {
    let mut command = sandbox.command(arguments);
    let mut child: Child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdin, bytes) = (child.stdin.take().unwrap(), bytes.to_vec());
    // It may refuse and go before it has read all.
    let feeder = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
    let ran = Ran::of(child.wait_with_output().unwrap());
    feeder.join().unwrap();
    ran
}

#[test]
fn a_bare_stream_is_taken_from_standard_input() {
    let sandbox = sandbox();
    let mut stored = Vec::new();
    fs::File::open(sandbox.object("shop", "data.zst")).unwrap().read_to_end(&mut stored).unwrap();
    let to = |name: &str| format!("sqlite:{name}");
    feed(&sandbox, &["restore", "--input", "-", "--decode", "zstd", "--to", &to("new.db")], &stored)
        .expect(0);
    assert_eq!(rows(&sandbox.path("new.db")), rows(&sandbox.path("shop.db")));
    let cut = &stored[..stored.len() - 10];
    let ran = feed(&sandbox, &["restore", "--input", "-", "--decode", "zstd", "--to", &to("cut.db")], cut);
    assert!(ran.code != 0 && !sandbox.path("cut.db").exists(), "{ran:?}");
    // Its standard input is the stream, so there is nobody to ask.
    let replace =
        ["restore", "--input", "-", "--decode", "zstd", "--to", "sqlite:new.db", "--mode", "replace"];
    feed(&sandbox, &replace, &stored).expect(12);
    // Files aren't restored in one step: the stream must be proved first, and so be read twice.
    let tar = fs::read(sandbox.object("media", "data.gz")).unwrap();
    feed(
        &sandbox,
        &["restore", "--input", "-", "--decode", "gzip", "--to", "files:media?target=from-pipe"],
        &tar,
    )
    .expect(2)
    .says("--input FILE");
    assert!(sandbox.files("from-pipe").is_empty());
    let media = sandbox.object("media", "data.gz");
    sandbox.ok(&["restore", "--input", media.to_str().unwrap(), "--to", "files:media?target=from-file"]);
    assert_eq!(sandbox.files("from-file/media"), sandbox.files("media"));
}

#[test]
fn a_source_without_sessions_knows_no_force() {
    let sandbox = sandbox();
    let ran = sandbox.run(&["restore", "shop", "--mode", "replace", "--yes", "--force"]).expect(2);
    assert!(
        ran.stderr.contains("--force: the source plugin `sqlite` has no option `force`"),
        "{}",
        ran.stderr
    );
}
