//! Secrets: where they come from, and that they are seen nowhere.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{Ran, Sandbox, database};

/// One secret from each place.
const LITERAL: &str = "literal-Pa55word";
const VARIABLE: &str = "variable-Pa55word";
const FILE: &str = "file-Pa55word";
const COMMAND: &str = "command-Pa55word";
const DEFAULT: &str = "default-Pa55word";
const ALL: [&str; 5] = [LITERAL, VARIABLE, FILE, COMMAND, DEFAULT];
/// The user typed it into a command line, where another test that runs at the same time may see it.
const TYPED: &str = "typed-Pa55word";

/// The dump says every secret on stderr, writes down all command lines of the system, and fails if it is asked to.
const DUMP: &str = r#"
echo "connecting with $A, $B, $C, $D and $E" >&2
cat /proc/[0-9]*/cmdline > cmdlines 2>/dev/null
echo "$A/$B/$C/$D/$E" > seen
echo a dump
test ! -e fail
"#;

fn config() -> String {
    format!(
        r#"
[source.app]
plugin = "command"
dump_command = ["sh", "dump.sh"]
restore_command = ["sh", "-c", "cat > restored; echo $A $B $C $D $E >&2"]
[source.app.secret_env]
A = "{LITERAL}"
B = {{ env = "APP_PASSWORD" }}
C = {{ file = "secret.txt" }}
D = {{ command = ["sh", "print.sh"] }}
E = {{ env = "NOT_SET", default = "{DEFAULT}" }}
[storage.local]
plugin = "fs"
root = "store"
[pipeline.app]
source = "app"
filters = ["zstd"]
storage = ["local"]
"#
    )
}

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(&config());
    sandbox.write("dump.sh", DUMP);
    sandbox.write("secret.txt", format!("{FILE}\n"));
    sandbox.write("print.sh", format!("echo {COMMAND}; echo printing {COMMAND} >&2"));
    sandbox
}

fn run(sandbox: &Sandbox, arguments: &[&str]) -> Ran {
    Ran::of(sandbox.command(arguments).env("APP_PASSWORD", VARIABLE).output().unwrap())
}

#[track_caller]
fn clean(what: &str, text: &str) {
    for secret in ALL {
        assert!(!text.contains(secret), "`{secret}` stands in {what}:\n{text}");
    }
}

#[track_caller]
fn clean_output(what: &str, ran: &Ran) {
    for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        clean(&format!("{stream} of {what}"), text);
        assert!(!text.contains(TYPED), "`{TYPED}` stands in {stream} of {what}:\n{text}");
    }
}

/// All files below `folder`, also the contents of compressed ones as the host decodes them.
fn clean_files(sandbox: &Sandbox, folder: &str) {
    let files = sandbox.files(folder);
    assert!(!files.is_empty(), "{folder} is empty");
    for name in files {
        let bytes = fs::read(sandbox.path(Path::new(folder).join(&name))).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        clean(&format!("{folder}/{name}"), &text);
        assert!(!text.contains(TYPED), "`{TYPED}` stands in {folder}/{name}");
    }
}

#[test]
fn a_secret_reaches_its_program_and_is_seen_nowhere() {
    let sandbox = sandbox();
    let runs: [&[&str]; 10] = [
        &["-vvv", "backup"],
        &["--json", "-vvv", "backup"],
        &["-vvv", "backup", "--dry-run"],
        &["-vvv", "check"],
        &["config", "show"],
        &["--json", "config", "show"],
        &["show", "app"],
        &["--json", "show", "app"],
        &["-vvv", "verify", "--full"],
        &["-vvv", "restore", "app", "--mode", "replace", "--yes"],
    ];
    for arguments in runs {
        let ran = run(&sandbox, arguments).expect(0);
        clean_output(&arguments.join(" "), &ran);
    }
    let seen = fs::read_to_string(sandbox.path("seen")).unwrap();
    assert_eq!(seen.trim(), [LITERAL, VARIABLE, FILE, COMMAND, DEFAULT].join("/"), "the program got them");
    let cmdlines = fs::read(sandbox.path("cmdlines")).unwrap();
    let cmdlines = String::from_utf8_lossy(&cmdlines);
    assert!(cmdlines.contains("dump.sh"), "the program looked at the command lines: {cmdlines}");
    clean("the command lines", &cmdlines);
    clean_files(&sandbox, "store");
    clean_files(&sandbox, ".local");
    let contents = sandbox.object("app", "contents.json.zst");
    run(
        &sandbox,
        &["restore", "--input", contents.to_str().unwrap(), "--to", "app", "--mode", "replace", "--yes"],
    )
    .expect(0);
    let contents = fs::read_to_string(sandbox.path("restored")).unwrap();
    assert!(contents.contains("plain_sha256"), "{contents}");
    clean("contents.json", &contents);
}

