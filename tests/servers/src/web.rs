//! Web servers over a folder, for reading: Python's, which knows no ranges, and rclone's, which does and asks for a password.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::process::Launch;
use crate::program::{find, installed, venv};
use crate::server::{At, Kind, Server};

/// A web server that lists its folder.
pub struct Web {
    server: Server<Which>,
}

enum Which {
    Python,
    Rclone,
}

impl Web {
    /// Who may read, with rclone's server.
    pub const USER: &str = "reader";
    /// Their password.
    pub const PASSWORD: &str = "web-Geheim-90b1";

    /// Python's `http.server`: no ranges, no password.
    #[track_caller]
    pub fn python() -> Self {
        Self { server: Server::start(Which::Python) }
    }

    /// rclone's: ranges, and a password.
    #[track_caller]
    pub fn rclone() -> Self {
        Self { server: Server::start(Which::Rclone) }
    }

    /// The address of its folder.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.at().port)
    }

    /// The folder that it shows.
    pub fn folder(&self) -> PathBuf {
        self.server.at().folder.join("data")
    }

    /// What it logged so far: each request, with Python's.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Kind for Which {
    fn name(&self) -> String {
        "web".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        fs::create_dir(folder.join("data")).unwrap();
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let folder = at.folder.join("data").display().to_string();
        let argv = match self {
            Self::Python => {
                let python = find("python3").display().to_string();
                let port = at.port.to_string();
                [&python, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", &folder, &port]
                    .map(str::to_owned)
                    .to_vec()
            }
            Self::Rclone => {
                let program = Some(venv().join("bin/rclone")).filter(|program| program.is_file());
                let program = installed(program, "rclone").display().to_string();
                let address = format!("--addr=127.0.0.1:{}", at.port);
                let (user, password) = (format!("--user={}", Web::USER), format!("--pass={}", Web::PASSWORD));
                [&program, "--config=/dev/null", "serve", "http", &folder, &address, &user, &password]
                    .map(str::to_owned)
                    .to_vec()
            }
        };
        Launch { argv, env: Vec::new(), signal: "KILL" }
    }

    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let said = fs::read_to_string(at.folder.join("log")).unwrap_or_default();
        let has_port = match self {
            Self::Python => said.contains("Serving HTTP"),
            Self::Rclone => said.contains("HTTP Server started on"),
        };
        has_port && TcpStream::connect(("127.0.0.1", at.port)).is_ok()
    }
}
