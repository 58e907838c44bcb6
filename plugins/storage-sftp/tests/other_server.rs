//! What every storage must stand, on a server that isn't OpenSSH's: without `fsync`, `statvfs` and limits, whose rename
//! replaces, and which asks for a password.

mod common;

use serde_json::{Value, json};
use windlass_plugin_api::Storage;
use windlass_test_servers::RcloneSftp;

struct Server(RcloneSftp);

fn options(server: &RcloneSftp) -> Value {
    json!({
        "host": server.host(),
        "port": server.port(),
        "user": server.user(),
        "password": server.password(),
        "path": "/",
        "host_key": server.host_key(),
        "agent": false,
    })
}

impl windlass_testkit::StorageFixture for Server {
    fn new() -> Self {
        Self(RcloneSftp::start())
    }
    fn options(&self) -> Value {
        options(&self.0)
    }
}

windlass_testkit::conformance! { storage windlass_storage_sftp::Sftp, fixture: Server }

#[test]
fn a_check_says_what_the_server_can_not_do() {
    let server = RcloneSftp::start();
    let report = common::made(options(&server)).check(&common::cx()).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("fsync@openssh.com")), "{report:?}");
    assert!(report.notes.iter().any(|note| note.contains("An answer of the server takes")), "{report:?}");
}
