//! What every storage must stand, on rclone's FTP server: with a password and without TLS, for the one it has leaves data
//! connections in clear, which is refused.

mod common;

use serde_json::{Value, json};
use windlass_plugin_api::{ErrorKind, Secret};
use windlass_test_servers::RcloneFtp;
use windlass_testkit::TestHost;

struct Server(RcloneFtp);

fn options(server: &RcloneFtp) -> Value {
    json!({
        "host": "127.0.0.1",
        "port": server.port(),
        "user": RcloneFtp::USER,
        "password": RcloneFtp::PASSWORD,
        "path": "/",
        "tls": "off",
    })
}

impl windlass_testkit::StorageFixture for Server {
    fn new() -> Self {
        Self(RcloneFtp::start_plain())
    }
    fn options(&self) -> Value {
        common::with(options(&self.0), json!({ "password": { Secret::KEY: "password" } }))
    }
    fn host(&self) -> TestHost {
        TestHost::new().secret("password", RcloneFtp::PASSWORD)
    }
    /// Who reads a file while another takes its name is told 551, `Error reading file`.
    fn replaces_at_once(&self) -> bool {
        false
    }
}

windlass_testkit::conformance! { storage windlass_storage_ftp::Ftp, fixture: Server }

/// The login would be encrypted, and every byte of a backup not: the server says so, and nothing is sent.
#[test]
fn a_server_whose_tls_leaves_the_data_in_clear_gets_none() {
    let server = RcloneFtp::start();
    let with_tls = json!({ "tls": "implicit", "ca_file": server.ca_file() });
    let storage = common::made(common::with(options(&server), with_tls));
    let error = common::put(&storage, "a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    let told = format!("{error:?}");
    assert!(told.contains("encrypts no data connections"), "{told}");
    assert!(error.hint.is_some() && !told.contains(RcloneFtp::PASSWORD), "{told}");
    assert_eq!(common::tree(&server.data()), [""; 0]);
    // It knows no TLS that begins on a plain connection either.
    let plain = RcloneFtp::start_plain();
    let explicit = common::with(options(&plain), json!({ "tls": "explicit" }));
    let error = common::refused(explicit);
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(format!("{error:?}").contains("doesn't offer TLS"), "{error:?}");
}
