//! kill -9 at 200 moments, spread evenly over a run: of backups, and of restores.
//!
//! Each lane is a sandbox of its own with one kind of database, filters and storages. The runs that follow a kill are the
//! next ones: half of the time they are killed as well, while they clear away what the one before them has left.

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::{Sandbox, database, rows};

/// Of each command, in all lanes together.
const KILLS: u32 = 100;

/// Journal mode, filters, storages.
const LANES: [(&str, &str, &[&str]); 4] = [
    ("wal", r#"{ plugin = "zstd" }"#, &["nas"]),
    ("delete", "", &["nas"]),
    ("wal", "", &["nas", "offsite"]),
    ("delete", r#"{ plugin = "gzip" }"#, &["nas", "offsite"]),
];

struct Lane {
    sandbox: Sandbox,
    storages: &'static [&'static str],
    journal: &'static str,
    shop: PathBuf,
}

impl Lane {
    fn new((journal, filters, storages): (&'static str, &str, &'static [&'static str])) -> Self {
        let sandbox = Sandbox::new();
        let shop = sandbox.path("place/shop.db");
        fs::create_dir(sandbox.path("place")).unwrap();
        let mut config = format!("[source.shop]\nplugin = \"sqlite\"\npath = \"{}\"\n", shop.display());
        for storage in storages {
            let root = sandbox.path("store").join(storage);
            fs::create_dir(&root).unwrap();
            config += &format!("[storage.{storage}]\nplugin = \"fs\"\nroot = \"{}\"\n", root.display());
        }
        config +=
            &format!("[pipeline.shop]\nsource = \"shop\"\nstorage = {storages:?}\nfilters = [{filters}]\n");
        sandbox.config(&config);
        database(&shop, journal, 1500).close().unwrap();
        Self { sandbox, storages, journal, shop }
    }

    /// Whether the run was killed; one that was quicker ended well.
    fn run_and_kill(&self, arguments: &[&str], after: Duration) -> bool {
        let mut child = self.sandbox.spawn(arguments);
        std::thread::sleep(after);
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.code().is_none_or(|code| code == 0), "{arguments:?} ended with {status}");
        status.code().is_none()
    }

    /// The snapshots of a storage, all of which must be whole.
    fn whole_snapshots(&self, storage: &str, case: &str) -> Vec<String> {
        let list = self.sandbox.ok(&["--json", "list", "shop", "--storage", storage]);
        let rows = list.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let ids: Vec<String> = rows.map(|row| row["snapshot"].as_str().unwrap().replace('@', "/")).collect();
        let verified = self.sandbox.run(&["verify", "shop", "--full", "--storage", storage]);
        let wanted = if ids.is_empty() { 10 } else { 0 };
        assert_eq!(verified.code, wanted, "{case}: {}{}", verified.stdout, verified.stderr);
        ids
    }

    /// Nothing but the listed snapshots is in any storage, and no trace of a dead run anywhere.
    fn nothing_else_is_left(&self, case: &str) {
        for storage in self.storages {
            let ids = self.whole_snapshots(storage, case);
            assert!(!ids.is_empty(), "{case}");
            let is_of_a_snapshot =
                |file: &String| ids.iter().any(|id| file.starts_with(&format!("web1/{id}/")));
            let files = self.sandbox.files(&format!("store/{storage}"));
            let others: Vec<&String> = files.iter().filter(|file| !is_of_a_snapshot(file)).collect();
            assert!(others.is_empty(), "{case}: {others:?} in {storage}");
        }
        assert_eq!(self.sandbox.records(), [""; 0], "{case}");
        self.no_siblings(case);
    }

    fn no_siblings(&self, case: &str) {
        assert_eq!(self.sandbox.siblings(), [""; 0], "{case}");
    }

    /// Puts the database back to what it was.
    fn reset(&self, old: Option<&[u8]>) {
        for file in self.sandbox.files("place").iter().filter(|file| !file.contains(".windlass-")) {
            fs::remove_file(self.sandbox.path("place").join(file)).unwrap();
        }
        if let Some(old) = old {
            fs::write(&self.shop, old).unwrap();
        }
    }
}

/// The moments at which the runs of a lane are killed: spread evenly over the time that a run takes, which is found out on
/// the way, for it changes with what else the machine does.
struct Moments {
    number: u32,
    killed: u32,
    whole: Duration,
    place: f64,
}

impl Moments {
    fn new(lane: usize) -> Self {
        Self { number: 100 * lane as u32, killed: 0, whole: Duration::from_millis(100), place: 0.0 }
    }

    /// When to kill the next run; `None` once enough were killed.
    fn next(&mut self) -> Option<Duration> {
        self.number += 1;
        // The golden ratio spreads any number of points evenly.
        self.place = (f64::from(self.number) * 0.618_033_988_75).fract();
        (self.killed < KILLS / LANES.len() as u32).then(|| self.whole.mul_f64(self.place))
    }

    /// A kill near the end means that runs take longer, one that came too late that they don't.
    fn learn(&mut self, was_killed: bool) {
        self.killed += u32::from(was_killed);
        match (was_killed, self.place) {
            (false, _) => self.whole = self.whole.mul_f64(0.93),
            (true, 0.8..) => self.whole = self.whole.mul_f64(1.15),
            (true, _) => {}
        }
        assert!(self.number % 100 != 99 || self.killed > 0, "runs end before they can be killed");
    }
}

/// Runs `work` for every lane at once.
fn in_every_lane(work: impl Fn(usize, Lane) + Sync) {
    std::thread::scope(|scope| {
        for (number, lane) in LANES.into_iter().enumerate() {
            let work = &work;
            scope.spawn(move || work(number, Lane::new(lane)));
        }
    });
}

#[test]
fn a_backup_killed_at_any_moment_leaves_whole_snapshots_or_none_and_the_next_run_clears_up() {
    in_every_lane(|number, lane| {
        let before = rows(&lane.shop);
        let mut moments = Moments::new(number);
        while let Some(after) = moments.next() {
            let case = format!("lane {number} killed after {after:?}");
            moments.learn(lane.run_and_kill(&["backup"], after));
            for storage in lane.storages {
                lane.whole_snapshots(storage, &case);
            }
            if moments.number.is_multiple_of(2) {
                lane.sandbox.ok(&["backup"]);
                lane.nothing_else_is_left(&case);
                for storage in lane.storages {
                    fs::remove_dir_all(lane.sandbox.path("store").join(storage).join("web1")).unwrap();
                }
            }
        }
        assert!(rows(&lane.shop) == before, "lane {number}: the database has changed");
    });
}

#[test]
fn a_restore_killed_at_any_moment_leaves_the_database_wholly_old_or_wholly_new() {
    let restore = ["restore", "shop", "--mode", "replace", "--yes"];
    in_every_lane(|number, lane| {
        lane.sandbox.ok(&["backup"]);
        let new = rows(&lane.shop);
        let old = old_database(&lane, number);
        let old_rows = old.as_ref().map(|_| rows(&lane.shop));
        let mut moments = Moments::new(number);
        while let Some(after) = moments.next() {
            let case = format!("lane {number} killed after {after:?}");
            moments.learn(lane.run_and_kill(&restore, after));
            let found = lane.shop.exists().then(|| rows(&lane.shop));
            assert!(found.as_ref() == Some(&new) || found == old_rows, "{case}: neither old nor new");
            if moments.number.is_multiple_of(2) {
                lane.sandbox.ok(&restore);
                assert!(rows(&lane.shop) == new, "{case}");
                lane.no_siblings(&case);
                lane.reset(old.as_deref());
            }
        }
    });
}

/// What the restores of a lane find: nothing; a smaller database; one of another page size; a larger one.
fn old_database(lane: &Lane, number: usize) -> Option<Vec<u8>> {
    lane.reset(None);
    let rows = [0, 20, 300, 2500][number];
    if rows == 0 {
        return None;
    }
    if number == 2 {
        let connection = rusqlite::Connection::open(&lane.shop).unwrap();
        connection.pragma_update(None, "page_size", 8192).unwrap();
        connection.execute_batch("vacuum").unwrap();
    }
    database(&lane.shop, lane.journal, rows).close().unwrap();
    Some(fs::read(&lane.shop).unwrap())
}
