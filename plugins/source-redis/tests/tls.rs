//! TLS: whom we trust, and who we are.

mod common;

use std::fs;
use std::path::Path;

use common::{assert_same, backup, fill, fingerprint, restore};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use windlass_plugin_api::{ErrorKind, RestoreMode};
use windlass_test_servers::Redis as Server;

/// Writes an authority, and a certificate with its key for each of `names`, signed by it.
fn certificates(folder: &Path, authority: &str, names: &[&str]) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    fs::write(folder.join(authority), params.self_signed(&key).unwrap().pem()).unwrap();
    let issuer = Issuer::new(params, key);
    for name in names {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![(*name).to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, *name);
        fs::write(folder.join(format!("{name}.crt")), params.signed_by(&key, &issuer).unwrap().pem())
            .unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[test]
fn both_sides_know_each_other_or_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    certificates(folder.path(), "ca.crt", &["127.0.0.1", "client"]);
    certificates(folder.path(), "stranger.crt", &["stranger"]);
    let (cert, key, ca) = (file("127.0.0.1.crt"), file("127.0.0.1.key"), file("ca.crt"));
    let start = || {
        Server::start_with(&[
            "--port",
            "0",
            "--tls-port",
            "{port}",
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--repl-diskless-sync-delay",
            "0",
        ])
    };
    let (from, to) = (start(), start());
    fill(&from);
    let with = |server: &Server, more: Value| {
        let mut options = json!({
            "url": format!("rediss://127.0.0.1:{}", server.port()),
            "ca_file": ca, "cert_file": file("client.crt"), "key_file": file("client.key"),
        });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    let taken = backup(&with(&from, json!({}))).unwrap();
    restore(&with(&to, json!({})), &taken, RestoreMode::Fail).unwrap();
    assert_same(&fingerprint(&to), &fingerprint(&from));
    let strangers = [
        json!({ "ca_file": file("stranger.crt") }),
        json!({ "ca_file": null }),
        json!({ "tls_server_name": "db.example" }),
        json!({ "cert_file": null, "key_file": null }),
        json!({ "cert_file": file("stranger.crt"), "key_file": file("stranger.key") }),
    ];
    for more in strangers {
        backup(&with(&from, more.clone())).map(|_| ()).expect_err(&more.to_string());
    }
    let error = backup(&with(&from, json!({ "ca_file": file("stranger.crt") }))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    // Without TLS that port says nothing.
    backup(&json!({ "port": from.port() })).unwrap_err();
    let wrong = common::source_error(&json!({ "port": 1, "ca_file": ca }));
    assert_eq!(wrong.kind, ErrorKind::Config, "{wrong}");
}
