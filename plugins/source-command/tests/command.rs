//! What is particular to commands: their options, their failures, and what can't be promised of them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use windlass_plugin_api::{
    Contents, Context, Error, ErrorKind, Plugin, RestoreMode, RestoreOptions, Result, Source, StreamInfo,
};
use windlass_source_command::CommandSource;
use windlass_testkit::streams::{Fault, MemoryInputs, MemoryOutputs};

fn source(options: Value) -> CommandSource {
    open(options).unwrap()
}

fn open(options: Value) -> Result<CommandSource> {
    CommandSource::new(serde_json::from_value(options).unwrap(), &Context::default())
}

fn backup(options: Value) -> (Result<Contents>, MemoryOutputs) {
    let out = MemoryOutputs::new();
    (source(options).backup(&Context::default(), &out), out)
}

fn input(format: &str, bytes: &[u8]) -> MemoryInputs {
    MemoryInputs::new().stream("data", StreamInfo::new(format), bytes)
}

fn restore(options: Value, input: &MemoryInputs) -> Result<()> {
    source(options).restore(&Context::default(), input, &RestoreOptions::default()).map(|_| ())
}

#[test]
fn a_dump_that_fails_after_good_output_finishes_no_stream() {
    for (script, says) in [
        ("echo data; echo disk gone >&2; exit 1", "`sh` ended with exit code 1: disk gone"),
        ("echo data; kill -9 $$", "`sh` was killed by signal 9 (SIGKILL)"),
    ] {
        let (result, out) = backup(json!({ "dump_command": ["sh", "-c", script] }));
        assert_eq!(result.unwrap_err().to_string(), says);
        let seen = &out.seen()[0].1;
        // How much of it has arrived by then is a race; that it is never a whole stream is not.
        assert!(!seen.finished && seen.dropped && b"data\n".starts_with(&seen.bytes));
    }
}

#[test]
fn an_empty_dump_is_a_failure_unless_it_is_allowed() {
    let (result, out) = backup(json!({ "dump_command": ["sh", "-c", "false | cat"] }));
    assert!(result.unwrap_err().hint.unwrap().contains("allow_empty"));
    assert!(!out.seen()[0].1.finished);
    let (result, out) = backup(json!({ "dump_command": ["true"], "allow_empty": true }));
    result.unwrap();
    assert!(out.seen()[0].1.finished);
}

#[test]
fn arguments_go_through_no_shell() {
    let (result, out) = backup(json!({ "dump_command": ["echo", "$HOME *; exit 1"] }));
    result.unwrap();
    assert_eq!(out.seen()[0].1.bytes, b"$HOME *; exit 1\n");
}

#[test]
fn the_environment_is_what_the_options_say() {
    let dump = |inherit: Value| {
        let options = json!({
            "dump_command": ["/usr/bin/env"], "inherit_env": inherit,
            "env": { "PGHOST": "db" }, "secret_env": { "PGPASSWORD": "hunter2" },
        });
        let (result, out) = backup(options);
        result.unwrap();
        String::from_utf8(out.seen()[0].1.bytes.clone()).unwrap()
    };
    assert_eq!(dump(json!(false)), "PGHOST=db\nPGPASSWORD=hunter2\n");
    let path = format!("PATH={}\n", std::env::var("PATH").unwrap());
    assert_eq!(dump(json!(["PATH"])), format!("{path}PGHOST=db\nPGPASSWORD=hunter2\n"));
    assert!(dump(json!(true)).contains(&path));
}

#[test]
fn secrets_stand_in_no_error() {
    let options = json!({
        "dump_command": ["sh", "-c", "echo no login with $PW at ftp://u:geheim@h >&2; exit 1"],
        "secret_env": { "PW": "hunter2" },
    });
    let error = format!("{:?}", backup(options).0.unwrap_err());
    assert!(error.contains("no login with *** at ftp://u:***@h"), "{error}");
    assert!(!error.contains("hunter2") && !error.contains("geheim"));
}

fn committing(folder: &Path) -> Value {
    json!({ "restore_command": ["sh", "-c", "cat > data; echo committed > marker"], "working_dir": folder })
}

#[test]
fn a_damaged_stream_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let damage = Error::damaged("the hash differs");
    let input = input("command/1", &[b'x'; 300_000]).fault_in("data", 300_000, Fault::Error(damage.clone()));
    assert_eq!(restore(committing(folder.path()), &input).unwrap_err(), damage);
    assert!(!folder.path().join("marker").exists());
    restore(committing(folder.path()), &self::input("command/1", b"good")).unwrap();
    assert_eq!(fs::read(folder.path().join("data")).unwrap(), b"good");
    assert!(folder.path().join("marker").exists());
}

