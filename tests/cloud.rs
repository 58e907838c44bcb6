//! Azure Blob Storage, Google Cloud Storage, Backblaze B2 and WebDAV through the binary and the servers of
//! `tests/servers`: a backup is stored where any tool finds it, listed, proved and restored; wrong credentials are told; what
//! a killed run has left goes with the next one.

mod common;

use std::fs;

use common::far::{SHOP, Service, config, example, failed_and_killed, run, there_and_back, wrong};
use common::{Ran, Sandbox, database};
use windlass_test_servers::{Azurite, B2Double, Dav, Double, FakeGcs, Said};

const PLACE: &str = "backups";

struct Azure(Azurite);
struct Google(FakeGcs);
struct Folder(Dav);

impl Azure {
    fn start() -> Self {
        let server = Azurite::start();
        server.make_container(PLACE);
        Self(server)
    }
}

impl Google {
    fn start() -> Self {
        let server = FakeGcs::start();
        server.make_bucket(PLACE);
        Self(server)
    }
}

impl Service for Azure {
    fn storage(&self) -> String {
        format!(
            "plugin = \"azblob\"\ncontainer = \"{PLACE}\"\nprefix = \"acme\"\nendpoint = \"{}\"\naccount = \"{}\"\n\
             account_key = {{ env = \"SECRET\" }}\npart_size = 4\n",
            self.0.endpoint(),
            Azurite::ACCOUNT
        )
    }
    fn secret(&self) -> String {
        Azurite::KEY.to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.0.object(PLACE, &format!("acme/{key}"))
    }
    fn half_uploads(&self) -> usize {
        self.0.half_uploads(PLACE)
    }
}

impl Service for Google {
    /// The emulator takes any token.
    fn storage(&self) -> String {
        format!(
            "plugin = \"gcs\"\nbucket = \"{PLACE}\"\nprefix = \"acme\"\nendpoint = \"{}\"\n\
             access_token = {{ env = \"SECRET\" }}\npart_size = 4\n",
            self.0.endpoint()
        )
    }
    fn secret(&self) -> String {
        "ya29.a-token".to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.0.object(PLACE, &format!("acme/{key}"))
    }
    /// Nobody can list them.
    fn half_uploads(&self) -> usize {
        0
    }
}

impl Service for B2Double {
    fn storage(&self) -> String {
        format!(
            "plugin = \"b2\"\nbucket = \"{}\"\nprefix = \"acme\"\nendpoint = \"{}\"\nkey_id = \"{}\"\n\
             application_key = {{ env = \"SECRET\" }}\npart_size = 5\n",
            Self::BUCKET,
            self.endpoint(),
            Self::KEY_ID
        )
    }
    fn secret(&self) -> String {
        Self::KEY.to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state().object(&format!("acme/{key}"))
    }
    fn half_uploads(&self) -> usize {
        self.state().unfinished()
    }
}

impl Service for Folder {
    fn storage(&self) -> String {
        format!(
            "plugin = \"webdav\"\nurl = \"{}\"\nprefix = \"acme\"\nuser = \"{}\"\npassword = {{ env = \"SECRET\" }}\n",
            self.0.endpoint(),
            Dav::USER
        )
    }
    fn secret(&self) -> String {
        Dav::PASSWORD.to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        fs::read(self.0.folder().join("acme").join(key)).ok()
    }
    /// A small file is sent whole when it is published.
    fn begins_with(&self) -> usize {
        30_000_000
    }
    fn half_uploads(&self) -> usize {
        let mut open = vec![self.0.folder()];
        let mut count = 0;
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    true => open.push(entry.path()),
                    false => {
                        count +=
                            usize::from(entry.file_name().to_string_lossy().starts_with(".windlass-upload-"))
                    }
                }
            }
        }
        count
    }
}

#[test]
fn azure_keeps_a_backup_and_gives_it_back() {
    there_and_back(&Azure::start());
}

#[test]
fn google_keeps_a_backup_and_gives_it_back() {
    there_and_back(&Google::start());
}

#[test]
fn backblaze_keeps_a_backup_and_gives_it_back() {
    there_and_back(&B2Double::start());
}

#[test]
fn a_webdav_folder_keeps_a_backup_and_gives_it_back() {
    there_and_back(&Folder(Dav::start()));
}

#[test]
fn wrong_credentials_are_told_at_once_with_what_to_do() {
    wrong(&Azure::start(), "aHVudGVyMi1pcy1ub3QtaXQtYXQtYWxsLXJlYWxseQ==", "account_key");
    wrong(&Folder(Dav::start()), "hunter2-is-not-it", "password");
    wrong(&B2Double::start(), "hunter2-is-not-it", "application_key");
}

#[test]
fn blocks_of_a_killed_run_go_with_the_next_one() {
    failed_and_killed(&Azure::start());
}

#[test]
fn large_files_of_a_killed_run_go_with_the_next_one() {
    failed_and_killed(&B2Double::start());
}

#[test]
fn hidden_files_of_a_killed_run_go_with_the_next_one() {
    failed_and_killed(&Folder(Dav::start()));
}

