//! rclone as a server: for SFTP without OpenSSH's extensions and with a password, and for FTP with and without TLS.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::process::{Launch, clean};
use crate::program::{find, installed, run, venv};
use crate::server::{At, Kind, Server, free_port};

const USER: &str = "backup";
/// Easily found in a log or an argument where it must not be.
const PASSWORD: &str = "rc-Geheim-5d21";

/// rclone's SFTP server on a folder, which it takes for `/`. One user, one password, no key.
pub struct RcloneSftp {
    server: Server<Installation>,
}

struct Installation;

impl RcloneSftp {
    /// Starts one.
    #[track_caller]
    pub fn start() -> Self {
        Self { server: Server::start(Installation) }
    }

    /// Its address.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// The user.
    pub fn user(&self) -> &str {
        USER
    }

    /// The user's password.
    pub fn password(&self) -> &str {
        PASSWORD
    }

    /// The folder that it shows.
    pub fn data(&self) -> PathBuf {
        self.server.at().folder.join("data")
    }

    /// Its public key.
    pub fn host_key(&self) -> String {
        let line = fs::read_to_string(self.server.at().folder.join("host.pub")).unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        "rclone-sftp".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        fs::create_dir(folder.join("data")).unwrap();
        let key = folder.join("host");
        run(clean(find("ssh-keygen"), folder).args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(key), "");
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let rclone = venv().join("bin/rclone");
        let program = installed(rclone.is_file().then_some(rclone), "rclone");
        let (folder, address) = (at.folder.to_str().unwrap(), format!("127.0.0.1:{}", at.port));
        let (data, key) = (format!("{folder}/data"), format!("{folder}/host"));
        let arguments = [
            ["serve", "sftp", "--addr", &address, "--key", &key],
            ["--config", "/dev/null", "--user", USER, "-v", &data],
        ];
        let argv = arguments.concat().into_iter().map(str::to_owned);
        Launch {
            argv: [program.to_str().unwrap().to_owned()].into_iter().chain(argv).collect(),
            env: vec![("RCLONE_PASS", PASSWORD.to_owned())],
            signal: "KILL",
        }
    }

    /// Its log says that it has the port, and it answers there.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let log = fs::read_to_string(at.folder.join("log")).unwrap_or_default();
        log.contains("SFTP server listening") && TcpStream::connect(("127.0.0.1", at.port)).is_ok()
    }
}

/// rclone's FTP server on a folder, which it takes for `/`. One user, one password. It speaks TLS on a connection of its own from
/// the first byte on, and knows no other.
pub struct RcloneFtp {
    server: Server<Ftp>,
}

struct Ftp {
    /// The ports for data: the server's own range would be shared by all that run.
    data: u16,
    certificate: Option<(String, String)>,
}

impl RcloneFtp {
    /// The user.
    pub const USER: &str = USER;
    /// The user's password.
    pub const PASSWORD: &str = PASSWORD;

    /// Starts one that speaks TLS.
    #[track_caller]
    pub fn start() -> Self {
        let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        Self::with(Some((issued.cert.pem(), issued.signing_key.serialize_pem())))
    }

    /// Starts one without TLS.
    #[track_caller]
    pub fn start_plain() -> Self {
        Self::with(None)
    }

    #[track_caller]
    fn with(certificate: Option<(String, String)>) -> Self {
        Self { server: Server::start(Ftp { data: 0, certificate }) }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// What its certificate is judged by.
    pub fn ca_file(&self) -> PathBuf {
        self.server.at().folder.join("cert.pem")
    }

    /// The folder that it shows.
    pub fn data(&self) -> PathBuf {
        self.server.at().folder.join("data")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }
}

impl Kind for Ftp {
    fn name(&self) -> String {
        "rclone-ftp".to_owned()
    }

    fn choose_ports(&mut self) {
        self.data = free_port().min(60_000);
    }

    fn prepare(&self, folder: &Path) {
        fs::create_dir(folder.join("data")).unwrap();
        if let Some((certificate, key)) = &self.certificate {
            fs::write(folder.join("cert.pem"), certificate).unwrap();
            fs::write(folder.join("key.pem"), key).unwrap();
        }
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let rclone = venv().join("bin/rclone");
        let program = installed(rclone.is_file().then_some(rclone), "rclone");
        let (folder, address) = (at.folder.to_str().unwrap(), format!("127.0.0.1:{}", at.port));
        let mut argv = vec![program.to_str().unwrap().to_owned()];
        argv.extend(["--config", "/dev/null", "serve", "ftp", "--addr", &address, "-v"].map(str::to_owned));
        argv.extend(["--user", USER, "--passive-port"].map(str::to_owned));
        // A range, of which it takes any that is free.
        argv.push(format!("{}-{}", self.data, self.data + 200));
        if self.certificate.is_some() {
            argv.extend([format!("--cert={folder}/cert.pem"), format!("--key={folder}/key.pem")]);
        }
        argv.push(format!("{folder}/data"));
        Launch { argv, env: vec![("RCLONE_PASS", PASSWORD.to_owned())], signal: "KILL" }
    }

    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        TcpStream::connect(("127.0.0.1", at.port)).is_ok()
    }
}
