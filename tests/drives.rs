//! The drives of people, through the binary and doubles of the services: Google Drive, Dropbox and OneDrive keep a backup, list it,
//! prove it and give it back; wrong credentials are told; what a killed run has left goes with the next one.

mod common;

use common::far::{Service, example, failed_and_killed, there_and_back, wrong};
use common::{Sandbox, age_key};
use windlass_test_servers::{DriveDouble, DropboxDouble, OneDriveDouble};

impl Service for DriveDouble {
    fn storage(&self) -> String {
        format!(
            "plugin = \"gdrive\"\nfolder = \"Backups/acme\"\nendpoint = \"{}\"\nlogin_url = \"{}\"\nclient_id = \"{}\"\n\
             client_secret = \"{}\"\nrefresh_token = {{ env = \"SECRET\" }}\npart_size = 4\n",
            self.endpoint(),
            self.token_url(),
            Self::CLIENT_ID,
            Self::CLIENT_SECRET
        )
    }
    fn secret(&self) -> String {
        Self::REFRESH_TOKEN.to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state().object(key)
    }
    fn half_uploads(&self) -> usize {
        self.state().open_sessions()
    }
}

impl Service for DropboxDouble {
    fn storage(&self) -> String {
        format!(
            "plugin = \"dropbox\"\nprefix = \"Backups/acme\"\nendpoint = \"{}\"\nclient_id = \"{}\"\n\
             refresh_token = {{ env = \"SECRET\" }}\npart_size = 4\n",
            self.endpoint(),
            Self::CLIENT_ID
        )
    }
    fn secret(&self) -> String {
        Self::REFRESH_TOKEN.to_owned()
    }
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        self.state().object(&format!("/Backups/acme/{key}"))
    }
    fn half_uploads(&self) -> usize {
        self.state().sessions.len()
    }
}

impl Service for OneDriveDouble {
    fn storage(&self) -> String {
        format!(
            "plugin = \"onedrive\"\nprefix = \"Backups/acme\"\nendpoint = \"{0}\"\nlogin_endpoint = \"{0}\"\n\
             client_id = \"{1}\"\nrefresh_token = {{ env = \"SECRET\" }}\npart_size = 4\n",
            self.endpoint(),
            Self::CLIENT_ID
        )
    }
    fn secret(&self) -> String {
        Self::REFRESH_TOKEN.to_owned()
    }
    /// A large one is a folder of parts.
    fn object(&self, key: &str) -> Option<Vec<u8>> {
        let mut state = self.state();
        let parts = format!("/Backups/acme/{key}.parts/");
        let paths: Vec<String> = state.paths().into_iter().filter(|path| path.starts_with(&parts)).collect();
        (!paths.is_empty()).then(|| paths.iter().flat_map(|path| state.bytes(path).clone()).collect())
    }
    fn half_uploads(&self) -> usize {
        self.state().folders().iter().filter(|path| path.contains("/.windlass-upload-")).count()
    }
}

#[test]
fn a_folder_in_google_drive_keeps_a_backup_and_gives_it_back() {
    there_and_back(&DriveDouble::start());
}

#[test]
fn a_dropbox_keeps_a_backup_and_gives_it_back() {
    there_and_back(&DropboxDouble::start());
}

#[test]
fn a_onedrive_keeps_a_backup_and_gives_it_back() {
    there_and_back(&OneDriveDouble::start());
}

#[test]
fn wrong_credentials_are_told_at_once_with_what_to_do() {
    wrong(&DriveDouble::start(), "hunter2-is-not-it", "refresh token");
    wrong(&DropboxDouble::start(), "hunter2-is-not-it", "refresh token");
    wrong(&OneDriveDouble::start(), "hunter2-is-not-it", "refresh token");
}

#[test]
fn folders_of_parts_of_a_killed_run_go_with_the_next_one() {
    failed_and_killed(&OneDriveDouble::start());
}

#[test]
fn the_examples_are_backed_up_listed_and_restored() {
    let drive = DriveDouble::start();
    let folder = format!(
        "folder = \"Backups/servers\"\nendpoint = \"{}\"\nlogin_url = \"{}\"",
        drive.endpoint(),
        drive.token_url()
    );
    let secrets = [("drive-client", DriveDouble::CLIENT_SECRET), ("drive-token", DriveDouble::REFRESH_TOKEN)];
    example("gdrive", &secrets, &[("folder = \"Backups/servers\"", folder)], ("NOBODY", ""));
    let folder = Sandbox::new();
    let (private, public) = age_key(&folder, "key.txt");
    let decode = format!("[decode.age]\nidentity_files = [\"{}\"]\n\n[pipeline.shop]", private.display());
    let keys = [
        ("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", public),
        ("[pipeline.shop]", decode),
    ];
    let dropbox = DropboxDouble::start();
    let there = [
        ("k3y0f7h3app1234", DropboxDouble::CLIENT_ID.to_owned()),
        (
            "prefix        = \"servers\"",
            format!("prefix = \"servers\"\nendpoint = \"{}\"", dropbox.endpoint()),
        ),
    ];
    example(
        "dropbox",
        &[("dropbox-token", DropboxDouble::REFRESH_TOKEN)],
        &[&there[..], &keys].concat(),
        ("NOBODY", ""),
    );
    let onedrive = OneDriveDouble::start();
    let there = [
        ("00001111-aaaa-2222-bbbb-3333cccc4444", OneDriveDouble::CLIENT_ID.to_owned()),
        (
            "prefix        = \"servers\"",
            format!(
                "prefix = \"servers\"\nendpoint = \"{0}\"\nlogin_endpoint = \"{0}\"",
                onedrive.endpoint()
            ),
        ),
    ];
    example(
        "onedrive",
        &[("onedrive-token", OneDriveDouble::REFRESH_TOKEN)],
        &[&there[..], &keys].concat(),
        ("NOBODY", ""),
    );
}
