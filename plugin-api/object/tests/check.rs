//! What a check stores, and what it leaves: nothing where it can, little where it can't, and it says so.

mod double;

use double::{Double, MIB};
use windlass_plugin_api::{Context, StorageReport};

fn checked(double: &Double) -> StorageReport {
    let report = double.storage(1).check(&Context::default()).unwrap();
    assert!(double.state().halves.is_empty(), "a half upload is left");
    assert!(double.state().puts.iter().all(|(how, _)| how.is_probe), "a probe may be locked");
    report
}

/// How large the objects were that it stored, in their order.
fn sizes(double: &Double) -> Vec<usize> {
    double.state().puts.iter().map(|(_, size)| *size).collect()
}

fn says(report: &StorageReport, what: &str) -> bool {
    report.notes.iter().any(|note| note.contains(what))
}

#[test]
fn what_can_be_removed_is_large_enough_to_tell_the_throughput_and_goes() {
    let double = Double::new();
    let report = checked(&double);
    assert!(
        says(&report, "1 MiB up in") && says(&report, "down in") && says(&report, "latency"),
        "{report:?}"
    );
    assert_eq!(sizes(&double), [64, 64, MIB as usize]);
    assert!(double.state().objects.is_empty() && !report.keeps_deleted);
    assert!(double.state().asked.contains(&"begin"), "no upload in parts was tried");
}

#[test]
fn a_lock_that_nobody_knew_of_is_told_and_keeps_a_few_bytes() {
    let double = Double::new();
    double.state().locks = true;
    let report = checked(&double);
    let left: Vec<usize> = double.state().objects.values().map(Vec::len).collect();
    assert_eq!((left, report.keeps_deleted), (vec![64], true));
    let key = double.state().objects.keys().next().unwrap().clone();
    assert!(says(&report, &format!("`{key}` (64 bytes) stays")), "{report:?}");
    assert!(!double.state().asked.contains(&"begin"), "what was begun might stay too");
}

#[test]
fn versions_are_told_and_only_a_few_bytes_become_one() {
    let double = Double::new();
    double.state().has_versions = true;
    let report = checked(&double);
    assert!(report.keeps_deleted && says(&report, "stays as a version"), "{report:?}");
    assert_eq!(sizes(&double), [64, 64]);
}

#[test]
fn who_can_only_create_makes_no_object_and_is_told_what_it_may_not() {
    let double = Double::new();
    double.state().create_only = true;
    let report = checked(&double);
    assert!(says(&report, "can't delete") && says(&report, "can't list"), "{report:?}");
    assert_eq!((sizes(&double), report.keeps_deleted), (vec![], false));
    assert!(double.state().asked.contains(&"begin"), "the right to create wasn't proved");
    double.state().refuse_part = Some(1);
    assert!(double.storage(1).check(&Context::default()).is_err(), "it can't even create");
    assert!(double.state().halves.is_empty());
}
