//! FTP servers, with TLS and without: vsftpd, which has no `MLSD` and demands that data connections resume the session of
//! their control connection, and pyftpdlib, which asks for a password and names a foreign address for its data.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Launch, children};
use crate::program::{find, installed};
use crate::server::{At, Kind, Server};

const SCRIPT: &str = include_str!("ftp.py");
/// Debian's own: it has the module.
const PYTHON: &str = "/usr/bin/python3";
const MODULE: &str = "/usr/lib/python3/dist-packages/pyftpdlib";

/// vsftpd. Anybody may sign in as `anonymous`, with any password, and sees the whole file system.
pub struct Vsftpd {
    server: Server<Lines>,
}

struct Lines {
    lines: Vec<String>,
    around: Vec<String>,
}

impl Vsftpd {
    /// Starts one with TLS that begins on a plain connection.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with lines of `vsftpd.conf`, which go behind its own and so win.
    #[track_caller]
    pub fn start_with(lines: &[&str]) -> Self {
        Self::start_in(&[], lines)
    }

    /// As [`start_with`](Self::start_with), by the command `around`, whose last arguments are the server's command. `{dir}` in it
    /// stands for its folder.
    #[track_caller]
    pub fn start_in(around: &[&str], lines: &[&str]) -> Self {
        let [around, lines] =
            [around, lines].map(|words| words.iter().map(|&word| word.to_owned()).collect());
        Self { server: Server::start(Lines { lines, around }) }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// What its certificate is judged by.
    pub fn ca_file(&self) -> PathBuf {
        self.server.at().folder.join("ca.pem")
    }

    /// An empty folder for what is stored.
    pub fn data(&self) -> PathBuf {
        self.server.at().folder.join("root/data")
    }

    /// Its connections: a process each.
    pub fn connections(&self) -> Vec<u32> {
        children(self.server.pid())
    }

    /// Ends all connections at once; the server goes on. How many there were.
    pub fn cut(&self) -> usize {
        let pids = self.connections();
        pids.iter().for_each(|pid| signal(*pid, Signal::KILL));
        pids.len()
    }

    /// Ends it at once, and all its connections.
    pub fn stop(&self) {
        self.cut();
        self.server.stop();
    }

    /// Ends it at once, and starts it with the same data and port.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap();
    let _ = kill_process(pid, signal);
}

/// A certificate for `127.0.0.1` that signs itself, as `ca.pem`, and with its key as `server.pem`.
fn certificate(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(folder.join("ca.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("server.pem"), made.cert.pem() + &made.signing_key.serialize_pem()).unwrap();
}

impl Kind for Lines {
    fn name(&self) -> String {
        "vsftpd".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        fs::create_dir_all(folder.join("root/data")).unwrap();
        certificate(folder);
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let folder = at.folder.to_str().unwrap();
        let own = format!(
            "listen=YES\nlisten_address=127.0.0.1\nlisten_port={}\nbackground=NO\nrun_as_launching_user=YES\n\
             seccomp_sandbox=NO\nisolate=NO\nisolate_network=NO\nxferlog_enable=NO\nftpd_banner={}\n\
             local_enable=NO\nanonymous_enable=YES\nanon_root={folder}/root\nwrite_enable=YES\n\
             anon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\n\
             anon_world_readable_only=NO\nanon_umask=077\nssl_enable=YES\nallow_anon_ssl=YES\n\
             force_anon_logins_ssl=YES\nforce_anon_data_ssl=YES\nssl_ciphers=HIGH\nrsa_cert_file={folder}/server.pem\n\
             rsa_private_key_file={folder}/server.pem\n",
            at.port,
            token(at.folder)
        );
        let lines = self.lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let file = format!("{folder}/vsftpd.conf");
        fs::write(&file, own + &lines).unwrap();
        let around = self.around.iter().map(|word| word.replace("{dir}", folder));
        let argv = around.chain([find("vsftpd").display().to_string(), file]).collect();
        Launch { argv, env: Vec::new(), signal: "KILL" }
    }

    /// Its greeting holds the name of its folder, unless that comes over TLS.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        match self.lines.iter().any(|line| line == "implicit_ssl=YES") {
            true => TcpStream::connect(("127.0.0.1", at.port)).is_ok(),
            false => greets(at),
        }
    }
}

/// pyftpdlib. One user with a password, for whom its folder is `/`.
pub struct Pyftpd {
    server: Server<Script>,
}

struct Script {
    security: &'static str,
}

impl Pyftpd {
    /// Who may do everything.
    pub const USER: &str = "backup";
    /// Their password, easily found in a log or an argument where it must not be.
    pub const PASSWORD: &str = "ftp-Geheim-7c20";

    /// Starts one that wants TLS.
    #[track_caller]
    pub fn start() -> Self {
        Self { server: Server::start(Script { security: "explicit" }) }
    }

    /// Starts one that takes passwords in clear.
    #[track_caller]
    pub fn start_plain() -> Self {
        Self { server: Server::start(Script { security: "off" }) }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// What its certificate is judged by.
    pub fn ca_file(&self) -> PathBuf {
        self.server.at().folder.join("ca.pem")
    }

    /// The folder that it shows.
    pub fn data(&self) -> PathBuf {
        self.server.at().folder.join("data")
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Has it close all connections, as soon as it gets to it; it goes on.
    pub fn cut(&self) {
        signal(self.server.pid(), Signal::USR1);
    }

    /// Stops it in the middle of whatever it does: it is silent until [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        signal(self.server.pid(), Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        signal(self.server.pid(), Signal::CONT);
    }
}

impl Kind for Script {
    fn name(&self) -> String {
        "pyftpd".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        fs::create_dir(folder.join("data")).unwrap();
        fs::write(folder.join("ftp.py"), SCRIPT).unwrap();
        certificate(folder);
    }

    fn launch(&self, at: At<'_>) -> Launch {
        installed(Some(PathBuf::from(MODULE)).filter(|module| module.is_dir()), "python3-pyftpdlib");
        let folder = at.folder.to_str().unwrap();
        let argv = [
            PYTHON,
            &format!("{folder}/ftp.py"),
            &at.port.to_string(),
            folder,
            &token(at.folder),
            Pyftpd::USER,
            Pyftpd::PASSWORD,
            self.security,
        ];
        Launch { argv: argv.map(str::to_owned).into(), env: Vec::new(), signal: "KILL" }
    }

    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        greets(at)
    }
}

/// Whether the greeting holds the name of the server's folder.
fn greets(at: At<'_>) -> bool {
    let greeting = || {
        let connection = TcpStream::connect(("127.0.0.1", at.port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut line = String::new();
        BufReader::new(connection).read_line(&mut line)?;
        Ok::<_, std::io::Error>(line)
    };
    greeting().is_ok_and(|line| line.contains(&token(at.folder)))
}

fn token(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
