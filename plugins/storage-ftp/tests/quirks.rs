//! What servers do that can't be run here: lost answers, refusals in the middle, renames that replace nothing, lies.

mod common;
mod double;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::json;
use windlass_plugin_api::{CreateOptions, Error, ErrorKind, ListOptions, Storage};
use windlass_testkit::noise::noise;

use common::{begun, cx, finished, get, keys, made, put, refused, with};
use double::{Double, Said};

/// Says `said` the first time that `is` holds.
fn once(
    is: impl Fn(&str) -> bool + Send + Sync + 'static,
    said: impl Fn() -> Said + Send + Sync + 'static,
) -> impl Fn(&str, &double::Held) -> Option<Said> + Send + Sync + 'static {
    let was = AtomicBool::new(false);
    move |line, _| (is(line) && !was.swap(true, Ordering::SeqCst)).then(&said)
}

#[test]
fn a_rename_whose_answer_is_lost_has_published_the_object() {
    let server = Double::start(once(|line| line.starts_with("RNTO"), || Said::DoneAndLost));
    let storage = made(with(server.options(), json!({ "connections": 1 })));
    put(&storage, "a/b").unwrap();
    assert_eq!(get(&storage, "a/b").unwrap(), "bytes");
    assert_eq!(server.held().files.len(), 1);
    assert_eq!(server.held().asked.iter().filter(|line| line.starts_with("RNTO")).count(), 1);
}

#[test]
fn a_rename_that_was_never_done_is_done_over_another_connection() {
    let server = Double::start(once(|line| line.starts_with("RNTO"), || Said::Instead("")));
    let storage = made(with(server.options(), json!({ "connections": 1 })));
    put(&storage, "a/b").unwrap();
    assert_eq!(get(&storage, "a/b").unwrap(), "bytes");
}

#[test]
fn a_server_that_breaks_off_at_each_rename_is_given_up_and_keeps_nothing() {
    let server = Double::start(|line, _| line.starts_with("RNTO").then_some(Said::Instead("")));
    let error = put(&made(server.options()), "a/b").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("can't publish"), "{error}");
    assert!(server.held().files.is_empty(), "{:?}", server.held().files.keys());
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_fails_no_publish() {
    let server = Double::start(once(|line| line == "NOOP", || Said::Instead("421 idle for too long")));
    let storage = made(server.options());
    let upload = finished(&storage, "a", b"bytes").unwrap();
    upload.publish().unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    assert!(server.held().asked.iter().filter(|line| line.starts_with("USER")).count() > 1);
}

#[test]
fn a_server_whose_rename_replaces_nothing_has_the_old_object_moved_away_first() {
    let server = Double::start(|line, held| {
        let to = line.strip_prefix("RNTO ")?;
        held.files.contains_key(to).then_some(Said::Instead("550 file exists"))
    });
    let storage = made(server.options());
    put(&storage, "a").unwrap();
    let mut upload = storage.create(&cx(), "a", &CreateOptions::default()).unwrap();
    upload.write_all(b"other").unwrap();
    upload.finish().unwrap();
    upload.publish().unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "other");
    assert_eq!(server.held().files.len(), 1, "the old one stays: {:?}", server.held().files.keys());
    // What must be absent replaces nothing.
    assert_eq!(put(&storage, "a").unwrap_err().kind, ErrorKind::AlreadyExists);
    assert_eq!(get(&storage, "a").unwrap(), "other");
}

#[test]
fn an_object_that_can_not_be_replaced_stays() {
    // The new one is refused, over the old one and in its empty place; the old one may come back.
    let server = Double::start(move |line, held| {
        let is_back =
            held.asked.iter().rev().nth(1).is_some_and(|before| before.contains("windlass-replaced-"));
        let is_second = held.files.values().any(|bytes| bytes == b"other");
        (line == "RNTO /data/a" && is_second && !is_back).then_some(Said::Instead("550 not now"))
    });
    let storage = made(server.options());
    put(&storage, "a").unwrap();
    let mut upload = storage.create(&cx(), "a", &CreateOptions::default()).unwrap();
    upload.write_all(b"other").unwrap();
    upload.finish().unwrap();
    let error = upload.publish().unwrap_err();
    assert!(error.to_string().contains("not now"), "{error}");
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    assert_eq!(server.held().files.len(), 1, "{:?}", server.held().files.keys());
}

#[test]
fn a_line_that_breaks_between_two_questions_of_a_publish_fails_nothing() {
    let server = Double::start(once(|line| line == "MLST /data/a", || Said::Instead("")));
    let storage = made(server.options());
    put(&storage, "a").unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
}

#[test]
fn a_server_without_epsv_is_reached_where_it_is_whatever_address_it_names() {
    let server = Double::start(|line, _| (line == "EPSV").then_some(Said::Instead("500 what?")));
    let storage = made(server.options());
    put(&storage, "a").unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    assert!(server.held().asked.iter().any(|line| line == "PASV"));
}

#[test]
fn an_upload_that_breaks_off_goes_on_where_the_server_has_bytes() {
    let server =
        Double::start(once(|line| line.starts_with("STOR"), || Said::Breaks(100_000, "426 line broke")));
    let storage = made(server.options());
    let bytes = noise(1, 3_000_000);
    finished(&storage, "a", &bytes).unwrap().publish().unwrap();
    assert!(server.held().files["/data/a"] == bytes, "other bytes");
    assert!(server.held().asked.iter().any(|line| line.starts_with("REST ")));
}