#[test]
fn a_restore_that_fails_or_does_nothing_is_an_error() {
    let run = |options: Value| restore(options, &input("command/1", b"bytes")).unwrap_err();
    let error = run(json!({ "restore_command": ["sh", "-c", "cat >/dev/null; echo no table >&2; exit 3"] }));
    assert_eq!(error.to_string(), "`sh` ended with exit code 3: no table");
    let error = run(json!({ "restore_command": ["true"] }));
    assert!(error.to_string().contains("without reading all of its input"), "{error}");
    let fine = json!({ "restore_command": ["true"], "allow_unread": true });
    restore(fine, &input("command/1", b"bytes")).unwrap();
}

#[test]
fn the_restore_command_is_told_mode_and_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let script = "cat >/dev/null; echo $WINDLASS_RESTORE_MODE $WINDLASS_SNAPSHOT > told";
    let mut source = source(json!({ "restore_command": ["sh", "-c", script], "working_dir": folder.path() }));
    let how = RestoreOptions {
        mode: RestoreMode::Replace,
        snapshot: "20260101T000000Z-k3f9".into(),
        ..Default::default()
    };
    source.restore(&Context::default(), &input("command/1", b"x"), &how).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("told")).unwrap(), "replace 20260101T000000Z-k3f9\n");
}

#[test]
fn a_target_is_empty_only_if_a_check_says_so() {
    let target = |check: Value| {
        let options = json!({ "restore_command": ["psql", "-d", "a b"], "target_check": check });
        source(options).target(&Context::default(), &RestoreOptions::default())
    };
    let unknown = target(json!([])).unwrap();
    assert!(!unknown.empty && !unknown.atomic);
    assert_eq!(unknown.effects, ["runs `psql -d 'a b'`; what that overwrites can't be told"]);
    assert!(target(json!(["true"])).unwrap().empty);
    assert!(!target(json!(["false"])).unwrap().empty);
    let error = target(json!(["sh", "-c", "echo no server >&2; exit 2"])).unwrap_err();
    assert!(error.to_string().contains("can't check the target") && error.to_string().contains("no server"));
}

#[test]
fn a_format_that_the_command_does_not_name_is_refused() {
    let error = restore(json!({ "restore_command": ["cat"] }), &input("pg-custom/1", b"x")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(error.hint.unwrap(), "If the command reads it, set `stream_format = \"pg-custom/1\"`.");
    let named = json!({ "restore_command": ["cat"], "stream_format": "pg-custom/1" });
    restore(named, &input("pg-custom/1", b"x")).unwrap();
    let (_, out) = backup(json!({ "dump_command": ["echo"], "stream_format": "pg-custom/1" }));
    assert_eq!(out.seen()[0].1.info.stream_format, "pg-custom/1");
    let two = input("command/1", b"x").stream("other", StreamInfo::new("command/1"), b"y".as_slice());
    assert_eq!(
        restore(json!({ "restore_command": ["cat"] }), &two).unwrap_err().kind,
        ErrorKind::Unsupported
    );
}

#[test]
fn a_probe_looks_for_the_programs_and_runs_none() {
    let probe = |options: Value| source(options).probe(&Context::default());
    assert_eq!(probe(json!({})).unwrap_err().kind, ErrorKind::Config);
    let error = probe(json!({ "dump_command": ["pg_dmup"], "bin_dirs": ["/opt/pg"] })).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    assert!(error.hint.unwrap().contains("`/opt/pg`"));
    let folder = tempfile::tempdir().unwrap();
    let options = json!({
        "dump_command": ["touch", "ran"], "working_dir": folder.path(),
        "restore_command": ["no-such-program"], "env": { "PGPASSWORD": "x" },
    });
    let warnings = probe(options).unwrap().warnings.join(" ");
    assert!(warnings.contains("no program `no-such-program`") && warnings.contains("`env.PGPASSWORD`"));
    assert!(!folder.path().join("ran").exists());
}

#[test]
fn options_that_contradict_are_refused() {
    for options in [
        json!({ "env": { "A=B": "x" } }),
        json!({ "env": { "A": "x" }, "secret_env": { "A": "y" } }),
        json!({ "stream_format": "custom" }),
    ] {
        assert_eq!(open(options).err().unwrap().kind, ErrorKind::Config);
    }
}

#[test]
fn the_command_by_hand_is_quoted_and_holds_no_value() {
    let by_hand = |options: Value| source(options).by_hand("data", &Contents::default());
    assert_eq!(by_hand(json!({})), None);
    let options = json!({
        "restore_command": ["psql", "-v", "x=it's", "postgres://u:geheim@/shop"],
        "env": { "PGPORT": "5433" }, "secret_env": { "PGPASSWORD": "hunter2" }, "working_dir": "/srv/a b",
    });
    let expected = r#"(cd '/srv/a b' && PGPORT="${PGPORT:?}" PGPASSWORD="${PGPASSWORD:?}" psql -v 'x=it'\''s' postgres://u:***@/shop)"#;
    assert_eq!(by_hand(options).unwrap(), expected);
}
