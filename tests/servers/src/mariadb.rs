//! MariaDB.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::folder;
use crate::process::{Launch, clean};
use crate::program::{escape, find, run};
use crate::server::{At, Kind, Server};

const USER: &str = "root";
/// Easily found in a log or an argument where it must not be.
const PASSWORD: &str = "my-Geheim-83d0";

/// What the data folder is made with and the server is run with. What was committed outlasts the server; nothing
/// outlives the machine, so no disk is waited for.
const SETTINGS: [&str; 6] = [
    "--innodb-log-file-size=16M",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=2",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=0",
    "--aria-pagecache-buffer-size=8M",
];

/// A MariaDB server with a superuser `root`, who needs a password on the port and on the socket.
pub struct MariaDb {
    server: Server<Installation>,
}

/// What is started, and with which settings.
struct Installation {
    arguments: Vec<String>,
}

impl MariaDb {
    /// Starts a server.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments, as `--log-bin`. `{port}` and `{dir}` in them stand for its port and folder.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { server: Server::start(Installation { arguments }) }
    }

    /// Its address.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        socket(self.server.at())
    }

    /// The superuser.
    pub fn user(&self) -> &str {
        USER
    }

    /// The superuser's password.
    pub fn password(&self) -> &str {
        PASSWORD
    }

    /// Its folder, with `data` and `log` in it.
    pub fn dir(&self) -> &Path {
        self.server.at().folder
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// The address of a database, without the password.
    pub fn url(&self, database: &str) -> String {
        format!("mysql://{USER}@{}:{}/{}", self.host(), self.port(), escape(database))
    }

    /// The address of a database, with the password.
    pub fn url_with_password(&self, database: &str) -> String {
        format!("mysql://{USER}:{PASSWORD}@{}:{}/{}", self.host(), self.port(), escape(database))
    }

    /// Runs statements as the superuser, in UTF-8, and gives the rows (columns between tabs), without headers and the
    /// last line's end. An empty `database` is none.
    ///
    /// # Panics
    /// With the client's message at the first statement that fails.
    #[track_caller]
    pub fn sql(&self, database: &str, statements: &str) -> String {
        run(client(self.server.at()).arg(format!("--database={database}")), statements)
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

    /// Its process.
    ///
    /// # Panics
    /// If it was stopped.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        "mariadb".to_owned()
    }

    fn prepare(&self, folder: &Path) {
        let template = folder::template(&self.name(), create);
        folder::copy(&template, &folder.join("data"));
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let (folder, port) = (at.folder.to_str().unwrap(), at.port.to_string());
        let mut argv = vec![find("mariadbd").to_str().unwrap().to_owned(), "--no-defaults".to_owned()];
        argv.extend(owner());
        argv.extend(SETTINGS.map(str::to_owned));
        argv.extend([
            format!("--datadir={folder}/data"),
            // Two servers with one folder for temporary tables disturb each other.
            format!("--tmpdir={folder}"),
            format!("--pid-file={folder}/pid"),
            format!("--socket={}", socket(at).display()),
            format!("--port={port}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--skip-name-resolve".to_owned(),
        ]);
        argv.extend(self.arguments.iter().map(|text| text.replace("{port}", &port).replace("{dir}", folder)));
        Launch { argv, env: Vec::new(), signal: "KILL" }
    }

    /// Over the socket, which lies in the server's own folder; the port is bound before it.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let asked = || client(at).arg("--execute=select 1").stdin(Stdio::null()).output().unwrap();
        socket(at).exists() && asked().status.success()
    }
}

fn socket(at: At<'_>) -> PathBuf {
    at.folder.join("socket")
}

fn client(at: At<'_>) -> Command {
    let mut client = clean(find("mariadb"), at.folder);
    client
        .args(["--no-defaults", "--batch", "--skip-column-names", "--raw", "--default-character-set=utf8mb4"])
        .args(["--connect-timeout=10", "--user", USER])
        .arg(format!("--socket={}", socket(at).display()))
        .env("MYSQL_PWD", PASSWORD);
    client
}

/// The server runs as root only when told to.
fn owner() -> Option<String> {
    rustix::process::geteuid().is_root().then(|| "--user=root".to_owned())
}

/// Makes a data folder `data` in `folder`.
fn create(folder: &Path) {
    let password = folder.join("password.sql");
    let statement = format!(
        "update mysql.global_priv set priv = json_set(priv, '$.plugin', 'mysql_native_password', \
         '$.authentication_string', password('{PASSWORD}')) where User = '{USER}';\n"
    );
    fs::write(&password, statement).unwrap();
    run(
        clean(find("mariadb-install-db"), folder)
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(owner())
            .args(SETTINGS)
            .arg(format!("--extra-file={}", password.display()))
            .arg(format!("--datadir={}", folder.join("data").display()))
            .current_dir(folder),
        "",
    );
}
