//! Listings: byte order, pages, prefixes and folded prefixes.

use windlass_plugin_api::{ListOptions, Object};

use super::Subject;

/// In byte order, which is neither that of folders nor that of any language. No two differ only by case: not every service can
/// tell them apart.
const KEYS: [&str; 12] =
    ["Z", "a-b/1", "a.b", "a/1", "a/10", "a/2", "a/b/1", "a/b/2", "a/c/d/e", "aa/1", "b", "b-1"];

fn filled(subject: &Subject) {
    // Not in order, and "b" beside "b-1": a folder walk alone would get this wrong.
    for key in KEYS.iter().rev() {
        subject.put(key, key.as_bytes());
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

/// What the contract says that `what` lists.
fn wanted(what: &ListOptions) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for key in KEYS.iter().filter(|key| key.starts_with(&what.prefix)) {
        let rest = &key[what.prefix.len()..];
        let end = what.delimiter.as_ref().and_then(|delimiter| rest.find(delimiter)).map(|at| at + 1);
        entries.push(format!("{}{}", what.prefix, &rest[..end.unwrap_or(rest.len())]));
    }
    entries.retain(|entry| what.after.as_ref().is_none_or(|after| entry > after));
    entries.sort();
    entries.dedup();
    entries
}

/// Every mixture of prefix, delimiter, start and page size lists what it names, in byte order.
pub fn a_listing_is_in_byte_order_and_complete(subject: &Subject) {
    filled(subject);
    let prefixes = ["", "a", "a/", "a/b", "a/b/", "Z", "b", "nothing", "a/1"];
    let starts =
        [None, Some("a"), Some("a/"), Some("a/1"), Some("a/b/1"), Some("a/bb"), Some("b-1"), Some("zz")];
    for (prefix, delimiter) in prefixes.iter().flat_map(|prefix| [(prefix, None), (prefix, Some("/"))]) {
        for after in starts {
            let what = what(prefix, delimiter, after, None);
            assert_eq!(subject.walk(&what), wanted(&what), "{what:?}");
        }
    }
}

/// Pages of any size add up to the whole, without a gap and without a double.
pub fn pages_add_up_to_the_whole(subject: &Subject) {
    filled(subject);
    for limit in [1, 2, 3, 5, 12, 100] {
        for (prefix, delimiter) in [("", None), ("", Some("/")), ("a/", None), ("a/", Some("/"))] {
            let what = what(prefix, delimiter, None, Some(limit));
            assert_eq!(subject.walk(&what), wanted(&what), "{what:?}");
        }
    }
    let page = subject.storage.list(&subject.cx(), &what("", None, None, Some(3))).unwrap();
    let keys: Vec<&str> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!((keys.as_slice(), page.more), (&KEYS[..3], true), "the first page of three");
    let all = subject.storage.list(&subject.cx(), &what("", None, None, Some(12))).unwrap();
    assert!(
        all.entries.len() < 12 || !all.more || subject.walk(&what("", None, Some("b-1"), None)).is_empty()
    );
}

/// An object is listed with its size, a folded prefix with none.
pub fn entries_say_what_stat_says(subject: &Subject) {
    filled(subject);
    let page = subject.storage.list(&subject.cx(), &what("a/", Some("/"), None, None)).unwrap();
    for entry in page.entries {
        if entry.key.ends_with('/') {
            assert_eq!(entry.size_bytes, 0, "{entry:?}");
            continue;
        }
        let Object { key, size_bytes, version, .. } =
            subject.storage.stat(&subject.cx(), &entry.key).unwrap().unwrap();
        assert_eq!((&entry.key, entry.size_bytes), (&key, size_bytes));
        if entry.version.is_some() && version.is_some() {
            assert_eq!(entry.version, version, "of `{key}`");
        }
    }
}
