//! etcd servers start, answer, keep apart from each other, and are gone afterwards.

use windlass_test_servers::Etcd;

#[test]
fn two_servers_keep_apart_and_what_was_written_outlasts_a_restart() {
    let (one, other) = (Etcd::start(), Etcd::start());
    assert_ne!(one.url(), other.url());
    one.ctl(&["put", "a", "one"]);
    other.ctl(&["put", "a", "other"]);
    one.stop();
    one.restart();
    let get = ["get", "a", "--print-value-only"];
    assert_eq!((one.ctl(&get).as_str(), other.ctl(&get).as_str()), ("one", "other"));
    let folders = [&one, &other].map(Etcd::data_dir);
    assert!(folders.iter().all(|folder| folder.is_dir()));
    drop((one, other));
    assert!(!folders.iter().any(|folder| folder.exists()));
}
