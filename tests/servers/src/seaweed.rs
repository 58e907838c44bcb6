//! SeaweedFS with its S3 door: it checks signatures and checksums and knows parts, conditions, versions and object lock.

use std::net::TcpStream;
use std::path::Path;

use crate::http::{ask, send};
use crate::process::Launch;
use crate::program::{escape, installed, venv};
use crate::server::{At, Kind, Server, free_ports};

/// A policy as AWS writes it: objects can be created, and nothing else.
const CREATE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:PutObject","s3:AbortMultipartUpload"],"Resource":["arn:aws:s3:::*/*"]}]}"#;

/// Keys of a user of the server.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// The id.
    pub id: &'static str,
    /// The secret.
    pub secret: &'static str,
}

/// An S3 service with users of several rights.
pub struct Seaweed {
    server: Server<Installation>,
}

/// What is started, and with which settings.
struct Installation {
    /// Those that aren't the S3 door's.
    ports: [u16; 7],
    /// Certificate and key of the S3 door, in PEM form.
    tls: Option<(String, String)>,
}

impl Seaweed {
    /// May do everything.
    pub const ADMIN: Keys = Keys { id: "AKIAWINDLASSADMIN", secret: "adm1n/with+signs=" };
    /// May store in every bucket, and neither read, list nor delete.
    pub const CREATOR: Keys = Keys { id: "AKIAWINDLASSCREATE", secret: "create0nly" };
    /// May read and list, and not store.
    pub const READER: Keys = Keys { id: "AKIAWINDLASSREAD", secret: "read0nly" };

    /// Starts one without buckets.
    #[track_caller]
    pub fn start() -> Self {
        Self::with(None)
    }

    /// Starts one whose S3 door speaks TLS, with this certificate and its key in PEM form.
    #[track_caller]
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        Self::with(Some((certificate.to_owned(), key.to_owned())))
    }

    #[track_caller]
    fn with(tls: Option<(String, String)>) -> Self {
        Self { server: Server::start(Installation { ports: [0; 7], tls }) }
    }

    /// The address of its S3 door.
    pub fn endpoint(&self) -> String {
        let scheme = if self.server.kind.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port())
    }

    /// The port of its S3 door.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// The port of the other door: objects are files below `/buckets/`.
    pub fn filer_port(&self) -> u16 {
        self.server.kind.ports[0]
    }

    /// Makes a bucket, by another door.
    #[track_caller]
    pub fn make_bucket(&self, bucket: &str) {
        let (status, _) = self.filer("POST", &format!("/buckets/{bucket}/"));
        assert!(status < 300, "can't make the bucket `{bucket}`: status {status}");
    }

    /// An object's bytes, read by another door.
    pub fn object(&self, bucket: &str, key: &str) -> Option<Vec<u8>> {
        let key: Vec<String> = key.split('/').map(escape).collect();
        let (status, body) = self.filer("GET", &format!("/buckets/{bucket}/{}", key.join("/")));
        (status == 200).then_some(body)
    }

    /// Puts an object in place by another door.
    #[track_caller]
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) {
        let key: Vec<String> = key.split('/').map(escape).collect();
        let path = format!("/buckets/{bucket}/{}", key.join("/"));
        let (status, _) = send(self.server.kind.ports[0], "PUT", &path, "", bytes)
            .unwrap_or_else(|error| panic!("PUT {path}: {error}"));
        assert!(status < 300, "can't put `{path}`: status {status}");
    }

    /// Removes an object by another door.
    #[track_caller]
    pub fn delete(&self, bucket: &str, key: &str) {
        let (status, _) = self.filer("DELETE", &format!("/buckets/{bucket}/{key}"));
        assert!(status < 300, "can't remove `{key}`: status {status}");
    }

    /// How many half uploads lie in a bucket, counted by another door.
    pub fn half_uploads(&self, bucket: &str) -> usize {
        let (status, body) = self.filer("GET", &format!("/buckets/{bucket}/.uploads/?limit=1000"));
        if status != 200 {
            return 0;
        }
        String::from_utf8_lossy(&body).matches("\"FullPath\":\"").count()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Ends it at once; its data stay.
    pub fn stop(&self) {
        self.server.stop();
    }

    fn filer(&self, method: &str, path: &str) -> (u16, Vec<u8>) {
        ask(self.server.kind.ports[0], method, path)
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        "seaweed".to_owned()
    }

    fn choose_ports(&mut self) {
        self.ports = free_ports();
    }

    fn prepare(&self, folder: &Path) {
        std::fs::create_dir(folder.join("data")).unwrap();
        let user = |name: &str, Keys { id, secret }: Keys, rights: &str| {
            format!(
                r#"{{"name":"{name}","credentials":[{{"accessKey":"{id}","secretKey":"{secret}"}}],{rights}}}"#
            )
        };
        let users = [
            user("admin", Seaweed::ADMIN, r#""actions":["Admin","Read","Write","List","Tagging"]"#),
            user("creator", Seaweed::CREATOR, r#""policyNames":["create"]"#),
            user("reader", Seaweed::READER, r#""actions":["Read","List"]"#),
        ];
        let policy = CREATE.replace('"', "\\\"");
        let config = format!(
            r#"{{"identities":[{}],"policies":[{{"name":"create","content":"{policy}"}}]}}"#,
            users.join(",")
        );
        std::fs::write(folder.join("s3.json"), config).unwrap();
        if let Some((certificate, key)) = &self.tls {
            std::fs::write(folder.join("cert.pem"), certificate).unwrap();
            std::fs::write(folder.join("key.pem"), key).unwrap();
        }
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let program = venv().join("bin/weed");
        let program = installed(Some(program).filter(|program| program.is_file()), "weed");
        let folder = at.folder.to_str().unwrap();
        let mut argv = vec![program.to_str().unwrap().to_owned(), "-logtostderr=true".to_owned()];
        argv.extend(
            ["server", "-s3", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-volume.max=100"].map(str::to_owned),
        );
        argv.extend(["-master.volumeSizeLimitMB=512", "-master.telemetry=false"].map(str::to_owned));
        argv.extend(["-s3.port.iceberg=0", "-s3.port.lance=0"].map(str::to_owned));
        let [filer, filer_grpc, master, master_grpc, volume, volume_grpc, s3_grpc] = self.ports;
        for (name, port) in [
            ("filer.port", filer),
            ("filer.port.grpc", filer_grpc),
            ("master.port", master),
            ("master.port.grpc", master_grpc),
            ("volume.port", volume),
            ("volume.port.grpc", volume_grpc),
            ("s3.port.grpc", s3_grpc),
            ("s3.port", at.port),
        ] {
            argv.push(format!("-{name}={port}"));
        }
        argv.push(format!("-dir={folder}/data"));
        argv.push(format!("-s3.config={folder}/s3.json"));
        if self.tls.is_some() {
            argv.push(format!("-s3.cert.file={folder}/cert.pem"));
            argv.push(format!("-s3.key.file={folder}/key.pem"));
        }
        Launch { argv, env: Vec::new(), signal: "KILL" }
    }

    /// The S3 door refuses who has no name, the filer lists, and there is a volume to store in.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let status = |port: u16, path: &str| ask(port, "GET", path).map_or(0, |(status, _)| status);
        // Of a door that speaks TLS it is known only that it is open; it is the last one to be opened.
        let is_open = match self.tls {
            Some(_) => TcpStream::connect(("127.0.0.1", at.port)).is_ok(),
            None => status(at.port, "/") == 403,
        };
        is_open && status(self.ports[0], "/") == 200 && status(self.ports[2], "/dir/assign") == 200
    }
}
