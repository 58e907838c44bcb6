//! rclone's WebDAV server over a folder, with a user and a password.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::http::send;
use crate::process::Launch;
use crate::program::{installed, venv};
use crate::server::{At, Kind, Server};

/// A WebDAV server.
pub struct Dav {
    server: Server<Installation>,
}

struct Installation;

impl Dav {
    /// Who may do everything.
    pub const USER: &str = "windlass";
    /// Their password.
    pub const PASSWORD: &str = "a-password-for-tests";

    /// Starts one with an empty folder.
    #[track_caller]
    pub fn start() -> Self {
        Self { server: Server::start(Installation) }
    }

    /// The address of its top folder.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// The folder that it serves.
    pub fn folder(&self) -> PathBuf {
        self.server.at().folder.join("data")
    }

    /// Ends it at once; its data stay.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Ends it at once, if it runs, and starts it with the same data and port.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        "dav".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        std::fs::create_dir(folder.join("data")).unwrap();
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let program = venv().join("bin/rclone");
        let program = installed(Some(program).filter(|program| program.is_file()), "rclone");
        let folder = at.folder.join("data");
        let argv = [
            program.to_str().unwrap(),
            "--config=/dev/null",
            "serve",
            "webdav",
            folder.to_str().unwrap(),
            &format!("--addr=127.0.0.1:{}", at.port),
            &format!("--user={}", Dav::USER),
            &format!("--pass={}", Dav::PASSWORD),
        ];
        Launch { argv: argv.map(str::to_owned).into(), env: Vec::new(), signal: "KILL" }
    }

    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let user = BASE64.encode(format!("{}:{}", Dav::USER, Dav::PASSWORD));
        let headers = format!("Authorization: Basic {user}\r\nDepth: 0\r\n");
        send(at.port, "PROPFIND", "/", &headers, b"").is_ok_and(|(status, _)| status == 207)
    }
}
