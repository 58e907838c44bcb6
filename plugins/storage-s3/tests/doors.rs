//! TLS, and what a bucket demands of whoever stores over it.

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::tls::Tls;
use common::{Room, finished, noise, read, storage};
use md5::{Digest, Md5};
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};
use windlass_test_servers::{Asked, Double, Said, Seaweed};

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

/// What S3 says of a bucket that locks objects by default, where something is to be stored without a checksum.
fn demanding(asked: &Asked) -> Said {
    let demanded = "<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for \
                    Put Object requests with Object Lock parameters</Message></Error>";
    match asked.method.as_str() {
        "PUT" if asked.header("content-md5") != BASE64.encode(Md5::digest(&asked.body)) => {
            Said::status(400).body(demanded)
        }
        "PUT" => Said::status(200).header("etag", "\"1\""),
        "POST" if asked.path.contains("uploads") => Said::status(200)
            .body("<InitiateMultipartUploadResult><UploadId>7</UploadId></InitiateMultipartUploadResult>"),
        _ => Said::status(200)
            .body("<CompleteMultipartUploadResult><ETag>2</ETag></CompleteMultipartUploadResult>"),
    }
}

/// Nothing tells beforehand that a bucket locks by default; the option `object_lock` isn't set.
#[test]
fn a_bucket_that_locks_by_default_gets_a_checksum_with_small_objects_and_with_parts_under_tls_too() {
    let double = Double::start(demanding);
    let door = Tls::before(double.endpoint().rsplit_once(':').unwrap().1.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, &door.certificate).unwrap();
    let room = Room::new();
    let host = room.host();
    let mut options = room.options_at(&door.endpoint());
    options["ca_file"] = ca_file.to_str().unwrap().into();
    let storage = storage(options, &host);
    for length in [1000, 12 * 1024 * 1024] {
        finished(&storage, &host, "a", &noise(length)).unwrap().publish().unwrap();
    }
    assert_eq!(double.asked().iter().filter(|asked| asked.method == "PUT").count(), 3);
}
