//! What a dead maker leaves, and what a check leaves.

use std::io::Write;

use super::Subject;
use crate::noise::noise;

/// An upload that nobody will end is named, with its key and its maker, and can be removed; it is never visible.
pub fn what_a_dead_maker_left_is_told_and_can_be_removed(subject: &Subject) {
    if !subject.tells_leftovers {
        return;
    }
    let mut unfinished = subject.begin("shop/one/data");
    unfinished.write_all(&noise(1, 100_000)).unwrap();
    unfinished.flush().unwrap();
    let mut finished = subject.begin("shop/two/data");
    finished.write_all(&noise(2, 100_000)).unwrap();
    finished.finish().unwrap();
    subject.put("shop/three/data", b"published");
    // As after kill -9: no destructor runs.
    std::mem::forget((unfinished, finished));

    let storage = subject.another();
    let all = storage.leftovers(&subject.cx(), "shop/").unwrap();
    let mut told: Vec<(&str, &str)> = all.iter().map(|left| (left.key.as_str(), left.run.as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [("shop/one/data", "testkit-run"), ("shop/two/data", "testkit-run")]);
    assert_eq!(subject.keys(""), ["shop/three/data"], "a leftover is visible");
    assert_eq!(storage.leftovers(&subject.cx(), "other/").unwrap(), [], "told below another prefix");

    let first = storage.leftovers(&subject.cx(), "shop/one/").unwrap();
    assert_eq!(first.len(), 1, "told below its own prefix");
    storage.discard(&subject.cx(), &first).unwrap();
    let rest = storage.leftovers(&subject.cx(), "").unwrap();
    assert_eq!(rest.iter().map(|left| left.key.as_str()).collect::<Vec<_>>(), ["shop/two/data"]);
    storage.discard(&subject.cx(), &rest).unwrap();
    assert_eq!(storage.leftovers(&subject.cx(), "").unwrap(), []);
    assert_eq!(subject.get("shop/three/data"), b"published");
}

/// An empty storage is empty after it, and a filled one holds what it held.
pub fn a_check_leaves_nothing(subject: &Subject) {
    subject.storage.check(&subject.cx()).unwrap_or_else(|error| panic!("check failed: {error}"));
    assert_eq!(subject.keys(""), Vec::<String>::new());
    subject.put("a", b"bytes");
    let report = subject.storage.check(&subject.cx()).unwrap_or_else(|error| panic!("check failed: {error}"));
    assert_eq!(subject.keys(""), ["a"]);
    assert_eq!(subject.storage.leftovers(&subject.cx(), "").unwrap(), []);
    for secret in &subject.secrets {
        assert!(!format!("{report:?}").contains(secret), "the report holds a secret");
    }
}
