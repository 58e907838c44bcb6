//! etcd, with its client `etcdctl`.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::{Launch, clean};
use crate::program::{find, run};
use crate::server::{At, Kind, Server};

/// An etcd server, a cluster of itself alone, without users and without TLS.
pub struct Etcd {
    server: Server<Installation>,
}

struct Installation;

impl Etcd {
    /// Starts one without keys.
    #[track_caller]
    pub fn start() -> Self {
        Self { server: Server::start(Installation) }
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.at().port)
    }

    /// Its data folder, `--data-dir`. It may be replaced while the server is stopped.
    pub fn data_dir(&self) -> PathBuf {
        data_dir(self.server.at().folder)
    }

    /// Runs `etcdctl` and gives what it wrote, without the last line's end.
    ///
    /// # Panics
    /// With its standard error if it fails.
    #[track_caller]
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let mut client = clean(find("etcdctl"), self.server.at().folder);
        client.env("ETCDCTL_API", "3").env("ETCDCTL_ENDPOINTS", self.url());
        run(client.args(arguments), "")
    }

    /// Ends it at once; its data stay.
    pub fn stop(&self) {
        self.server.stop();
    }

    /// Ends it at once, if it runs, and starts it with the same port and what lies in its data folder now.
    #[track_caller]
    pub fn restart(&self) {
        self.server.restart();
    }
}

fn data_dir(folder: &Path) -> PathBuf {
    folder.join("data")
}

impl Kind for Installation {
    fn name(&self) -> String {
        "etcd".to_owned()
    }

    fn prepare(&self, _folder: &Path) {}

    fn launch(&self, at: At<'_>) -> Launch {
        let program = find("etcd").to_str().unwrap().to_owned();
        let url = format!("http://127.0.0.1:{}", at.port);
        let data = data_dir(at.folder).to_str().unwrap().to_owned();
        // It has no peers: any port does for them. What it tells them is the default, which a restored folder holds too.
        let arguments = [
            ["--data-dir", &data, "--logger", "zap"],
            ["--listen-client-urls", &url, "--advertise-client-urls", &url],
            ["--listen-peer-urls", "http://127.0.0.1:0", "--log-outputs", "stderr"],
        ];
        let arguments = arguments.concat().into_iter().map(str::to_owned);
        Launch { argv: [program].into_iter().chain(arguments).collect(), env: Vec::new(), signal: "KILL" }
    }

    /// Its log, which holds earlier starts too, says that it has the port; its answer, that it has a leader.
    fn answers(&self, at: At<'_>, _pid: u32) -> bool {
        let log = fs::read_to_string(at.folder.join("log")).unwrap_or_default();
        let said = |what: &str| log.matches(what).count();
        said("serving client traffic") == said("starting an etcd server") && is_healthy(at.port)
    }
}

fn is_healthy(port: u16) -> bool {
    let ask = || {
        let mut connection = TcpStream::connect(("127.0.0.1", port))?;
        connection.set_read_timeout(Some(Duration::from_secs(10)))?;
        connection.write_all(b"GET /health HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    ask().is_ok_and(|answer| answer.contains(r#""health":"true""#))
}
