//! TLS, object lock, and versions: what a server must be set up for.

mod common;

use bytes::Bytes;
use common::{Room, finished, noise, read, server, storage};
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::SignRequest;
use serde_json::json;
use windlass_object::{Http, HttpOptions};
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};
use windlass_test_servers::Seaweed;

/// One request of the administrator's; status and body.
fn admin(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut request =
            http::Request::builder().method(method).uri(format!("{}{path}", server().endpoint()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) =
            request.header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").body(()).unwrap().into_parts();
        let credential = Credential {
            access_key_id: Seaweed::ADMIN.id.to_owned(),
            secret_access_key: Seaweed::ADMIN.secret.to_owned(),
            ..Credential::default()
        };
        let signer = RequestSigner::new("s3", "us-east-1");
        signer
            .sign_request(&reqsign_core::Context::new(), &mut parts, Some(&credential), None)
            .await
            .unwrap();
        let patience = std::time::Duration::from_secs(60);
        let http = Http::new(HttpOptions {
            ca_file: None,
            connect_timeout: patience,
            timeout: patience,
            plain: true,
        });
        let answer = http.send(http::Request::from_parts(parts, Bytes::from(body.to_owned()))).await.unwrap();
        (answer.status.as_u16(), answer.text().await.unwrap())
    })
}

#[test]
fn locked_objects_stay_and_deleting_them_only_hides_them() {
    let lock = [("x-amz-bucket-object-lock-enabled", "true")];
    let (status, body) = admin("PUT", "/locked", &lock, "");
    assert_eq!(status, 200, "{body}");
    let room = Room::new();
    let host = room.host();
    let mut options = room.options();
    options["bucket"] = "locked".into();
    options["prefix"] = "p".into();
    options["object_lock"] = json!({ "mode": "governance", "days": 2 });
    let storage = storage(options, &host);
    let cx = host.context();
    for (key, bytes) in [("small", noise(1000)), ("large", noise(20 * 1024 * 1024))] {
        let stored = finished(&storage, &host, key, &bytes).unwrap().publish().unwrap();
        assert!(read(&storage, &host, key).unwrap() == bytes);
        let version = stored.version.expect("a bucket with object lock has versions");
        let (status, told) = admin("GET", &format!("/locked/p/{key}?retention"), &[], "");
        assert!(status == 200 && told.contains("GOVERNANCE"), "{key}: {told}");
        let (status, told) = admin("DELETE", &format!("/locked/p/{key}?versionId={version}"), &[], "");
        assert_eq!(status, 403, "{key} isn't locked: {told}");
        // What `prune` does: it goes well, and the version stays.
        storage.delete(&cx, &[key.to_owned()]).unwrap().remove(0).unwrap();
        assert_eq!(storage.stat(&cx, key).unwrap(), None);
        let (status, _) = admin("GET", &format!("/locked/p/{key}?versionId={version}"), &[], "");
        assert_eq!(status, 200, "{key}: the version is gone");
    }
    assert_eq!(storage.list(&cx, &ListOptions::default()).unwrap().entries, []);
}

#[test]
fn a_private_authority_is_named_and_no_other_is_trusted() {
    let issued =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let server = Seaweed::start_tls(&issued.cert.pem(), &issued.signing_key.serialize_pem());
    server.make_bucket("acme");
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, issued.cert.pem()).unwrap();
    let room = Room::new();
    let host = room.host();
    let mut options = room.options_at(&server.endpoint());
    options["bucket"] = "acme".into();
    let stranger = storage(options.clone(), &host);
    let error = stranger.list(&host.context(), &ListOptions::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.hint.unwrap().contains("ca_file"));
    options["ca_file"] = ca_file.to_str().unwrap().into();
    let storage = storage(options, &host);
    let bytes = noise(20 * 1024 * 1024);
    finished(&storage, &host, "a", &bytes).unwrap().publish().unwrap();
    assert!(read(&storage, &host, "a").unwrap() == bytes);
}
