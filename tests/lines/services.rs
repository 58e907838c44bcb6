//! The services behind lines, what their requests do, and a read-only web server with them.

use windlass_test_servers::{
    Asked, Azurite, B2Double, Dav, DriveDouble, DropboxDouble, FakeGcs, OneDriveDouble, S3Double, Said,
    Seaweed, Web,
};

use super::Does::{self, Delete, List, Read, Store};
use super::{Line, line, port_of};

fn has(asked: &Asked, word: &str) -> bool {
    asked.path.contains(word)
}

fn of_s3(asked: &Asked) -> Option<Does> {
    match asked.method.as_str() {
        "PUT" => Some(Store),
        "GET" if has(asked, "list-type=2") => Some(List),
        "GET" if !has(asked, "uploads=") => Some(Read),
        "DELETE" => Some(Delete),
        "POST" if has(asked, "?delete") => Some(Delete),
        _ => None,
    }
}

pub fn s3() -> Line {
    let server = Seaweed::start();
    server.make_bucket("backups");
    let (double, faults) = line(server.port(), of_s3);
    let storage = format!(
        "plugin = \"s3\"\nbucket = \"backups\"\nprefix = \"acme\"\npreset = \"seaweedfs\"\nendpoint = \"{}\"\n\
         access_key_id = \"{}\"\nsecret_access_key = {{ env = \"SECRET\" }}\n",
        double.endpoint(),
        Seaweed::ADMIN.id
    );
    let (secret, expired) = (Seaweed::ADMIN.secret, None);
    Line {
        name: "s3",
        reads: &["data", "manifest.json"],
        storage,
        secret,
        faults,
        expired,
        _server: Box::new((server, double)),
    }
}

/// As Amazon lists, with keys of a role: another token each time that it is asked for.
pub fn amazon() -> Line {
    let server = S3Double::start();
    let (double, faults) = line(port_of(server.endpoint()), of_s3);
    let storage = format!(
        "plugin = \"s3\"\nbucket = \"{}\"\nprefix = \"acme\"\nendpoint = \"{}\"\naccess_key_id = \"ASIAROLE\"\n\
         secret_access_key = {{ env = \"SECRET\" }}\nsession_token = {{ command = [\"sh\", \"-c\", \"echo token.$$\"] }}\n",
        S3Double::BUCKET,
        double.endpoint()
    );
    Line {
        name: "amazon",
        reads: &["data", "manifest.json"],
        storage,
        secret: "hunter2-of-the-role",
        faults,
        expired: Some(S3Double::refusal(400, "ExpiredToken")),
        _server: Box::new((server, double)),
    }
}

fn of_azure(asked: &Asked) -> Option<Does> {
    match asked.method.as_str() {
        "PUT" => Some(Store),
        "GET" if has(asked, "comp=list") => Some(List),
        "GET" => Some(Read),
        "DELETE" => Some(Delete),
        _ => None,
    }
}

pub fn azure() -> Line {
    let server = Azurite::start();
    server.make_container("backups");
    let (double, faults) = line(server.port(), of_azure);
    let storage = format!(
        "plugin = \"azblob\"\ncontainer = \"backups\"\nprefix = \"acme\"\nendpoint = \"{}/{}\"\naccount = \"{1}\"\n\
         account_key = {{ env = \"SECRET\" }}\n",
        double.endpoint(),
        Azurite::ACCOUNT
    );
    Line {
        name: "azure",
        reads: &["data", "manifest.json"],
        storage,
        secret: Azurite::KEY,
        faults,
        expired: None,
        _server: Box::new((server, double)),
    }
}

fn of_google(asked: &Asked) -> Option<Does> {
    match asked.method.as_str() {
        "POST" if has(asked, "/upload/") => Some(Store),
        "GET" if has(asked, "alt=media") => Some(Read),
        "GET" if has(asked, "/o?") => Some(List),
        "DELETE" => Some(Delete),
        _ => None,
    }
}

pub fn google() -> Line {
    let server = FakeGcs::start();
    server.make_bucket("backups");
    let (double, faults) = line(server.port(), of_google);
    // Another token each time that it is asked for.
    let storage = format!(
        "plugin = \"gcs\"\nbucket = \"backups\"\nprefix = \"acme\"\nendpoint = \"{}\"\n\
         access_token = {{ command = [\"sh\", \"-c\", \"echo $SECRET.$$\"] }}\n",
        double.endpoint()
    );
    Line {
        name: "google",
        reads: &["data", "manifest.json"],
        storage,
        secret: "ya29.t",
        faults,
        expired: Some(Said::status(401)),
        _server: Box::new((server, double)),
    }
}

fn of_webdav(asked: &Asked) -> Option<Does> {
    match asked.method.as_str() {
        "PUT" => Some(Store),
        "PROPFIND" if asked.header("depth") == "1" => Some(List),
        "GET" => Some(Read),
        "DELETE" => Some(Delete),
        _ => None,
    }
}

pub fn webdav() -> Line {
    let server = Dav::start();
    let (double, faults) = line(server.port(), of_webdav);
    let storage = format!(
        "plugin = \"webdav\"\nurl = \"{}\"\nprefix = \"acme\"\nuser = \"{}\"\npassword = {{ env = \"SECRET\" }}\n",
        double.endpoint(),
        Dav::USER
    );
    Line {
        name: "webdav",
        reads: &["data", "manifest.json"],
        storage,
        secret: Dav::PASSWORD,
        faults,
        expired: None,
        _server: Box::new((server, double)),
    }
}

