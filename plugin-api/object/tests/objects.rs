//! What is common to all services: how much is under way at once, in which order, and what becomes of it when something fails.

mod double;

use std::io::{Read, Write};
use std::time::Duration;

use double::{Double, MIB};
use windlass_object::Listed;
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, ListOptions, Object, Result};
use windlass_testkit::TestHost;

/// Bytes of which no two parts are alike.
fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / MIB) as u8).collect()
}

fn put(double: &Double, concurrency: u32, bytes: &[u8]) -> Result<()> {
    let (storage, cx) = (double.storage(concurrency), Context::default());
    let mut upload = storage.create(&cx, "a", &CreateOptions::default())?;
    upload.write_all(bytes)?;
    upload.finish()?;
    assert!(double.state().objects.is_empty(), "visible before it was published");
    upload.publish().map(drop)
}

#[test]
fn parts_go_up_at_the_same_time_and_never_more_than_allowed() {
    // They wait until as many are under way as may be.
    let (double, all) = (Double::closed(), bytes(20 * MIB + 5));
    std::thread::scope(|scope| {
        let upload = scope.spawn(|| put(&double, 3, &all));
        let end = std::time::Instant::now() + Duration::from_secs(60);
        while double.state().under_way < 3 {
            assert!(std::time::Instant::now() < end, "they don't go up at the same time");
            std::thread::yield_now();
        }
        double.gate.add_permits(1000);
        upload.join().unwrap().unwrap();
    });
    let state = double.state();
    assert!(state.most_under_way <= 3 && state.most_bytes as u64 <= 3 * MIB, "{}", state.most_under_way);
    assert!(state.objects["a"] == all && state.halves.is_empty());
}

#[test]
fn a_service_that_wants_parts_in_order_gets_them_one_by_one() {
    let (mut double, all) = (Double::new(), bytes(5 * MIB + 5));
    double.limits.in_order = true;
    put(&double, 4, &all).unwrap();
    assert_eq!(double.state().most_under_way, 1);
    assert!(double.state().objects["a"] == all);
}

#[test]
fn an_object_of_one_part_takes_one_request_where_the_service_has_one_for_it() {
    for (length, put_bytes, wanted) in [
        (MIB, 1 << 30, &["put"][..]),
        (MIB, 0, &["begin"]),
        (0, 0, &["begin"]),
        (MIB + 1, 1 << 30, &["begin"]),
    ] {
        let mut double = Double::new();
        double.limits.put_bytes = put_bytes;
        put(&double, 4, &bytes(length)).unwrap();
        assert_eq!(double.state().asked, wanted, "{length} bytes");
        assert!(double.state().objects["a"] == bytes(length));
    }
}

/// A service of 80 parts, the first ten of which hold a MiB each: after that the object's tenth is the measure.
#[test]
fn parts_of_an_object_of_unknown_length_grow_and_the_service_takes_all_of_them() {
    let (mut double, all) = (Double::new(), bytes(25 * MIB + 77));
    double.limits.parts = 80;
    put(&double, 2, &all).unwrap();
    let sizes: Vec<u64> = double.state().sizes.values().map(|size| size / MIB).collect();
    assert_eq!(sizes[..11], [1; 11]);
    assert_eq!(sizes[11..16], [2; 5]);
    assert!(sizes.windows(2).rev().skip(1).all(|two| two[0] <= two[1]) && sizes.len() < 40, "{sizes:?}");
    assert!(sizes.contains(&3), "{sizes:?}");
    assert!(double.state().objects["a"] == all, "other bytes");
}

#[test]
fn an_object_may_be_as_large_as_the_service_says_and_not_a_byte_larger() {
    let mut double = Double::new();
    double.limits.object_bytes = 3 * MIB + 5;
    put(&double, 2, &bytes(3 * MIB + 5)).unwrap();
    double.state().objects.clear();
    let error = put(&double, 2, &bytes(3 * MIB + 6)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(double.state().objects.is_empty() && double.state().halves.is_empty());
    let mut equal = Double::new();
    (equal.limits.equal_parts, equal.limits.parts) = (true, 3);
    put(&equal, 2, &bytes(3 * MIB)).unwrap();
    let error = put(&equal, 2, &bytes(3 * MIB + 1)).unwrap_err();
    assert!(error.hint.unwrap().contains("part_size"), "the end of the parts is told with what to do");
    assert!(equal.state().halves.is_empty());
}

#[test]
fn a_key_that_the_service_does_not_take_is_refused_before_anything_is_asked() {
    let mut double = Double::new();
    double.limits.key_bytes = 5;
    let storage = double.storage(1);
    for key in ["a.", "123456", "a/../b", ""] {
        let error = storage.create(&Context::default(), key, &CreateOptions::default()).err();
        assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Config), "`{key}`");
    }
    storage.create(&Context::default(), "12345", &CreateOptions::default()).map(drop).unwrap();
    assert_eq!(double.state().asked, [""; 0]);
}

#[test]
fn what_an_object_that_is_given_up_may_have_left_is_cleared_away_once() {
    let double = Double::new();
    double.state().is_busy = true;
    assert_eq!(put(&double, 1, b"small").unwrap_err().kind, ErrorKind::Unavailable);
    let asked = &double.state().asked;
    assert_eq!(
        (asked.len(), asked.last(), asked.iter().filter(|name| **name == "clear").count()),
        (8, Some(&"clear"), 1)
    );
}

