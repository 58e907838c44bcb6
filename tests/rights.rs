//! Credentials that can only create are enough to back up: failed runs included, and nobody who steals one can read, list or
//! delete. tests/s3.rs has S3's. And what stores nothing, stores nothing.

mod common;

use std::sync::Arc;

use common::far::{SHOP, Service, config, run, slow};
use common::{Sandbox, database};
use windlass_test_servers::{Azurite, B2Double, Double, FakeGcs, Said};

const PLACE: &str = "backups";

/// A container, with the rights of a token.
struct Azure(Arc<Azurite>, &'static str);

/// A bucket behind a door that lets only those in who create.
struct Google(Arc<FakeGcs>, Option<Double>);

/// The double judges by what its key may do now.
struct Backblaze(B2Double);

impl Service for Azure {
    fn storage(&self) -> String {
        format!(
            "plugin = \"azblob\"\ncontainer = \"{PLACE}\"\nprefix = \"acme\"\nendpoint = \"{}\"\n\
             sas_token = {{ env = \"SECRET\" }}\npart_size = 4\n",
            self.0.endpoint()
        )
    }
    fn secret(&self) -> String {
        self.0.sas(self.1)
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.0.object(PLACE, &format!("acme/{key}"))
    }
    fn half_uploads(&self) -> usize {
        self.0.half_uploads(PLACE)
    }
}

impl Service for Google {
    fn storage(&self) -> String {
        let endpoint = match &self.1 {
            Some(door) => door.endpoint().to_owned(),
            None => self.0.endpoint(),
        };
        format!(
            "plugin = \"gcs\"\nbucket = \"{PLACE}\"\nprefix = \"acme\"\nendpoint = \"{endpoint}\"\n\
             access_token = {{ env = \"SECRET\" }}\npart_size = 4\n"
        )
    }
    fn secret(&self) -> String {
        "ya29.a-token".to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.0.object(PLACE, &format!("acme/{key}"))
    }
    fn half_uploads(&self) -> usize {
        0
    }
}

impl Service for Backblaze {
    fn storage(&self) -> String {
        format!(
            "plugin = \"b2\"\nbucket = \"{}\"\nprefix = \"acme\"\nendpoint = \"{}\"\nkey_id = \"{}\"\n\
             application_key = {{ env = \"SECRET\" }}\npart_size = 5\n",
            B2Double::BUCKET,
            self.0.endpoint(),
            B2Double::KEY_ID
        )
    }
    fn secret(&self) -> String {
        B2Double::KEY.to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.0.state().object(&format!("acme/{key}"))
    }
    fn half_uploads(&self) -> usize {
        self.0.state().unfinished()
    }
}

/// Who has the role Storage Object Creator: objects are created, and a session is known by its address alone.
fn creators_door(server: &Arc<FakeGcs>) -> Double {
    let behind = server.clone();
    Double::start(move |asked| {
        let is_session = asked.path.contains("upload_id=");
        // To replace an object takes the right to delete it.
        let creates = asked.method == "POST"
            && asked.path.starts_with("/upload/")
            && asked.path.contains("ifGenerationMatch=0");
        if is_session || creates {
            let door = format!("http://{}", asked.header("host"));
            return asked.pass_on(behind.port()).renamed(&behind.endpoint(), &door);
        }
        let refusal = r#"{"error":{"code":403,"message":"no","errors":[{"reason":"forbidden"}]}}"#;
        Said::status(403).body(refusal)
    })
}

/// Backs up by `creator`, who may only create; `prove` looks by whoever may do more. `stay` half uploads of a failed run stay
/// for the service to remove.
fn is_enough(creator: &dyn Service, stay: usize, prove: impl Fn(&Sandbox, &[&str], &str) -> String) {
    let sandbox = Sandbox::new();
    drop(database(&sandbox.path("shop.db"), "delete", 15_000));
    let ours = |arguments: &[&str]| run(&sandbox, &creator.secret(), arguments);
    config(&sandbox, creator, SHOP);
    let checked = ours(&["check"]).expect(0);
    let told = checked.stdout + &checked.stderr;
    assert!(told.contains("can't delete") && told.contains("can't list"), "{told}");
    ours(&["backup", "--dry-run"]).expect(0).says("can't be looked into");
    ours(&["backup", "shop"]).expect(0);
    assert_eq!(ours(&["list"]).code, 1, "it can list");
    assert_eq!(ours(&["prune"]).code, 1, "it can prune");
    prove(&sandbox, &["verify", "--full", "shop"], SHOP);

    let halves = creator.half_uploads();
    let failing = slow(creator, "exit 3");
    config(&sandbox, creator, &failing);
    ours(&["backup", "slow"]).expect(1);
    assert_eq!(creator.half_uploads() - halves, stay, "half uploads of a failed run");
    config(&sandbox, creator, &slow(creator, "true"));
    let ran = ours(&["backup", "slow"]).expect(0);
    assert!(!ran.stderr.contains("removed"), "{}", ran.stderr);
    config(&sandbox, creator, &failing);
    ours(&["backup", "slow"]).expect(1);
    let listed = prove(&sandbox, &["--json", "list", "slow"], &failing);
    assert_eq!(listed.matches("\"slow@").count(), 1, "{listed}");
    prove(&sandbox, &["verify", "--full", "slow"], &failing);
}

fn by<'s>(service: &'s dyn Service) -> impl Fn(&Sandbox, &[&str], &str) -> String + 's {
    move |sandbox, arguments, pipelines| {
        config(sandbox, service, pipelines);
        run(sandbox, &service.secret(), arguments).expect(0).stdout
    }
}

