//! Listings as AWS makes them: in the order of the bytes, page after page, from a key on. SeaweedFS walks folders, for which the
//! storage has another way; so these run on a double (tests/servers, written from AWS's API reference).

mod common;

use common::storage;
use serde_json::{Value, json};
use windlass_plugin_api::{ListOptions, Storage};
use windlass_storage_s3::S3;
use windlass_test_servers::{Asked, S3Double};
use windlass_testkit::TestHost;

/// Characters that a query, a header or XML has another use for; in the order of their bytes.
const STRANGE: [&str; 12] =
    [" ", "%2F", "&amp;", "+", "<a>", "=", "\u{1}", "a b+c%20d", "a?b#c", "tab\t", "ü/日本語", "\u{1f9ff}"];

struct Bench {
    double: S3Double,
    storage: S3,
    host: TestHost,
}

/// An empty bucket with pages of `page`.
fn bench(page: usize) -> Bench {
    let double = S3Double::start();
    double.state().page = page;
    let host = TestHost::new().secret("id", "AKIAAMAZON").secret("key", "s3cret");
    let storage = storage(options(&double), &host);
    Bench { double, storage, host }
}

fn options(double: &S3Double) -> Value {
    json!({
        "bucket": S3Double::BUCKET,
        "prefix": "acme",
        "endpoint": double.endpoint(),
        "access_key_id": { "$secret": "id" },
        "secret_access_key": { "$secret": "key" },
    })
}

impl Bench {
    fn put(&self, keys: &[&str]) {
        for key in keys {
            self.double.state().put(&format!("acme/{key}"), key.as_bytes());
        }
    }

    /// All pages, as the host walks them.
    fn walk(&self, what: &ListOptions) -> Vec<String> {
        let (mut what, mut found) = (what.clone(), Vec::new());
        loop {
            let page = self.storage.list(&self.host.context(), &what).unwrap();
            found.extend(page.entries.into_iter().map(|entry| entry.key));
            assert!(found.len() < 100, "it goes in circles: {found:?}");
            if !page.more {
                return found;
            }
            what.after = found.last().cloned();
        }
    }

    fn lists(&self) -> Vec<Asked> {
        self.double.asked().into_iter().filter(|asked| asked.path.contains("list-type=2")).collect()
    }
}

fn what(prefix: &str, delimiter: Option<&str>, after: Option<&str>, limit: Option<usize>) -> ListOptions {
    ListOptions {
        prefix: prefix.to_owned(),
        delimiter: delimiter.map(str::to_owned),
        after: after.map(str::to_owned),
        limit,
        ..ListOptions::default()
    }
}

#[test]
fn pages_of_the_service_and_of_the_host_add_up_without_a_gap_or_a_double() {
    let keys: Vec<String> = (0..25).map(|number| format!("k{number:02}")).collect();
    for page in [1, 4, 25, 1000] {
        let bench = bench(page);
        bench.put(&keys.iter().map(String::as_str).collect::<Vec<_>>());
        for limit in [None, Some(1), Some(3), Some(7)] {
            assert_eq!(
                bench.walk(&what("", None, None, limit)),
                keys,
                "pages of {page}, {limit:?} asked for"
            );
        }
    }
}