#[test]
fn a_part_that_fails_fails_the_write_of_a_later_one() {
    let double = Double::new();
    double.state().refuse_part = Some(1);
    let (storage, cx) = (double.storage(1), Context::default());
    let mut upload = storage.create(&cx, "a", &CreateOptions::default()).unwrap();
    let chunk = bytes(MIB);
    let failed = (0..100).find_map(|_| upload.write_all(&chunk).err()).expect("it goes on for ever");
    assert_eq!(Error::from(failed).kind, ErrorKind::Denied);
    assert_eq!(
        upload.finish().unwrap_err().kind,
        ErrorKind::Denied,
        "a part is missing, and it says that all is well"
    );
    drop(upload);
    assert!(double.state().halves.is_empty() && double.state().objects.is_empty());
}

#[test]
fn a_cancelled_run_leaves_a_hanging_upload_at_once_and_aborts_it() {
    let double = Double::closed();
    let (host, storage) = (TestHost::new(), double.storage(2));
    let mut upload = storage.create(&host.context(), "a", &CreateOptions::default()).unwrap();
    let error = std::thread::scope(|scope| {
        let write = scope.spawn(|| upload.write_all(&bytes(10 * MIB)).unwrap_err());
        while double.state().under_way < 2 {
            std::thread::yield_now();
        }
        host.cancel();
        write.join().unwrap()
    });
    assert_eq!(Error::from(error).kind, ErrorKind::Cancelled);
    assert_eq!(double.state().halves.len(), 1);
    drop(upload);
    assert!(double.state().halves.is_empty(), "a half upload stays");
    assert_eq!(host.callbacks(), 0);
}

#[test]
fn a_half_upload_whose_handle_was_lost_is_removed() {
    let double = Double::new();
    double.state().lose_begins = 2;
    put(&double, 4, &bytes(3 * MIB)).unwrap();
    assert_eq!(double.state().asked, ["begin", "begin", "begin"]);
    assert!(double.state().halves.is_empty(), "those whose answers were lost stay");
}

#[test]
fn a_download_comes_in_order_and_whole() {
    let (double, all) = (Double::new(), bytes(13 * MIB + 7));
    double.state().objects.insert("a".to_owned(), all.clone());
    let (storage, cx) = (double.storage(3), Context::default());
    let mut read = Vec::new();
    storage.open(&cx, "a", None).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == all);
}

fn page(keys: &[&str], next: Option<&str>, is_unordered: bool) -> Listed {
    let entries = keys.iter().map(|key| Object { key: (*key).to_owned(), ..Object::default() }).collect();
    Listed { entries, next: next.map(str::to_owned), is_unordered }
}

fn listed(pages: Vec<Listed>, after: Option<&str>, limit: Option<usize>) -> (Vec<String>, bool) {
    let double = Double::new();
    double.state().pages = pages;
    let what = ListOptions { after: after.map(str::to_owned), limit, ..ListOptions::default() };
    let page = double.storage(1).list(&Context::default(), &what).unwrap();
    (page.entries.into_iter().map(|entry| entry.key).collect(), page.more)
}

#[test]
fn a_page_of_which_nothing_is_wanted_is_no_end() {
    let pages = vec![
        page(&["a/"], Some("1"), false),
        page(&[], Some("2"), false),
        page(&["b", "c"], Some("3"), false),
    ];
    assert_eq!(listed(pages, Some("a/"), None), (vec!["b".to_owned(), "c".to_owned()], true));
    assert_eq!(listed(vec![page(&["a/"], None, false)], Some("a/"), None), (Vec::new(), false));
}

#[test]
fn a_service_with_another_order_is_listed_in_ours() {
    let first = page(&["a/1", "a-b"], Some("1"), true);
    let pages = || vec![first.clone(), first.clone(), page(&["a.b", "aa"], None, true)];
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(listed(pages(), None, None), (names(&["a-b", "a.b", "a/1", "aa"]), false));
    assert_eq!(listed(pages(), Some("a-b"), Some(2)), (names(&["a.b", "a/1"]), true));
}

#[test]
fn keys_are_deleted_in_batches_with_a_fate_each() {
    let double = Double::new();
    let keys = ["a", "..", "locked", "b", "c"].map(str::to_owned);
    let fates = double.storage(1).delete(&Context::default(), &keys).unwrap();
    let kinds: Vec<_> = fates.into_iter().map(|fate| fate.err().map(|error| error.kind)).collect();
    assert_eq!(kinds, [None, Some(ErrorKind::Config), Some(ErrorKind::Denied), None, None]);
    assert_eq!(double.state().asked, ["delete", "delete"]);
}

#[test]
fn a_check_warns_of_what_a_service_does_not_keep() {
    let double = Double::new();
    // It knows no conditions, and what it stored isn't listed.
    double.state().pages = vec![page(&[], None, false)];
    let report = double.storage(1).check(&Context::default()).unwrap();
    let warnings = report.warnings.join(" ");
    assert!(warnings.contains("only if it is absent") && warnings.contains("isn't listed"), "{warnings}");
}
