//! What every storage must stand, on vsftpd: with TLS whose data connections must resume the session of the control connection,
//! and with listings for people (`LIST`).

mod common;

struct Server(windlass_test_servers::Vsftpd);

impl windlass_testkit::StorageFixture for Server {
    fn new() -> Self {
        Self(windlass_test_servers::Vsftpd::start())
    }
    fn options(&self) -> serde_json::Value {
        common::options(&self.0)
    }
}

windlass_testkit::conformance! { storage windlass_storage_ftp::Ftp, fixture: Server }