#[test]
fn a_storage_needs_no_config_but_a_url_and_the_environment() {
    let (azure, sandbox) = (Azure::start(), Sandbox::new());
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    config(&sandbox, &azure, SHOP);
    run(&sandbox, &azure.secret(), &["backup", "shop"]).expect(0);
    let mut list = sandbox.command(&["--json", "list", "--all-hosts", "--storage", "azblob:backups/acme"]);
    let string = format!(
        "AccountName={};AccountKey={};BlobEndpoint={}",
        Azurite::ACCOUNT,
        Azurite::KEY,
        azure.0.endpoint()
    );
    list.env("AZURE_STORAGE_CONNECTION_STRING", string);
    assert!(Ran::of(list.output().unwrap()).expect(0).stdout.contains("\"snapshot\""));
    let mut list = sandbox.command(&["--json", "list", "--all-hosts", "--storage", "azblob:backups/acme"]);
    list.env("AZURE_STORAGE_CONNECTION_STRING", format!("BlobEndpoint={}", azure.0.endpoint()));
    list.env("AZURE_STORAGE_SAS_TOKEN", azure.0.sas("rl"));
    assert!(Ran::of(list.output().unwrap()).expect(0).stdout.contains("\"snapshot\""));
}

#[test]
fn a_bucket_of_backblaze_needs_no_config_but_a_url_and_the_environment() {
    let (backblaze, sandbox) = (B2Double::start(), Sandbox::new());
    drop(database(&sandbox.path("shop.db"), "delete", 10));
    config(&sandbox, &backblaze, SHOP);
    run(&sandbox, &backblaze.secret(), &["backup", "shop"]).expect(0);
    let url = format!("b2:{}/acme?endpoint={}", B2Double::BUCKET, backblaze.endpoint());
    let list = |json: &[&str], key: &str| {
        let mut list = sandbox.command(&[json, &["list", "--all-hosts", "--storage", &url]].concat());
        list.env("B2_APPLICATION_KEY_ID", B2Double::KEY_ID).env("B2_APPLICATION_KEY", key);
        Ran::of(list.output().unwrap())
    };
    assert!(list(&["--json"], B2Double::KEY).expect(0).stdout.contains("\"snapshot\""));
    list(&[], "").expect(1).says("B2_APPLICATION_KEY_ID");
}

#[test]
fn the_examples_are_backed_up_listed_and_restored() {
    let (azure, google, folder) = (Azure::start(), Google::start(), Dav::start());
    let account = format!("account = \"{}\"\nendpoint = \"{}\"", Azurite::ACCOUNT, azure.0.endpoint());
    let there = [("account   = \"acmebackups\"", account), ("\"web1\"", format!("\"{PLACE}\""))];
    example("azblob", &[], &there, ("AZURE_STORAGE_KEY", Azurite::KEY));
    let bucket = format!("bucket = \"{PLACE}\"\nanonymous = true\nendpoint = \"{}\"", google.0.endpoint());
    example("gcs", &[], &[("bucket = \"acme-backups\"", bucket)], ("NOBODY", ""));
    let there = [
        ("https://cloud.example/remote.php/dav/files/me/backups", folder.endpoint()),
        ("\"me\"", format!("\"{}\"", Dav::USER)),
    ];
    example("webdav", &[("cloud-password", Dav::PASSWORD)], &there, ("NOBODY", ""));
    let backblaze = B2Double::start();
    let there = ("delete = \"hide\"", format!("delete = \"hide\"\nendpoint = \"{}\"", backblaze.endpoint()));
    example("b2", &[("b2-key", B2Double::KEY)], &[there], ("NOBODY", ""));
}

#[test]
fn a_webdav_folder_that_is_named_by_a_url_asks_for_a_login() {
    let (server, sandbox) = (Dav::start(), Sandbox::new());
    let url = format!("webdav:{}?prefix=acme", server.endpoint());
    let ran = sandbox.run(&["list", "--all-hosts", "--storage", &url]).expect(1);
    ran.says("401").says("hint: Look at `user` and `password`");
}

/// The metadata service of the machine gives a token, and the storage takes nothing else.
#[test]
fn the_identity_of_the_machine_is_enough() {
    let double = Double::start(|asked| match (asked.path.as_str(), asked.header("authorization")) {
        (path, _) if path.starts_with("/computeMetadata/v1/instance/service-accounts/default/token") => {
            assert_eq!(asked.header("metadata-flavor"), "Google");
            Said::status(200)
                .body(r#"{"access_token":"of-the-machine","expires_in":3600,"token_type":"Bearer"}"#)
        }
        (path, _) if path.starts_with("/imds") => {
            assert_eq!(asked.header("metadata"), "true");
            Said::status(200).body(r#"{"access_token":"of-the-machine","expires_on":"4102444800"}"#)
        }
        (path, "Bearer of-the-machine") if path.starts_with("/storage/v1/") => Said::status(200).body("{}"),
        (_, "Bearer of-the-machine") => {
            Said::status(200).body("<EnumerationResults><Blobs/></EnumerationResults>")
        }
        _ => Said::status(401),
    });
    let place = double.endpoint().trim_start_matches("http://");
    let sandbox = Sandbox::new();
    for url in ["gs:backups?endpoint=http%3A%2F%2F", "azblob:backups?account=acme&endpoint=http%3A%2F%2F"] {
        let url = format!("{url}{}", place.replace(':', "%3A"));
        let mut list = sandbox.command(&["list", "--all-hosts", "--storage", &url]);
        list.env("GCE_METADATA_HOST", place)
            .env("AZURE_IMDS_ENDPOINT", format!("{}/imds", double.endpoint()));
        let ran = Ran::of(list.output().unwrap()).expect(0);
        assert!(!ran.stderr.contains("of-the-machine"), "{ran:?}");
    }
    let refused = double
        .asked()
        .into_iter()
        .filter(|asked| asked.path.contains("storage/v1") && asked.header("authorization").is_empty());
    assert_eq!(refused.count(), 0, "asked without a token");
}