#[test]
fn a_server_that_breaks_off_again_and_again_is_given_up() {
    let server =
        Double::start(|line, _| line.starts_with("STOR").then_some(Said::Breaks(10, "426 line broke")));
    let storage = made(server.options());
    let error = finished(&storage, "a", &noise(1, 300_000)).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("426: line broke"), "{error}");
    assert!(server.held().files.is_empty(), "a half upload stays");
}

#[test]
fn an_upload_that_can_not_go_on_in_the_middle_says_so() {
    let count = AtomicU32::new(0);
    let server = Double::start(move |line, _| match line {
        line if line.starts_with("STOR") && count.fetch_add(1, Ordering::SeqCst) == 0 => {
            Some(Said::Breaks(100_000, "426 line broke"))
        }
        line if line.starts_with("REST") => Some(Said::Instead("502 no REST here")),
        _ => None,
    });
    let storage = made(server.options());
    let error = finished(&storage, "a", &noise(1, 3_000_000)).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("no REST here"), "{error}");
    assert!(server.held().files.is_empty(), "a half upload stays");
}

#[test]
fn a_quota_in_the_middle_is_told_as_full_and_not_tried_again() {
    for reply in ["552 quota exceeded", "452 no room", "451 Failure writing to local file.", "550 Disk full"]
    {
        let server =
            Double::start(move |line, _| line.starts_with("STOR").then_some(Said::Breaks(1000, reply)));
        let storage = made(server.options());
        let error = finished(&storage, "a", &noise(1, 30_000_000)).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Full, "{error}");
        assert!(
            error.to_string().contains(reply.split_once(' ').unwrap().1) && error.hint.is_some(),
            "{error:?}"
        );
        let held = server.held();
        assert_eq!(held.asked.iter().filter(|line| line.starts_with("STOR")).count(), 1, "{reply}");
    }
}

#[test]
fn bytes_that_the_server_does_not_have_in_the_end_make_no_object() {
    let server =
        Double::start(|line, _| line.starts_with("STOR").then_some(Said::Breaks(3, "226 all is well")));
    let storage = made(server.options());
    let mut upload = begun(&storage, "a").unwrap();
    upload.write_all(b"bytes").unwrap();
    let error = upload.finish().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains("3 bytes, where 5 were sent"), "{error}");
}

#[test]
fn a_download_that_ends_too_early_is_an_error_whatever_the_server_says() {
    for reply in ["226 all is well", "426 line broke", "451 local error", ""] {
        let server = Double::start(move |line, _| line.starts_with("RETR").then_some(Said::Breaks(3, reply)));
        let storage = made(server.options());
        put(&storage, "a").unwrap();
        let mut read = Vec::new();
        let error = storage.open(&cx(), "a", None).unwrap().read_to_end(&mut read).unwrap_err();
        assert_eq!(Error::from(error).kind, ErrorKind::Unavailable, "{reply}");
        assert_eq!(read, b"byt", "{reply}");
    }
}

#[test]
fn a_listing_leads_nowhere_outside_and_one_that_is_not_understood_is_told() {
    let lines = "type=cdir; .\r\ntype=pdir; ..\r\ntype=file;size=1; ../x\r\ntype=file;size=1; /etc/passwd\r\n\
                 type=dir; ..\r\ntype=OS.unix=slink:/etc; l\r\ntype=file;size=1; a\r\n";
    let server = Double::start(move |line, _| (line == "MLSD /data").then_some(Said::Lists(lines)));
    assert_eq!(keys(&made(server.options()), ListOptions::default()), ["a"]);
    let server = Double::start(|line, _| {
        line.starts_with("MLSD").then_some(Said::Lists("11-22-26  06:59PM <DIR> a\r\n"))
    });
    let error = made(server.options()).list(&cx(), &ListOptions::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    // A listing that breaks off isn't taken for all there is.
    let server =
        Double::start(|line, _| line.starts_with("MLSD").then_some(Said::Breaks(0, "426 line broke")));
    let error = made(server.options()).list(&cx(), &ListOptions::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[test]
fn what_is_not_ftp_and_who_is_not_let_in_are_told() {
    for (command, reply, kind) in [
        ("USER", "421 too many users", ErrorKind::Unavailable),
        ("PASS", "530 Sorry, the maximum number of clients is reached", ErrorKind::Unavailable),
        ("PASS", "530 any is no password", ErrorKind::Denied),
        ("PASS", "332 which account?", ErrorKind::Unsupported),
        ("USER", "550 TLS is required", ErrorKind::Failed),
        ("PWD", "550 no", ErrorKind::Failed),
        ("USER", "hello", ErrorKind::Unsupported),
        ("USER", "", ErrorKind::Unavailable),
    ] {
        let server = Double::start(move |line, _| line.starts_with(command).then_some(Said::Instead(reply)));
        let error = refused(server.options());
        assert_eq!(error.kind, kind, "{reply}: {error}");
        // A server may repeat what it was sent.
        assert!(!error.to_string().contains("any is no password"), "{error}");
    }
}
