//! Uploads: nothing is visible before it is published, and nothing is left of what never was.

use std::io::Write;
use std::thread;

use windlass_plugin_api::{CreateOptions, ErrorKind, Result, Upload};

use super::Subject;
use crate::noise::noise;

const IF_ABSENT: fn() -> CreateOptions = || CreateOptions { if_absent: true, ..CreateOptions::default() };

/// Not to `stat`, `list` or `open`, not to another instance, before `publish` has returned.
pub fn an_object_is_invisible_before_it_is_published(subject: &Subject) {
    let mut upload = subject.begin("shop/data.zst");
    subject.is_absent("shop/data.zst", "before a byte is written");
    upload.write_all(&noise(1, 300_000)).unwrap();
    upload.flush().unwrap();
    subject.is_absent("shop/data.zst", "while it is written");
    upload.finish().unwrap();
    subject.is_absent("shop/data.zst", "when finished and not yet published");
    upload.publish().unwrap();
    assert_eq!(subject.keys(""), ["shop/data.zst"]);
    assert!(subject.get("shop/data.zst") == noise(1, 300_000), "other bytes came back");
}

/// Before and after `finish`, with little and with much in it.
pub fn a_dropped_upload_leaves_nothing(subject: &Subject) {
    for (length, finish) in
        [(0, false), (10, false), (3_000_000, false), (0, true), (10, true), (3_000_000, true)]
    {
        let mut upload = subject.begin("shop/data");
        upload.write_all(&noise(2, length)).unwrap();
        if finish {
            upload.finish().unwrap();
        }
        drop(upload);
        let when = format!("after {length} bytes were dropped, {}finished", if finish { "" } else { "un" });
        subject.is_absent("shop/data", &when);
        let left = subject.storage.leftovers(&subject.cx(), "").unwrap();
        assert_eq!(left, [], "something is left over {when}");
    }
}

/// A new object of the same key takes the old one's place, whole; one that is dropped doesn't touch it.
pub fn an_object_is_replaced_whole_or_not_at_all(subject: &Subject) {
    subject.put("a", &noise(3, 200_000));
    let mut upload = subject.begin("a");
    upload.write_all(b"new").unwrap();
    upload.finish().unwrap();
    assert!(subject.get("a") == noise(3, 200_000), "replaced before it was published");
    drop(upload);
    assert!(subject.get("a") == noise(3, 200_000), "a dropped upload touched what was there");
    subject.put("a", b"new");
    assert_eq!(subject.get("a"), b"new", "the longer old object shines through");
    assert_eq!(subject.keys(""), ["a"]);
}

fn publish(upload: Result<Box<dyn Upload>>, bytes: &[u8]) -> Result<()> {
    let mut upload = upload?;
    upload.write_all(bytes)?;
    upload.finish()?;
    upload.publish().map(drop)
}

/// With `if_absent` what is there stays, also where it came after the upload began.
pub fn an_object_that_must_be_absent_replaces_nothing(subject: &Subject) {
    publish(subject.create("a", &IF_ABSENT()), b"first").unwrap();
    let error = publish(subject.create("a", &IF_ABSENT()), b"second").unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
    assert_eq!(subject.get("a"), b"first");

    let early = subject.create("b", &IF_ABSENT());
    subject.put("b", b"in between");
    let error = publish(early, b"too late").unwrap_err();
    assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
    assert_eq!(subject.get("b"), b"in between");
    assert_eq!(subject.storage.leftovers(&subject.cx(), "").unwrap(), [], "a refused upload is left over");
}

/// Of several threads that publish one key with `if_absent`, one wins and its bytes are there.
pub fn one_of_several_rivals_wins(subject: &Subject) {
    let results: Vec<(u64, Result<()>)> = thread::scope(|scope| {
        let rivals = (0..6).map(|rival| {
            scope.spawn(move || (rival, publish(subject.create("lock", &IF_ABSENT()), &noise(rival, 10_000))))
        });
        rivals.collect::<Vec<_>>().into_iter().map(|rival| rival.join().unwrap()).collect()
    });
    let winners: Vec<u64> =
        results.iter().filter(|(_, result)| result.is_ok()).map(|(rival, _)| *rival).collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    for error in results.iter().filter_map(|(_, result)| result.as_ref().err()) {
        assert_eq!(error.kind, ErrorKind::AlreadyExists, "{error}");
    }
    assert!(subject.get("lock") == noise(winners[0], 10_000), "the object isn't the winner's");
}

/// Several streams of one run go up at once; also several times the same key, of which each time one is there, whole.
pub fn parallel_uploads_do_not_mix(subject: &Subject) {
    let name = |worker: u64, number: u64| format!("run/data-{worker}-{number}");
    let bytes = |worker: u64, number: u64| noise(worker * 100 + number, 100_000 + worker as usize);
    thread::scope(|scope| {
        for worker in 0..6 {
            scope.spawn(move || {
                for number in 0..4 {
                    subject.put(&name(worker, number), &bytes(worker, number));
                    subject.put("run/shared", &noise(worker, 50_000));
                    if subject.replaces_at_once {
                        let shared = subject.get("run/shared");
                        assert!((0..6).any(|worker| shared == noise(worker, 50_000)), "a mixture was read");
                    }
                }
            });
        }
    });
    let shared = subject.get("run/shared");
    assert!((0..6).any(|worker| shared == noise(worker, 50_000)), "a mixture was kept");
    for (worker, number) in (0..6).flat_map(|worker| (0..4).map(move |number| (worker, number))) {
        assert!(subject.get(&name(worker, number)) == bytes(worker, number), "other bytes came back");
    }
    assert_eq!(subject.keys("run/").len(), 25);
}
