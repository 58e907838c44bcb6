//! Storages of several kinds in one pipeline, through the binary and real servers: one dump to a folder, a bucket of S3 and a
//! WebDAV folder; a copy that is damaged or lacks an object is passed over; `reconcile` brings all of them level again; and a
//! snapshot that a web server shows is copied home.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::fan::events;
use common::{Ran, Sandbox, database, rows};
use windlass_test_servers::{Dav, Seaweed, Web};

const BUCKET: &str = "backups";

struct Bench {
    sandbox: Sandbox,
    bucket: Seaweed,
    dav: Dav,
    before: String,
}

/// One snapshot in a folder, in a bucket, and in a WebDAV folder. Its stream has two blocks.
fn backed_up() -> Bench {
    let (sandbox, bucket, dav) = (Sandbox::new(), Seaweed::start(), Dav::start());
    bucket.make_bucket(BUCKET);
    drop(database(&sandbox.path("shop.db"), "delete", 17_000));
    let before = rows(&sandbox.path("shop.db"));
    sandbox.config(&format!(
        "[source.shop]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
         [storage.nas]\nplugin = \"fs\"\nroot = \"store\"\n\
         [storage.bucket]\nplugin = \"s3\"\nbucket = \"{BUCKET}\"\npreset = \"seaweedfs\"\nendpoint = \"{}\"\n\
         access_key_id = \"{}\"\nsecret_access_key = \"{}\"\n\
         [storage.cloud]\nplugin = \"webdav\"\nurl = \"{}\"\nuser = \"{}\"\npassword = \"{}\"\n\
         [pipeline.shop]\nsource = \"shop\"\nstorage = [\"bucket\", \"cloud\", \"nas\"]\n",
        bucket.endpoint(),
        Seaweed::ADMIN.id,
        Seaweed::ADMIN.secret,
        dav.endpoint(),
        Dav::USER,
        Dav::PASSWORD,
    ));
    sandbox.ok(&["backup", "shop"]);
    Bench { sandbox, bucket, dav, before }
}

impl Bench {
    /// The objects of the snapshot in the folder.
    fn in_folder(&self) -> BTreeMap<String, Vec<u8>> {
        let read = |key: &String| fs::read(self.sandbox.path("store").join(key)).unwrap();
        let keys = self.sandbox.files("store").into_iter();
        keys.map(|key| (key.clone(), read(&key))).collect()
    }

    /// All three hold the same objects, and each storage proves its own.
    #[track_caller]
    fn are_level(&self) {
        let objects = self.in_folder();
        assert_eq!(objects.len(), 4, "{:?}", objects.keys());
        for (key, bytes) in &objects {
            assert!(self.bucket.object(BUCKET, key).as_ref() == Some(bytes), "`{key}` of the bucket differs");
            let in_cloud = fs::read(self.dav.folder().join(key)).ok();
            assert!(in_cloud.as_ref() == Some(bytes), "`{key}` of the WebDAV folder differs");
        }
        for storage in ["nas", "bucket", "cloud"] {
            self.sandbox.ok(&["verify", "shop", "--full", "--storage", storage]);
        }
    }

    /// The key of an object by its name.
    fn key(&self, name: &str) -> String {
        self.in_folder().into_keys().find(|key| key.ends_with(&format!("/{name}"))).unwrap()
    }

    /// The storages that `reconcile` has copied to.
    #[track_caller]
    fn mended(&self) -> Vec<String> {
        let ran = self.sandbox.run(&["--json", "reconcile"]).expect(0);
        let copied = events(&ran.stdout, "copied");
        let mut to: Vec<String> = copied.iter().map(|row| row["to"].as_str().unwrap().to_owned()).collect();
        to.sort_unstable();
        to
    }

    #[track_caller]
    fn restored(&self) -> Ran {
        fs::remove_file(self.sandbox.path("shop.db")).unwrap();
        let ran = self.sandbox.run(&["restore", "shop", "--yes"]).expect(0);
        assert!(rows(&self.sandbox.path("shop.db")) == self.before, "other rows were restored");
        ran
    }
}

/// With another byte near its end: behind the first block.
fn flipped(mut bytes: Vec<u8>) -> Vec<u8> {
    let at = bytes.len() - 1000;
    bytes[at] ^= 1;
    bytes
}

