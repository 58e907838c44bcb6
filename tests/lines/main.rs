//! A line or a service that fails once, in each operation (store, list, read, delete) and each way, for every service that is
//! spoken to by HTTP: the command succeeds in the end, what is restored is right, and the fault was really met. What would fail
//! again is told at once, with one request and a hint.
//!
//! Between the binary and the server stands a double that passes on what it is asked. Uploads in parts, bytes that change and
//! answers that lie are tested beside each plugin.

#[path = "../common/mod.rs"]
mod common;
mod services;

use std::any::Any;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard};

use common::far::SHOP;
use common::{Ran, Sandbox, database, rows};
use windlass_test_servers::{Asked, Double, Said};

/// What a request does with objects.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Store,
    List,
    Read,
    Delete,
}
use Does::{Delete, List, Read, Store};

/// What becomes of a request.
#[derive(Clone, Debug)]
enum Fault {
    /// It is done, and the connection ends without an answer.
    Unanswered,
    /// It is done, and the answer breaks off in the middle.
    Broken,
    /// It isn't done, and this is the answer.
    Instead(Said),
}

/// What is to go wrong.
#[derive(Debug)]
struct Plan {
    does: Does,
    /// With these bytes in the request.
    about: &'static str,
    fault: Fault,
    is_once: bool,
    /// What was asked when it came.
    met: Vec<String>,
}

#[derive(Clone, Default)]
struct Faults(Arc<Mutex<Vec<Plan>>>);