/// What comes before the key isn't fetched: a walk of 25 keys in pages of 5 takes 5 requests, each of which names its start.
#[test]
fn a_page_begins_behind_the_key_and_nothing_before_it_is_fetched() {
    let keys: Vec<String> = (0..25).map(|number| format!("k{number:02}")).collect();
    let bench = bench(1000);
    bench.put(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(bench.walk(&what("", None, None, Some(5))), keys);
    assert_eq!(bench.lists().len(), 5, "pages were fetched twice");
    assert_eq!(bench.walk(&what("", None, Some("k19"), Some(5))), keys[20..]);
    let last = bench.lists().pop().unwrap();
    assert!(last.path.contains("start-after=acme%2Fk19"), "{}", last.path);
    assert_eq!(bench.lists().len(), 6);
}

#[test]
fn a_page_behind_a_folded_prefix_goes_on_past_all_that_is_in_it() {
    for page in [1, 2, 1000] {
        let bench = bench(page);
        bench.put(&["a-b", "a/1", "a/2", "a/3", "a/4", "b/1", "c"]);
        let all = ["a-b", "a/", "b/", "c"];
        for limit in [None, Some(1), Some(2)] {
            assert_eq!(bench.walk(&what("", Some("/"), None, limit)), all, "{page}, {limit:?}");
            assert_eq!(bench.walk(&what("", Some("/"), Some("a/"), limit)), all[2..], "{page}, {limit:?}");
            assert_eq!(bench.walk(&what("", Some("/"), Some("a/2"), limit)), all[2..], "{page}, {limit:?}");
            assert_eq!(bench.walk(&what("a/", Some("/"), Some("a/2"), limit)), ["a/3", "a/4"]);
        }
    }
}

#[test]
fn only_what_lies_below_the_prefix_is_listed_whatever_lies_beside_it() {
    let bench = bench(2);
    bench.put(&["shop/1", "shop/2", "shop-2/1"]);
    bench.double.state().put("acme", b"a file named as the folder is");
    bench.double.state().put("acme-2/shop/1", b"another's");
    // Consoles make these for folders.
    bench.double.state().put("acme/", b"");
    bench.double.state().put("acme/shop/", b"");
    assert_eq!(bench.walk(&what("", None, None, None)), ["shop-2/1", "shop/1", "shop/2"]);
    assert_eq!(bench.walk(&what("shop", None, None, None)), ["shop-2/1", "shop/1", "shop/2"]);
    assert_eq!(bench.walk(&what("shop/", None, None, None)), ["shop/1", "shop/2"]);
    assert_eq!(bench.walk(&what("", Some("/"), None, None)), ["shop-2/", "shop/"]);
}

#[test]
fn strange_characters_come_back_as_they_were_on_every_page() {
    let mut sorted = STRANGE;
    sorted.sort_unstable();
    for page in [1, 5, 1000] {
        let bench = bench(page);
        bench.put(&STRANGE);
        for limit in [None, Some(1)] {
            assert_eq!(bench.walk(&what("", None, None, limit)), sorted, "pages of {page}");
        }
        for key in STRANGE {
            bench.double.state().begin(&format!("acme/{key}"));
        }
        let half = bench.storage.leftovers(&bench.host.context(), "").unwrap();
        let keys: Vec<&str> = half.iter().map(|half| half.key.as_str()).collect();
        assert_eq!(keys, sorted, "pages of {page}");
    }
}

/// More of one key than a page holds: only the marker of the id beside that of the key gets on.
#[test]
fn half_uploads_of_several_pages_are_all_told_and_all_removed() {
    for page in [1, 2, 3, 1000] {
        let bench = bench(page);
        for key in ["acme/a", "acme/b", "acme/b", "acme/b", "acme/b", "acme/c d/+", "elsewhere/b"] {
            bench.double.state().begin(key);
        }
        let cx = bench.host.context();
        let half = bench.storage.leftovers(&cx, "").unwrap();
        let told: Vec<(String, String)> =
            half.iter().map(|half| (format!("acme/{}", half.key), half.handle.clone())).collect();
        let mut there = bench.double.state().unfinished();
        let other = there.pop().unwrap();
        assert_eq!(told, there, "pages of {page}");
        assert!(half.iter().all(|half| half.started.is_some()));
        let below = bench.storage.leftovers(&cx, "c d/").unwrap();
        assert_eq!(below.iter().map(|half| half.key.as_str()).collect::<Vec<_>>(), ["c d/+"]);
        bench.storage.discard(&cx, &half).unwrap();
        assert_eq!(bench.double.state().unfinished(), [other], "pages of {page}");
    }
}
