//! What every storage must stand, on pyftpdlib: with TLS, a password, listings for machines (`MLSD`), and an address for data
//! connections that leads nowhere.

mod common;

use serde_json::{Value, json};
use windlass_plugin_api::{Secret, Storage};
use windlass_test_servers::Pyftpd;
use windlass_testkit::TestHost;

struct Server(Pyftpd);

impl windlass_testkit::StorageFixture for Server {
    fn new() -> Self {
        Self(Pyftpd::start())
    }
    fn options(&self) -> Value {
        common::with(common::signed_in(&self.0), json!({ "password": { Secret::KEY: "password" } }))
    }
    fn host(&self) -> TestHost {
        TestHost::new().secret("password", Pyftpd::PASSWORD)
    }
}

windlass_testkit::conformance! { storage windlass_storage_ftp::Ftp, fixture: Server }

#[test]
fn a_check_tells_what_is_not_encrypted_and_times_come_with_listings() {
    let (server, plain) = (Pyftpd::start(), Pyftpd::start_plain());
    let report = common::made(common::signed_in(&server)).check(&common::cx()).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("An answer of the server takes")), "{report:?}");
    assert_eq!(report.warnings, Vec::<String>::new());
    let says = |what: &str| report.notes.iter().any(|note| note.contains(what));
    assert!(says("1 MiB up in") && says("down in") && says("the clocks agree"), "{report:?}");
    let open = common::with(common::signed_in(&plain), json!({ "ca_file": null, "tls": "off" }));
    let storage = common::made(open);
    let report = storage.check(&common::cx()).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("everybody there can read the password")));
    common::put(&storage, "a").unwrap();
    assert!(storage.stat(&common::cx(), "a").unwrap().unwrap().modified.is_some());
}