#[test]
fn an_error_hides_what_a_program_said_of_a_secret() {
    let sandbox = sandbox();
    sandbox.write("fail", "");
    for arguments in [&["backup"][..], &["-vvv", "backup"], &["--json", "backup"]] {
        let ran = run(&sandbox, arguments).expect(1);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains("connecting with "), "the reason is told: {told}");
        clean_output(&arguments.join(" "), &ran);
    }
    assert!(sandbox.files("store").is_empty());
    clean_files(&sandbox, ".local");
}

#[test]
fn the_last_words_of_a_command_that_should_print_a_secret_hide_the_others() {
    let sandbox = sandbox();
    sandbox.write("print.sh", format!("echo no {LITERAL} here >&2; exit 3"));
    let ran = run(&sandbox, &["backup"]).expect(2).says("secret_env.D");
    clean_output("backup", &ran);
}

#[test]
fn a_config_that_others_can_read_may_hold_no_literal_secret() {
    let sandbox = sandbox();
    let path = sandbox.path("windlass.toml");
    let open_to = |mode: u32| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    open_to(0o644);
    for arguments in [&["check"][..], &["backup"]] {
        let ran =
            run(&sandbox, arguments).expect(2).says("windlass.toml:7: ").says("secret_env.A").says("chmod");
        assert!(ran.stderr.contains("secret_env.E"), "a default is as literal: {}", ran.stderr);
        clean_output("backup", &ran);
    }
    assert!(sandbox.files("store").is_empty());
    open_to(0o600);
    run(&sandbox, &["backup"]).expect(0);
    let elsewhere = config().replace(&format!("\"{LITERAL}\""), "{ env = \"APP_PASSWORD\" }");
    let elsewhere = elsewhere
        .replace(&format!("{{ env = \"NOT_SET\", default = \"{DEFAULT}\" }}"), "{ file = \"secret.txt\" }");
    fs::write(&path, elsewhere).unwrap();
    open_to(0o644);
    run(&sandbox, &["backup"]).expect(0);
}

#[test]
fn only_the_secrets_of_the_chosen_pipelines_are_asked_for() {
    let sandbox = sandbox();
    database(&sandbox.path("shop.db"), "delete", 1);
    let more = "[source.shop]\nplugin = \"sqlite\"\npath = \"shop.db\"\n[pipeline.shop]\nsource = \"shop\"\nstorage = [\"local\"]\n";
    sandbox.config(&(config() + more));
    sandbox.write("print.sh", "touch asked; echo x");
    sandbox.run(&["backup", "shop"]).expect(0);
    sandbox.ok(&["list"]);
    assert!(!sandbox.path("asked").exists());
    sandbox.run(&["backup", "app"]).expect(2).says("APP_PASSWORD");
}

#[test]
fn a_password_in_a_url_is_hidden_everywhere() {
    let sandbox = Sandbox::new();
    database(&sandbox.path("shop.db"), "delete", 1);
    let url = format!("fs://user:{TYPED}@nas/backups");
    for arguments in [
        &["-vvv", "backup", "sqlite:shop.db", "--storage", &url][..],
        &["--json", "backup", "sqlite:shop.db", "--storage", &url],
        &["check", "sqlite:shop.db", "--storage", &url],
        &["list", "--storage", &url],
        &["restore", "shop", "--storage", &url, "--to", "sqlite:x.db"],
    ] {
        let ran = sandbox.run(arguments);
        assert!(ran.code != 0 && format!("{}{}", ran.stdout, ran.stderr).contains("@nas/backups"), "{ran:?}");
        clean_output(arguments[0], &ran);
    }
    // As if it were a folder: also what is stored and remembered doesn't name it.
    fs::create_dir_all(sandbox.path(format!("user:{TYPED}@nas/backups"))).unwrap();
    sandbox.ok(&["backup", "sqlite:shop.db", "--storage", &url]);
    clean_files(&sandbox, ".local");
    clean_files(&sandbox, &format!("user:{TYPED}@nas/backups"));
}
