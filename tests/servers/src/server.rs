//! What all servers share: a free port, waiting until it answers, stopping, starting again. What differs is a [`Kind`].

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, mem};

use crate::folder;
use crate::process::{Launch, Process};

/// Generous: many servers may start at once on a small machine.
const START_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);
/// Somebody else may take the free port before the server does.
const PORT_ATTEMPTS: u32 = 5;

/// One kind of server.
pub(crate) trait Kind {
    /// For folder names and messages.
    fn name(&self) -> String;
    /// Chooses its further ports, if it has any: before each attempt to start it.
    fn choose_ports(&mut self) {}
    /// Puts data and settings into its new, empty folder.
    fn prepare(&self, folder: &Path);
    /// How it is run.
    fn launch(&self, at: At<'_>) -> Launch;
    /// Whether this very server answers a client. One that took its port away must not be mistaken for it.
    fn answers(&self, at: At<'_>, pid: u32) -> bool;
}

/// Where a server is.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub folder: &'a Path,
    pub port: u16,
}

/// A server that runs until it is stopped or dropped.
pub(crate) struct Server<K: Kind> {
    pub kind: K,
    folder: PathBuf,
    port: u16,
    running: Mutex<Option<Process>>,
}

impl<K: Kind> Server<K> {
    /// Starts one on a free port and waits until it answers.
    #[track_caller]
    pub fn start(kind: K) -> Self {
        let folder = folder::temporary(&kind.name());
        let mut server = Self { kind, folder, port: 0, running: Mutex::default() };
        server.kind.prepare(&server.folder);
        for _ in 0..PORT_ATTEMPTS {
            server.kind.choose_ports();
            server.port = free_port();
            if server.run() {
                return server;
            }
        }
        server.fail("found no free port");
    }

    pub fn at(&self) -> At<'_> {
        At { folder: &self.folder, port: self.port }
    }

    /// # Panics
    /// If it was stopped.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.running().as_ref().expect("the server was stopped").pid()
    }

    /// What it wrote to its outputs.
    pub fn log(&self) -> String {
        let log = fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Ends it at once; its data stay.
    pub fn stop(&self) {
        if let Some(process) = self.running().take() {
            process.end(true);
        }
    }

    /// Ends it at once, if it runs, and starts it with the same data and port.
    #[track_caller]
    pub fn restart(&self) {
        self.stop();
        let end = Instant::now() + START_LIMIT;
        // The port may have served for an outgoing connection meanwhile.
        while !self.run() {
            if Instant::now() > end {
                self.fail("its port was taken");
            }
            thread::sleep(POLL);
        }
    }

    /// Starts it; `false` if its port was taken.
    #[track_caller]
    fn run(&self) -> bool {
        let said_before = self.log().len();
        let process = Process::spawn(&self.kind.launch(self.at()), &self.folder);
        let end = Instant::now() + START_LIMIT;
        while !self.kind.answers(self.at(), process.pid()) {
            if !process.is_alive() {
                process.end(true);
                let said = self.log();
                if said[said_before..].to_lowercase().contains("address already in use") {
                    return false;
                }
                self.fail("ended at its start");
            }
            if Instant::now() > end {
                process.end(true);
                self.fail("didn't answer in time");
            }
            thread::sleep(POLL);
        }
        *self.running() = Some(process);
        true
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!("{} {what}:\n{}", self.kind.name(), self.log())
    }

    fn running(&self) -> MutexGuard<'_, Option<Process>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Kind> Drop for Server<K> {
    fn drop(&mut self) {
        match mem::take(&mut *self.running()) {
            Some(process) => process.end(false),
            None => drop(fs::remove_dir_all(&self.folder)),
        }
    }
}

/// Ports that are free now, each another.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    let taken: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind(("127.0.0.1", 0)).unwrap());
    taken.map(|taken| taken.local_addr().unwrap().port())
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
