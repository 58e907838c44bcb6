//! How a program is found and started, and what it gets.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::sh;
use windlass_plugin_api::{Context, ErrorKind, Secret};
use windlass_tool::{Inherit, Tool};

fn say(tool: &Tool) -> String {
    String::from_utf8(tool.output(&Context::default()).unwrap().1).unwrap()
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_program_that_is_not_there_names_where_it_was_looked_for() {
    let error = Tool::new("pg_dmup").bin_dirs(["/opt/pg/bin"]).output(&Context::default()).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::NotFound, "no program `pg_dmup`"));
    let hint = error.hint.unwrap();
    assert!(hint.starts_with("Searched `/opt/pg/bin`, `/") && hint.contains("bin_dirs"), "{hint}");
    let error = Tool::new("./pg_dmup").output(&Context::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
}

#[test]
fn a_file_that_can_not_be_run_is_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dump");
    write(&file, "#!/bin/sh\n", 0o600);
    let error = Tool::new("dump").bin_dirs([folder.path()]).output(&Context::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    write(&file, "no interpreter", 0o700);
    let error = Tool::new(&file).output(&Context::default()).unwrap_err();
    assert!(error.message.starts_with("can't start `/") && error.hint.unwrap().contains("`#!`"));
    write(&file, "#!/no/such/interpreter\n", 0o700);
    let error = Tool::new(&file).output(&Context::default()).unwrap_err();
    assert!(error.hint.unwrap().contains("interpreter"));
    let error = sh(":").working_dir(folder.path().join("none")).output(&Context::default()).unwrap_err();
    assert!(error.message.contains("no folder"), "{error}");
}

#[test]
fn bin_dirs_come_before_path_and_a_path_is_relative_to_the_working_folder() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("cat"), "#!/bin/sh\necho mine\n", 0o700);
    assert_eq!(say(&Tool::new("cat").bin_dirs([folder.path()])), "mine\n");
    assert_eq!(say(&Tool::new("./cat").working_dir(folder.path())), "mine\n");
}

#[test]
fn the_environment_is_what_was_asked_for() {
    let tool = || Tool::new("/usr/bin/env").env("GIVEN", "1");
    assert_eq!(say(&tool().inherit_env(Inherit::Nothing)), "GIVEN=1\n");
    let path = std::env::var("PATH").unwrap();
    let some = say(&tool().inherit_env(Inherit::Only(vec!["PATH".into(), "NO_SUCH_THING".into()])));
    assert_eq!(some, format!("GIVEN=1\nPATH={path}\n"));
    assert!(say(&tool()).contains(&format!("PATH={path}\n")));
}

#[test]
fn huge_arguments_arrive_and_too_huge_ones_are_told() {
    let args = vec!["x".repeat(1000); 1000];
    assert_eq!(say(&sh("echo $#").arg("sh").args(&args)), "1000\n");
    let error = sh("echo $#").arg("x".repeat(1 << 20)).output(&Context::default()).unwrap_err();
    assert!(error.hint.unwrap().contains("longer than the system allows"));
    let error = sh("echo a\0b").output(&Context::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Config);
}

#[test]
fn a_secret_comes_by_descriptor_and_can_be_read_twice_and_not_written() {
    let mut tool = Tool::new("sh");
    let path = tool.secret_descriptor(&Context::default(), &Secret::of("hunter2")).unwrap();
    let tool = tool.arg("-c").arg("cat $1; cat $1; echo no > $1; echo $(cat $1 | rev | rev) >&2; exit 1");
    let tool = tool.arg("sh").arg(&path);
    let mut out = Vec::new();
    let error = tool.dump(&Context::default(), &mut out).unwrap_err();
    assert_eq!(out, b"hunter2hunter2");
    // Some programs ignore a file that others could have written.
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(error.details["stderr"].as_str().unwrap().ends_with("***\n"), "{error:?}");
}

#[test]
fn a_secret_comes_by_a_private_file_that_is_removed() {
    let mut tool = Tool::new("sh");
    let path = tool.secret_file("pgpass", "h:5432:d:u:hunter2\n", &["hunter2"]).unwrap();
    let tool = tool.arg("-c").arg("stat -c %a $1 $(dirname $1); cat $1").arg("sh").arg(&path);
    assert_eq!(say(&tool), "600\n700\nh:5432:d:u:hunter2\n");
    drop(tool);
    assert!(!path.parent().unwrap().exists());
}

#[test]
fn only_the_passed_descriptors_are_inherited() {
    // A descriptor that a careless library left inheritable.
    let leaked =
        rustix::fs::open("/dev/null", rustix::fs::OFlags::RDONLY, rustix::fs::Mode::empty()).unwrap();
    let list = "exec ls -1 /proc/self/fd";
    // `ls` itself opens the folder, on the first free number.
    let inherited = |tool: &Tool| say(tool).lines().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(inherited(&sh(list)), ["0", "1", "2", "3"]);
    let mut tool = sh(list);
    let path = tool.secret_descriptor(&Context::default(), &Secret::of("s")).unwrap();
    let number = path.file_name().unwrap().to_str().unwrap().to_owned();
    let seen = inherited(&tool);
    assert!(seen.len() == 5 && seen.contains(&number), "{seen:?} with {number} passed");
    drop(leaked);
}

#[test]
fn a_program_has_no_terminal_and_empty_input() {
    assert_eq!(say(&sh("cat; (: < /dev/tty) 2>/dev/null || echo none")), "none\n");
}

#[test]
fn a_version_is_asked_once_and_again_after_an_upgrade() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tool");
    let install = |version: &str| {
        let new = folder.path().join("new");
        write(
            &new,
            &format!(
                "#!/bin/sh\necho x >> {}/asked\necho 'tool' $1 '{version}' >&2\n",
                folder.path().display()
            ),
            0o700,
        );
        fs::rename(new, &file).unwrap();
    };
    let tool = Tool::new(&file).arg("ignored");
    let version = || tool.version(&Context::default(), "--version").unwrap();
    install("(Tool) 16.4");
    assert_eq!(version().numbers, [16, 4]);
    assert_eq!((version().line.as_str(), version().major()), ("tool --version (Tool) 16.4", 16));
    assert_eq!(fs::read_to_string(folder.path().join("asked")).unwrap(), "x\n");
    install("(Tool) 17.0");
    assert_eq!(version().to_string(), "17.0");
}

#[test]
fn a_program_that_names_no_version_is_an_error() {
    let error = Tool::new("true").version(&Context::default(), "--").unwrap_err();
    assert!(error.message.contains("names no version"), "{error}");
}
