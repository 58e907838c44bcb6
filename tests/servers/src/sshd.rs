//! OpenSSH's server, for SFTP. It signs in the user who runs the tests, by a key that is made for it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Launch, children, clean};
use crate::program::{find, run};
use crate::server::{At, Kind, Server};

/// An OpenSSH server with SFTP, and a folder for what is stored. No password is taken.
pub struct Sshd {
    server: Server<Installation>,
}

struct Installation {
    /// Lines of `sshd_config`.
    lines: Vec<String>,
    /// The command that runs it, where it isn't run by itself.
    around: Vec<String>,
}

impl Sshd {
    /// Starts one.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with lines of `sshd_config`, which go before its own and so win. `{dir}` in them stands for its folder.
    #[track_caller]
    pub fn start_with(lines: &[&str]) -> Self {
        Self::start_in(&[], lines)
    }

    /// As [`start_with`](Self::start_with), by the command `around`, whose last arguments are the server's command. In it too
    /// `{dir}` stands for its folder.
    #[track_caller]
    pub fn start_in(around: &[&str], lines: &[&str]) -> Self {
        let [around, lines] =
            [around, lines].map(|words| words.iter().map(|&word| word.to_owned()).collect());
        Self { server: Server::start(Installation { lines, around }) }
    }

    /// Its address.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// The user to sign in as.
    pub fn user(&self) -> String {
        run(clean("id", self.dir()).arg("-un"), "")
    }

    /// Its folder, with `authorized_keys` and the keys in it.
    pub fn dir(&self) -> &Path {
        self.server.at().folder
    }

    /// An empty folder for what is stored.
    pub fn data(&self) -> PathBuf {
        self.dir().join("data")
    }

    /// The private key that signs in; its public half is `.pub`.
    pub fn key_file(&self) -> PathBuf {
        self.dir().join("id")
    }

    /// One of its public keys: `ed25519` or `ecdsa`.
    pub fn host_key(&self, kind: &str) -> String {
        let line = fs::read_to_string(self.dir().join(format!("host_{kind}.pub"))).unwrap();
        line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    }

    /// A file that says of its keys what `ssh-keyscan` would.
    pub fn known_hosts(&self) -> PathBuf {
        let file = self.dir().join("known_hosts");
        let line = format!("[127.0.0.1]:{} {}\n", self.port(), self.host_key("ed25519"));
        fs::write(&file, line).unwrap();
        file
    }

    /// The address of the folder for what is stored.
    pub fn url(&self) -> String {
        format!("sftp://{}@{}:{}{}", self.user(), self.host(), self.port(), self.data().display())
    }

    /// Makes another private key, `kind` as `ssh-keygen -t` has it, and lets it sign in. An empty passphrase is none.
    #[track_caller]
    pub fn add_key(&self, name: &str, kind: &str, passphrase: &str) -> PathBuf {
        let file = self.dir().join(name);
        make_key(self.dir(), &file, kind, passphrase);
        let public = fs::read_to_string(file.with_extension("pub")).unwrap();
        let list = self.dir().join("authorized_keys");
        fs::write(&list, fs::read_to_string(&list).unwrap() + &public).unwrap();
        file
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Ends it at once, and starts it with the same keys and port.
    #[track_caller]
    pub fn restart(&self) {
        self.server.stop();
        self.server.restart();
    }

    /// Ends it at once, and all its connections.
    pub fn stop(&self) {
        // They are sessions of their own, which the end of the server doesn't touch.
        self.cut();
        self.server.stop();
    }

    /// Its connections: a process each.
    pub fn connections(&self) -> Vec<u32> {
        self.below(self.server.pid())
    }

    /// The processes that a process has started.
    pub fn below(&self, pid: u32) -> Vec<u32> {
        children(pid)
    }

    /// Ends all connections at once; the server goes on. How many there were.
    pub fn cut(&self) -> usize {
        let pids = self.connections();
        for pid in &pids {
            let pid = i32::try_from(*pid).ok().and_then(Pid::from_raw).unwrap();
            let _ = kill_process(pid, Signal::KILL);
        }
        pids.len()
    }
}

fn make_key(home: &Path, file: &Path, kind: &str, passphrase: &str) {
    run(clean(find("ssh-keygen"), home).args(["-q", "-N", passphrase, "-t", kind, "-f"]).arg(file), "");
}

impl Kind for Installation {
    fn name(&self) -> String {
        "sshd".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        fs::create_dir(folder.join("data")).unwrap();
        for (name, kind) in [("host_ed25519", "ed25519"), ("host_ecdsa", "ecdsa"), ("id", "ed25519")] {
            make_key(folder, &folder.join(name), kind, "");
        }
        fs::copy(folder.join("id.pub"), folder.join("authorized_keys")).unwrap();
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let folder = at.folder.to_str().unwrap();
        let own = format!(
            "Port {}\nListenAddress 127.0.0.1\nHostKey {folder}/host_ed25519\nHostKey {folder}/host_ecdsa\n\
             AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n\
             MaxStartups 100\nLogLevel VERBOSE\nVersionAddendum {}\nSubsystem sftp internal-sftp\n",
            at.port,
            token(at.folder)
        );
        let lines = self.lines.iter().map(|line| line.replace("{dir}", folder) + "\n").collect::<String>();
        fs::write(at.folder.join("sshd_config"), lines + &own).unwrap();
        // As root it wants this folder, which the service would make.
        let start = format!(
            "mkdir -p /run/sshd 2>/dev/null; exec '{}' -D -e -f '{folder}/sshd_config'",
            find("sshd").display()
        );
        let around = self.around.iter().map(|word| word.replace("{dir}", folder));
        let argv = around.chain(["sh", "-c", &start].map(str::to_owned)).collect();
        Launch { argv, env: Vec::new(), signal: "KILL" }
    }

    /// Its greeting holds the name of its folder.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let greeting = || {
            let connection = TcpStream::connect(("127.0.0.1", at.port))?;
            connection.set_read_timeout(Some(Duration::from_secs(10)))?;
            let mut line = String::new();
            BufReader::new(connection).read_line(&mut line)?;
            Ok::<_, std::io::Error>(line)
        };
        greeting().is_ok_and(|line| line.contains(&token(at.folder)))
    }
}

fn token(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
