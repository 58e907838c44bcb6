//! What a listing asks a storage for: each manifest once, and then only whether it is still the same.

mod common;

use std::fs;

use common::{Ran, Sandbox, database, rename_snapshot};
use windlass_test_servers::{Double, Seaweed};

const BUCKET: &str = "backups";

/// More than it takes for manifests to be remembered.
const SNAPSHOTS: usize = 20;

/// A bucket with snapshots, behind a double that sees every request.
struct Place {
    server: Seaweed,
    double: Double,
    sandbox: Sandbox,
    ids: Vec<String>,
}

fn place() -> Place {
    let (server, sandbox) = (Seaweed::start(), Sandbox::new());
    server.make_bucket(BUCKET);
    drop(database(&sandbox.path("shop.db"), "delete", 1));
    fs::create_dir(sandbox.path("nas")).unwrap();
    for day in 1..=SNAPSHOTS {
        sandbox.ok(&["backup", "sqlite:shop.db", "--storage", "fs:nas"]);
        let made = fs::read_dir(sandbox.path("nas/web1/shop")).unwrap().map(|id| id.unwrap().path());
        let new = made.into_iter().find(|id| !id.to_str().unwrap().contains("T120000Z-")).unwrap();
        rename_snapshot(&new, &format!("202510{day:02}T120000Z-abcd"), &[]);
    }
    for file in sandbox.files("nas") {
        server.put(BUCKET, &file, &fs::read(sandbox.path("nas").join(&file)).unwrap());
    }
    let ids = ids(&sandbox.ok(&["--json", "list", "shop", "--storage", "fs:nas"]));
    let port = server.port();
    let double = Double::start(move |asked| asked.pass_on(port));
    sandbox.config(&format!(
        "[storage.s3]\nplugin = \"s3\"\nbucket = \"{BUCKET}\"\npreset = \"seaweedfs\"\nendpoint = \"{}\"\n\
         access_key_id = {{ env = \"ID\" }}\nsecret_access_key = {{ env = \"KEY\" }}\n",
        double.endpoint()
    ));
    Place { server, double, sandbox, ids }
}

/// The ids in the answer of `list`, the oldest first.
fn ids(listed: &str) -> Vec<String> {
    let id = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["id"].as_str().unwrap().to_owned()
    };
    listed.lines().filter(|line| line.contains("\"snapshot\"")).map(id).collect()
}

fn sorted(ids: &[String]) -> Vec<String> {
    let mut ids = ids.to_vec();
    ids.sort();
    ids
}

impl Place {
    /// Runs a command; the ids of the snapshots whose manifests were fetched.
    fn run(&self, arguments: &[&str], exit: i32) -> (Ran, Vec<String>) {
        let before = self.double.asked().len();
        let mut command = self.sandbox.command(arguments);
        command.env("ID", Seaweed::ADMIN.id).env("KEY", Seaweed::ADMIN.secret);
        let ran = Ran::of(command.output().unwrap()).expect(exit);
        let asked = self.double.asked();
        let fetched = asked[before..].iter().filter(|asked| asked.method == "GET");
        let mut ids: Vec<String> = fetched
            .filter_map(|asked| {
                asked.path.split('?').next()?.strip_suffix("/manifest.json")?.rsplit('/').next()
            })
            .map(str::to_owned)
            .collect();
        ids.sort();
        (ran, ids)
    }

    /// What is listed, the oldest first.
    fn listed(&self, exit: i32) -> (Vec<String>, Vec<String>) {
        let (ran, fetched) = self.run(&["--json", "list", "shop", "--storage", "s3"], exit);
        (ids(&ran.stdout), fetched)
    }

    fn manifest(&self, id: &str) -> String {
        format!("web1/shop/{id}/manifest.json")
    }
}

#[test]
fn a_manifest_is_fetched_once_and_again_only_if_it_is_another_one() {
    let place = place();
    assert_eq!(place.listed(0), (place.ids.clone(), sorted(&place.ids)));
    assert_eq!(place.listed(0), (place.ids.clone(), Vec::new()));
    // One that isn't there any more is no snapshot, though the rest of it lies there still.
    place.server.delete(BUCKET, &place.manifest(&place.ids[3]));
    let mut rest = place.ids.clone();
    rest.remove(3);
    assert_eq!(place.listed(0), (rest.clone(), Vec::new()));
    // Another one in its place is read, and found out.
    place.server.put(
        BUCKET,
        &place.manifest(&rest[5]),
        &fs::read(place.sandbox.path("nas").join(place.manifest(&rest[6]))).unwrap(),
    );
    let (listed, fetched) = place.listed(4);
    assert_eq!((listed.len(), fetched), (rest.len(), vec![rest[5].clone()]));
    // What is remembered can be lost, or be nonsense.
    for file in place.sandbox.files(".local/state/windlass/manifests") {
        fs::write(place.sandbox.path(".local/state/windlass/manifests").join(file), "nonsense\n{}\n")
            .unwrap();
    }
    assert_eq!(place.listed(4).1, sorted(&rest));
}

#[test]
fn a_snapshot_that_is_named_is_fetched_alone() {
    let place = place();
    let id = &place.ids[7];
    let show = |name: &str| place.run(&["show", name, "--storage", "s3"], 0);
    let (ran, fetched) = show(&format!("shop@{id}"));
    assert!(ran.stdout.contains(id.as_str()), "{}", ran.stdout);
    assert_eq!(fetched, std::slice::from_ref(id), "the only one that fits");
    // The newest, and the newest until then, on a machine that has never listed them.
    let newest = place.ids.last().unwrap();
    for (name, id) in
        [("shop", newest), ("shop@2025-10-08", id), ("shop@2025-10-08T11:59:59Z", &place.ids[6])]
    {
        let (ran, fetched) = show(name);
        assert!(ran.stdout.contains(id.as_str()), "{}", ran.stdout);
        assert_eq!(fetched, std::slice::from_ref(id), "{name}");
    }
    // A clock had gone back: that there is one such is seen from its id, and what it holds from its manifest.
    let object = |id: &str, name: &str| format!("web1/shop/{id}/{name}");
    let late = "20251001T000000Z-0abc";
    let folder = place.sandbox.path("nas/web1/shop").join(newest);
    rename_snapshot(&folder, late, &[("sequence", 9_000_000_000_u64.into())]);
    for name in ["data", "contents.json", "RESTORE.txt", "manifest.json"] {
        let bytes = fs::read(place.sandbox.path("nas").join(object(late, name))).unwrap();
        place.server.put(BUCKET, &object(late, name), &bytes);
    }
    let (ran, fetched) = show("shop");
    assert!(ran.stdout.contains(late), "{}", ran.stdout);
    assert_eq!(fetched, [late, newest.as_str()]);
    assert_eq!(show(&format!("shop@{newest}")).1, std::slice::from_ref(newest));
}