/// Staged blocks can't be forgotten without the right to delete: nobody sees them, and the service removes them itself.
#[test]
fn a_token_that_can_create_and_write_is_enough_for_azure() {
    let server = Arc::new(Azurite::start());
    server.make_container(PLACE);
    let all = Azure(server.clone(), "rcwdl");
    is_enough(&Azure(server, "cw"), 1, by(&all));
}

#[test]
fn an_object_creator_is_enough_for_google() {
    let server = Arc::new(FakeGcs::start());
    server.make_bucket(PLACE);
    let all = Google(server.clone(), None);
    let door = creators_door(&server);
    is_enough(&Google(server, Some(door)), 0, by(&all));
}

#[test]
fn a_key_with_write_files_alone_is_enough_for_backblaze() {
    let creator = Backblaze(B2Double::start());
    let all = creator.0.state().capabilities.clone();
    let may = |capabilities: &[String]| creator.0.state().capabilities = capabilities.to_vec();
    let write = ["writeFiles".to_owned()];
    creator.0.state().only_bucket = Some(B2Double::BUCKET.to_owned());
    may(&write);
    is_enough(&creator, 0, |sandbox, arguments, pipelines| {
        may(&all);
        let told = by(&creator)(sandbox, arguments, pipelines);
        may(&write);
        told
    });
}

#[test]
fn a_dry_run_stores_nothing_and_a_check_leaves_nothing() {
    let backblaze = Backblaze(B2Double::start());
    let sandbox = Sandbox::new();
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    config(&sandbox, &backblaze, SHOP);
    run(&sandbox, &backblaze.secret(), &["backup", "--dry-run"]).expect(0);
    let asked = backblaze.0.asked();
    let changes =
        |path: &str| ["upload", "start", "hide", "delete", "cancel"].iter().any(|word| path.contains(word));
    assert!(asked.iter().any(|asked| asked.path.contains("list")), "it didn't even look: {asked:?}");
    assert!(!asked.iter().any(|asked| changes(&asked.path)), "{asked:?}");
    run(&sandbox, &backblaze.secret(), &["check"]).expect(0);
    assert_eq!(backblaze.0.state().files(), 0);
}

/// What a lock of the options keeps isn't what a check leaves.
#[test]
fn a_check_of_a_storage_that_locks_leaves_nothing() {
    let backblaze = Backblaze(B2Double::start());
    let sandbox = Sandbox::new();
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    let locked = format!("retention = {{ mode = \"compliance\", days = 3 }}\n{SHOP}");
    config(&sandbox, &backblaze, &locked);
    for _ in 0..2 {
        run(&sandbox, &backblaze.secret(), &["check"]).expect(0).prints("1 MiB up in");
    }
    assert_eq!(backblaze.half_uploads(), 0);
    assert_eq!(backblaze.0.state().files(), 0);
}

/// Until the lock ends the snapshot is whole, listed, and can be restored.
#[test]
fn what_a_lock_keeps_prune_leaves_whole_and_removes_when_the_lock_has_ended() {
    let backblaze = Backblaze(B2Double::start());
    let sandbox = Sandbox::new();
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    let ours = |arguments: &[&str]| run(&sandbox, &backblaze.secret(), arguments);
    let listed = || ours(&["--json", "list"]).expect(0).stdout.lines().count();
    config(&sandbox, &backblaze, &format!("retention = {{ mode = \"compliance\", days = 3 }}\n{SHOP}"));
    ours(&["backup"]).expect(0);
    config(&sandbox, &backblaze, SHOP);
    for _ in 0..2 {
        ours(&["backup"]).expect(0);
    }
    // The locked one stays; the other one goes.
    let ran =
        ours(&["prune"]).expect(3).says("it can't be removed: ").says("object lock").prints("1 removed");
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    assert_eq!(listed(), 2);
    ours(&["verify", "--full", "shop"]).expect(0);
    ours(&["backup"]).expect(0);
    assert!(!ours(&["check"]).stderr.contains("leftover"));
    backblaze.0.state().end_locks();
    ours(&["prune"]).expect(0).prints("2 removed");
    assert_eq!((listed(), backblaze.0.state().files()), (1, 4));
}
