//! A server that speaks MongoDB's protocol: SecantusDB, which stores with WiredTiger. For correctness only, it is slow.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use crate::process::{Launch, clean};
use crate::program::{installed, run, venv};
use crate::server::{At, Kind, Server};

/// A single server that takes itself for the primary of a replica set. It asks for no password unless told to.
pub struct Mongo {
    server: Server<Installation>,
}

/// What is started, and with which settings.
struct Installation {
    arguments: Mutex<Vec<String>>,
}

impl Mongo {
    /// Starts a server.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further arguments, as `--standalone`. `{port}` and `{dir}` in them stand for its port and folder.
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self { server: Server::start(Installation { arguments: Mutex::new(owned(arguments)) }) }
    }

    /// Its address.
    pub fn host(&self) -> &str {
        "127.0.0.1"
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.server.at().port
    }

    /// The address for a driver, without a database.
    pub fn url(&self) -> String {
        format!("mongodb://{}:{}/?directConnection=true", self.host(), self.port())
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        self.server.at().folder
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// Ends it at once, if it runs, and starts it with the same data and port.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }

    /// As [`Mongo::restart`], from now on with these further arguments. Users are made first, then `--auth` asks for them.
    #[track_caller]
    pub fn restart_with(&self, arguments: &[&str]) {
        *self.server.kind.arguments.lock().unwrap() = owned(arguments);
        self.server.restart();
    }

    /// Runs lines of Python in which `c` is a client; what they print.
    ///
    /// # Panics
    /// With the program's standard error if it fails.
    #[track_caller]
    pub fn python(&self, script: &str) -> String {
        let start =
            format!("import bson\nfrom pymongo import MongoClient\nc = MongoClient(\"{}\")\n", self.url());
        run(clean(venv().join("bin/python3"), self.dir()).arg("-c").arg(start + script), "")
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
        "mongo".to_owned()
    }

    fn prepare(&self, _folder: &Path) {}

    fn launch(&self, at: At<'_>) -> Launch {
        let program = venv().join("bin/secantusd-py");
        let program = installed(Some(program).filter(|program| program.is_file()), "SecantusDB");
        let (folder, port) = (at.folder.to_str().unwrap(), at.port.to_string());
        let data = format!("{folder}/data");
        // The interpreter by its name: the program's first line holds a path, which may be too long for the system.
        let python = venv().join("bin/python3");
        let own =
            [python.to_str().unwrap(), program.to_str().unwrap(), "--host", "127.0.0.1", "--port", &port];
        let given = self.arguments.lock().unwrap();
        let given = given.iter().map(|text| text.replace("{port}", &port).replace("{dir}", folder));
        let argv = own.into_iter().chain(["--storage-path", &data, "--cache-size", "128M"]);
        Launch { argv: argv.map(str::to_owned).chain(given).collect(), env: Vec::new(), signal: "KILL" }
    }

    /// It has no socket of its own, but says in its log that it has the port.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let log = std::fs::read_to_string(at.folder.join("log")).unwrap_or_default();
        log.contains(&format!("listening on 127.0.0.1:{}", at.port)) && says_hello(at.port)
    }
}

/// Sends the command `hello`; any reply is good. What speaks TLS replies to nothing else, and closes, or cuts.
fn says_hello(port: u16) -> bool {
    let mut document = Vec::new();
    document.extend(b"\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0");
    let length = |bytes: usize| (bytes as i32).to_le_bytes();
    let body = [&[0; 5], &length(document.len() + 4)[..], &document].concat();
    // Its length, its number, the number it answers, OP_MSG.
    let header = [length(body.len() + 16), length(1), length(0), length(2013)].concat();
    let ask = || {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        connection.write_all(&[header, body].concat())?;
        connection.read(&mut [0; 16])
    };
    ask().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true)
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}