fn of_backblaze(asked: &Asked) -> Option<Does> {
    match asked.path.split('?').next().unwrap_or_default().trim_start_matches("/b2api/v3/") {
        path if path.starts_with("b2_upload_file") => Some(Store),
        "b2_list_file_names" => Some(List),
        "b2_delete_file_version" | "b2_hide_file" => Some(Delete),
        path if path.starts_with("/file/") || path.starts_with("b2_download") => Some(Read),
        _ => None,
    }
}

pub fn backblaze() -> Line {
    let server = B2Double::start();
    let (double, faults) = line(port_of(server.endpoint()), of_backblaze);
    server.stand_behind(double.endpoint());
    let storage = format!(
        "plugin = \"b2\"\nbucket = \"{}\"\nprefix = \"acme\"\nendpoint = \"{}\"\nkey_id = \"{}\"\n\
         application_key = {{ env = \"SECRET\" }}\n",
        B2Double::BUCKET,
        double.endpoint(),
        B2Double::KEY_ID
    );
    let expired = Some(B2Double::refusal(401, "expired_auth_token"));
    Line {
        name: "backblaze",
        reads: &["data", "manifest.json"],
        storage,
        secret: B2Double::KEY,
        faults,
        expired,
        _server: Box::new((server, double)),
    }
}

fn of_drive(asked: &Asked) -> Option<Does> {
    match asked.method.as_str() {
        "POST" if has(asked, "/upload/") => Some(Store),
        "GET" if has(asked, "alt=media") => Some(Read),
        // Others look for one file, or for the folder.
        "GET" if has(asked, "/files?") && !has(asked, "name%20%3D") && !has(asked, "name+%3D") => Some(List),
        "DELETE" => Some(Delete),
        _ => None,
    }
}

pub fn drive() -> Line {
    let server = DriveDouble::start();
    let (double, faults) = line(port_of(server.endpoint()), of_drive);
    server.stand_behind(double.endpoint());
    let storage = format!(
        "plugin = \"gdrive\"\nfolder = \"Backups/acme\"\nendpoint = \"{0}\"\nlogin_url = \"{0}/token\"\nclient_id = \"{1}\"\n\
         client_secret = \"{2}\"\nrefresh_token = {{ env = \"SECRET\" }}\n",
        double.endpoint(),
        DriveDouble::CLIENT_ID,
        DriveDouble::CLIENT_SECRET
    );
    let (secret, expired) = (DriveDouble::REFRESH_TOKEN, Some(DriveDouble::refusal(401, "authError")));
    Line {
        name: "drive",
        reads: &[""],
        storage,
        secret,
        faults,
        expired,
        _server: Box::new((server, double)),
    }
}

fn of_dropbox(asked: &Asked) -> Option<Does> {
    match DropboxDouble::call(asked) {
        "upload" => Some(Store),
        "list_folder" | "list_folder/continue" => Some(List),
        "download" => Some(Read),
        "delete_v2" | "delete_batch" => Some(Delete),
        _ => None,
    }
}

pub fn dropbox() -> Line {
    let server = DropboxDouble::start();
    let (double, faults) = line(port_of(server.endpoint()), of_dropbox);
    let storage = format!(
        "plugin = \"dropbox\"\nprefix = \"Backups/acme\"\nendpoint = \"{}\"\nclient_id = \"{}\"\n\
         refresh_token = {{ env = \"SECRET\" }}\n",
        double.endpoint(),
        DropboxDouble::CLIENT_ID
    );
    let expired = DropboxDouble::refusal(401, serde_json::json!({ ".tag": "expired_access_token" }));
    let (secret, expired) = (DropboxDouble::REFRESH_TOKEN, Some(expired));
    Line {
        name: "dropbox",
        reads: &["data", "manifest.json"],
        storage,
        secret,
        faults,
        expired,
        _server: Box::new((server, double)),
    }
}

fn of_onedrive(asked: &Asked) -> Option<Does> {
    match OneDriveDouble::call(asked) {
        "store" => Some(Store),
        "children" => Some(List),
        "content" => Some(Read),
        "delete" => Some(Delete),
        _ => None,
    }
}

pub fn onedrive() -> Line {
    let server = OneDriveDouble::start();
    let (double, faults) = line(port_of(server.endpoint()), of_onedrive);
    let storage = format!(
        "plugin = \"onedrive\"\nprefix = \"Backups/acme\"\nendpoint = \"{0}\"\nlogin_endpoint = \"{0}\"\n\
         client_id = \"{1}\"\nrefresh_token = {{ env = \"SECRET\" }}\n",
        double.endpoint(),
        OneDriveDouble::CLIENT_ID
    );
    let expired = Some(OneDriveDouble::refusal(401, "InvalidAuthenticationToken"));
    let secret = OneDriveDouble::REFRESH_TOKEN;
    Line {
        name: "onedrive",
        reads: &[""],
        storage,
        secret,
        faults,
        expired,
        _server: Box::new((server, double)),
    }
}

/// A folder that others have filled, and the line to it.
pub fn web() -> (Web, Line) {
    let server = Web::rclone();
    let (double, faults) = line(port_of(&server.url()), |asked| match asked.path.ends_with('/') {
        true => Some(List),
        false => Some(Read),
    });
    let storage = format!(
        "plugin = \"http\"\nurl = \"{}\"\nuser = \"{}\"\npassword = {{ env = \"SECRET\" }}\n",
        double.endpoint(),
        Web::USER
    );
    (
        server,
        Line {
            name: "web",
            reads: &["data", "manifest.json"],
            storage,
            secret: Web::PASSWORD,
            faults,
            expired: None,
            _server: Box::new(double),
        },
    )
}