impl Faults {
    fn plans(&self) -> MutexGuard<'_, Vec<Plan>> {
        self.0.lock().unwrap()
    }

    /// The first request of each of these fails so.
    fn once(&self, fault: &Fault, each: &[(Does, &'static str)]) {
        let plan = |(does, about): &(Does, &'static str)| Plan {
            does: *does,
            about,
            fault: fault.clone(),
            is_once: true,
            met: Vec::new(),
        };
        *self.plans() = each.iter().map(plan).collect();
    }

    /// Every request that does this, about that, is refused.
    fn forbid(&self, each: &[(Does, &'static str)]) {
        let fault = Fault::Instead(Said::status(403));
        let plan = |(does, about): &(Does, &'static str)| Plan {
            does: *does,
            about,
            fault: fault.clone(),
            is_once: false,
            met: Vec::new(),
        };
        *self.plans() = each.iter().map(plan).collect();
    }

    /// How often each was met.
    fn met(&self) -> Vec<usize> {
        self.plans().iter().map(|plan| plan.met.len()).collect()
    }

    /// Nothing that was refused was asked for once more. Several objects may be asked for at the same time.
    fn were_told_at_once(&self) -> bool {
        self.plans().iter().all(|plan| {
            let mut asked = plan.met.clone();
            asked.sort_unstable();
            asked.dedup();
            !asked.is_empty() && asked.len() == plan.met.len()
        })
    }

    fn next(&self, does: Option<Does>, asked: &Asked) -> Option<Fault> {
        let mut plans = self.plans();
        let plan = plans.iter_mut().find(|plan| {
            let is_due = !plan.is_once || plan.met.is_empty();
            is_due && Some(plan.does) == does && is_about(asked, plan.about)
        })?;
        // Of some services the key is in a header, or in the body.
        let argument = asked.header("dropbox-api-arg").to_owned() + &String::from_utf8_lossy(&asked.body);
        plan.met.push(format!("{} {} {argument}", asked.method, asked.path));
        Some(plan.fault.clone())
    }
}

fn is_about(asked: &Asked, word: &str) -> bool {
    let is_in = |text: &str| text.contains(word);
    is_in(&asked.path)
        || asked.headers.values().any(|value| is_in(value))
        || is_in(&String::from_utf8_lossy(&asked.body))
}

/// A service behind a line that fails.
struct Line {
    name: &'static str,
    /// The storage of the config.
    storage: String,
    secret: &'static str,
    /// What is in requests that read: in that for the stream, and in that for a manifest. Where files are read by their ids,
    /// they can't be told apart.
    reads: &'static [&'static str],
    faults: Faults,
    /// What the service says of a token that is over.
    expired: Option<Said>,
    _server: Box<dyn Any + Send>,
}

/// A line before the server on that port; `does` says what a request of the service does.
fn line(port: u16, does: fn(&Asked) -> Option<Does>) -> (Double, Faults) {
    let faults = Faults::default();
    let known = faults.clone();
    let double = Double::start(move |asked| match known.next(does(asked), asked) {
        None => asked.pass_on(port),
        Some(Fault::Unanswered) => {
            asked.pass_on(port);
            Said::lost()
        }
        Some(Fault::Broken) => asked.pass_on(port).broken(),
        Some(Fault::Instead(said)) => said,
    });
    (double, faults)
}

fn port_of(endpoint: &str) -> u16 {
    endpoint.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// Each kind of fault. The waits before the next attempt are what these tests take their seconds for: they are the service's
/// where it names one.
fn faults(line: &Line) -> Vec<Fault> {
    let mut all = vec![
        Fault::Unanswered,
        Fault::Broken,
        Fault::Instead(Said::status(500)),
        Fault::Instead(Said::status(503).header("retry-after", "0")),
        Fault::Instead(Said::status(429).header("retry-after", "0")),
    ];
    all.extend(line.expired.clone().map(Fault::Instead));
    all
}

/// A sandbox with a small database, and what is in it.
fn sandbox(config: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    drop(database(&sandbox.path("shop.db"), "delete", 20));
    let before = rows(&sandbox.path("shop.db"));
    sandbox.config(config);
    (sandbox, before)
}

fn outlasts(line: &Line) {
    let config = format!("[storage.far]\n{}\n{}", line.storage, SHOP.replace("\"zstd\"", ""));
    let (sandbox, before) = sandbox(&config);
    let original = sandbox.path("shop.db");
    let run =
        |arguments: &[&str]| Ran::of(sandbox.command(arguments).env("SECRET", line.secret).output().unwrap());
    for fault in faults(line) {
        // A run that may not store its second object, and not take the first one back: that is left for the next.
        line.faults.forbid(&[(Store, "contents.json"), (Delete, "")]);
        let ran = run(&["backup"]).expect(1).says("hint:");
        assert!(line.faults.were_told_at_once(), "asked again, or never: {:?}", line.faults.plans());
        assert!(!ran.stderr.contains("tried again"), "{}", ran.stderr);

        line.faults.once(&fault, &[(Store, ""), (List, ""), (Delete, "")]);
        let ran = run(&["backup"]);
        assert_eq!((ran.code, line.faults.met()), (0, vec![1; 3]), "{fault:?}: {}", ran.stderr);
        ran.says("removed 1 leftover");

        fs::remove_file(&original).unwrap();
        let reads: Vec<_> = line.reads.iter().map(|about| (Read, *about)).collect();
        line.faults.once(&fault, &reads);
        let ran = run(&["restore", "shop", "--yes"]);
        assert_eq!((ran.code, line.faults.met()), (0, vec![1; reads.len()]), "{fault:?}: {}", ran.stderr);
        assert_eq!(rows(&original), before, "{fault:?}");
    }
    line.faults.once(&Fault::Unanswered, &[]);
    run(&["verify", "--full", "shop"]).expect(0);
    for does in [List, Read] {
        line.faults.forbid(&[(does, "")]);
        let ran = run(&["verify", "shop"]).expect(1).says("hint:");
        assert!(line.faults.were_told_at_once(), "asked again, or never: {:?}", line.faults.plans());
        assert!(!ran.stderr.contains("tried again"), "{}", ran.stderr);
    }
}

/// Each on a thread of its own: they wait more than they do.
fn all_outlast(lines: Vec<Line>) {
    let started = lines.into_iter().map(|line| {
        std::thread::Builder::new().name(line.name.to_owned()).spawn(move || outlasts(&line)).unwrap()
    });
    let ended: Vec<_> = started.collect::<Vec<_>>().into_iter().map(|thread| thread.join()).collect();
    assert!(ended.iter().all(Result::is_ok), "a line failed: see above which");
}

#[test]
fn a_line_to_a_server_may_fail_once_in_each_way() {
    all_outlast(vec![services::s3(), services::azure(), services::google(), services::webdav()]);
}

#[test]
fn a_line_to_a_service_that_is_a_double_may_fail_once_in_each_way() {
    all_outlast(vec![
        services::amazon(),
        services::backblaze(),
        services::drive(),
        services::dropbox(),
        services::onedrive(),
    ]);
}

#[test]
fn a_line_to_a_read_only_web_server_may_fail_once_in_each_way() {
    let (server, line) = services::web();
    let near = format!("[storage.near]\nplugin = \"fs\"\nroot = \"{}\"\n", server.folder().display());
    let shop = SHOP.replace("\"zstd\"", "").replace("\"far\"", "\"near\"");
    let (sandbox, before) = sandbox(&format!("{near}[storage.far]\n{}\n{shop}", line.storage));
    let run =
        |arguments: &[&str]| Ran::of(sandbox.command(arguments).env("SECRET", line.secret).output().unwrap());
    run(&["backup"]).expect(0);
    for fault in faults(&line) {
        fs::remove_file(sandbox.path("shop.db")).unwrap();
        line.faults.once(&fault, &[(List, ""), (Read, "data"), (Read, "manifest.json")]);
        let ran = run(&["restore", "shop", "--storage", "far", "--yes"]);
        assert_eq!((ran.code, line.faults.met()), (0, vec![1; 3]), "{fault:?}: {}", ran.stderr);
        assert_eq!(rows(&sandbox.path("shop.db")), before, "{fault:?}");
    }
    for does in [List, Read] {
        line.faults.forbid(&[(does, "")]);
        run(&["verify", "shop", "--storage", "far"]).expect(1).says("hint:");
        assert!(line.faults.were_told_at_once(), "asked again, or never: {:?}", line.faults.plans());
    }
}
