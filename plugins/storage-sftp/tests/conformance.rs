//! What every storage must stand, on OpenSSH's server.

struct Server(windlass_test_servers::Sshd);

impl windlass_testkit::StorageFixture for Server {
    fn new() -> Self {
        Self(windlass_test_servers::Sshd::start())
    }
    fn options(&self) -> serde_json::Value {
        serde_json::json!({
            "host": self.0.host(),
            "port": self.0.port(),
            "user": self.0.user(),
            "path": self.0.data(),
            "key_file": self.0.key_file(),
            "host_key": self.0.host_key("ed25519"),
        })
    }
}

windlass_testkit::conformance! { storage windlass_storage_sftp::Sftp, fixture: Server }