#[test]
fn a_folder_a_bucket_and_a_webdav_folder_take_one_dump_and_help_each_other_out() {
    let bench = backed_up();
    let (sandbox, data) = (&bench.sandbox, bench.key("data"));
    bench.are_level();
    let listed = sandbox.ok(&["--json", "list", "shop"]);
    let shown = events(&listed, "snapshot");
    let copies = shown[0]["storages"].as_array().unwrap();
    let copies: Vec<&str> = copies.iter().map(|copy| copy["storage"].as_str().unwrap()).collect();
    assert_eq!((shown.len(), copies), (1, vec!["bucket", "cloud", "nas"]), "{listed}");

    // Every copy is broken in another way, by another door; of two of them one block each is still good.
    let whole = bench.in_folder().remove(&data).unwrap();
    assert!(whole.len() > (16 << 20) + 2000, "one block: {} bytes", whole.len());
    bench.bucket.delete(BUCKET, &data);
    let in_cloud = bench.dav.folder().join(&data);
    fs::write(&in_cloud, flipped(whole.clone())).unwrap();
    let ran = bench.restored().says("it is read from storage nas (fs@");
    assert!(ran.stderr.contains("storage cloud (webdav@"), "the damaged copy isn't told: {}", ran.stderr);
    let mut other = whole.clone();
    other[5] ^= 1;
    fs::write(sandbox.path("store").join(&data), other).unwrap();
    bench.restored().says("it is read from storage");

    // What is lacking is put together of what is good in the others. What is damaged is overwritten by nobody: `verify` tells it,
    // and once it is removed it is lacking.
    assert_eq!(bench.mended(), ["bucket"]);
    let told = sandbox.run(&["verify", "shop"]).expect(4);
    let told = told.stdout + &told.stderr;
    assert!(told.contains("cloud") && told.contains("nas"), "{told}");
    fs::remove_file(&in_cloud).unwrap();
    // It remembers its listings for minutes.
    bench.dav.restart();
    fs::remove_file(sandbox.path("store").join(&data)).unwrap();
    assert_eq!(bench.mended(), ["cloud", "nas"]);
    bench.are_level();
    assert!(fs::read(&in_cloud).unwrap() == whole, "not the bytes that were backed up");
    let ran = bench.restored();
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
}

#[test]
fn a_snapshot_that_one_storage_lost_is_brought_back_from_the_others() {
    let bench = backed_up();
    for (key, _) in bench.in_folder() {
        bench.bucket.delete(BUCKET, &key);
    }
    assert!(!bench.sandbox.ok(&["--json", "list", "shop", "--storage", "cloud"]).is_empty());
    assert_eq!(bench.sandbox.ok(&["--json", "list", "shop", "--storage", "bucket"]), "");
    bench.restored();
    bench
        .sandbox
        .run(&["copy", "shop", "--from", "cloud", "--to", "bucket"])
        .expect(0)
        .prints("Copied shop@");
    bench.are_level();
}

#[test]
fn what_a_web_server_shows_is_copied_home_and_restored_from_there() {
    let (web, sandbox) = (Web::rclone(), Sandbox::new());
    drop(database(&sandbox.path("shop.db"), "delete", 100));
    let before = rows(&sandbox.path("shop.db"));
    let publish = |root: &Path| {
        sandbox.config(&format!(
            "[source.shop]\nplugin = \"sqlite\"\npath = \"shop.db\"\n\
             [storage.nas]\nplugin = \"fs\"\nroot = \"{}\"\n[storage.web]\nplugin = \"http\"\nurl = \"{}\"\nuser = \"{}\"\n\
             password = \"{}\"\n[pipeline.shop]\nsource = \"shop\"\nfilters = [\"zstd\"]\nstorage = [\"nas\"]\n",
            root.display(),
            web.url(),
            Web::USER,
            Web::PASSWORD
        ));
    };
    publish(&web.folder());
    sandbox.ok(&["backup", "shop"]);
    publish(&sandbox.path("store"));
    assert_eq!(sandbox.files("store"), [""; 0]);
    sandbox.run(&["copy", "shop", "--from", "web", "--to", "nas"]).expect(0).prints("Copied shop@");
    let copied = sandbox.files("store");
    assert_eq!(copied.len(), 4, "{copied:?}");
    for file in &copied {
        let read = |root: &Path| fs::read(root.join(file)).unwrap();
        assert!(read(&sandbox.path("store")) == read(&web.folder()), "`{file}` differs");
    }
    // The web server is needed no more.
    fs::remove_dir_all(web.folder()).unwrap();
    fs::remove_file(sandbox.path("shop.db")).unwrap();
    sandbox.ok(&["verify", "shop", "--full"]);
    sandbox.ok(&["restore", "shop", "--yes"]);
    assert_eq!(rows(&sandbox.path("shop.db")), before);
    // And nothing is ever copied to it.
    sandbox.run(&["copy", "shop", "--from", "nas", "--to", "web"]).expect(2).says("it can only be read");
}
