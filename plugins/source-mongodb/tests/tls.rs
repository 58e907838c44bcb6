//! TLS: the server's certificate is judged, and ours is shown where it is asked for.

mod common;

use std::fs;
use std::path::Path;

use common::{backup, how, of_mongodump, restore};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;
use windlass_plugin_api::{ErrorKind, RestoreMode};
use windlass_test_servers::Mongo;

/// An authority, and a certificate of it for the server and one for us, in `folder`.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new([]).unwrap();
    // Of one name with those it signs it would look as if they had signed themselves.
    authority.distinguished_name.push(DnType::CommonName, "the tests' authority");
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    for (name, purpose) in
        [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
    {
        let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap().pem();
        fs::write(folder.join(format!("{name}.crt")), &certificate).unwrap();
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate + &key.serialize_pem()).unwrap();
    }
}

#[test]
fn a_server_is_judged_by_its_certificate_and_judges_ours() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (crt, key, ca) = (at("server.crt"), at("server.key"), at("ca.pem"));
    let server = Mongo::start_with(&[
        "--tls-cert-file",
        &crt,
        "--tls-key-file",
        &key,
        "--tls-ca-file",
        &ca,
        "--tls-require-client-cert",
    ]);
    let mut options = json!({
        "host": "127.0.0.1", "port": server.port(), "database": "shop", "connect_timeout": 5,
        "tls": true, "tls_ca": ca, "tls_cert_key": at("client.pem"),
    });
    restore(&options, &of_mongodump(), &how(RestoreMode::Fail, &[])).unwrap();
    let (_, contents) = backup(&options).unwrap();
    assert_eq!(contents.details["collections"].as_array().unwrap().len(), 8);
    for (option, value) in [("tls_cert_key", json!(null)), ("tls_ca", json!(null))] {
        let kept = std::mem::replace(&mut options[option], value);
        let error = backup(&options).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "without {option}: {error:?}");
        options[option] = kept;
    }
    let plain =
        json!({ "host": "127.0.0.1", "port": server.port(), "database": "shop", "connect_timeout": 2 });
    assert_eq!(backup(&plain).unwrap_err().kind, ErrorKind::Unavailable);
}
