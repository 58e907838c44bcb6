//! TLS in its kinds: begun in the middle or from the first byte, versions, and servers that nobody vouches for.

mod common;

use serde_json::json;
use windlass_plugin_api::{ErrorKind, ListOptions, Storage};
use windlass_test_servers::{Pyftpd, Vsftpd};

use common::{cx, get, keys, made, options, put, refused, signed_in, with};

#[test]
fn a_port_that_speaks_tls_from_the_first_byte_on_serves_as_well() {
    let server = Vsftpd::start_with(&["implicit_ssl=YES"]);
    let storage = made(with(options(&server), json!({ "tls": "implicit" })));
    put(&storage, "a/b").unwrap();
    assert_eq!(get(&storage, "a/b").unwrap(), "bytes");
    let error = refused(with(options(&server), json!({ "connect_timeout": 1 })));
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    let other = Vsftpd::start();
    let error = refused(with(options(&other), json!({ "tls": "implicit" })));
    assert!(
        error.kind == ErrorKind::Unsupported && error.hint.as_ref().unwrap().contains("`tls`"),
        "{error:?}"
    );
}

#[test]
fn data_connections_resume_the_session_of_tls_1_3_too_however_many_there_are() {
    // For want of a key of that kind nothing is left of TLS 1.2.
    let server = Vsftpd::start_with(&["ssl_ciphers=ECDHE-RSA-AES256-GCM-SHA384"]);
    let storage = made(options(&server));
    for number in 0..20 {
        let key = format!("a/{number:02}");
        put(&storage, &key).unwrap_or_else(|error| panic!("{key}: {error}"));
        assert_eq!(get(&storage, &key).unwrap(), "bytes");
        assert_eq!(keys(&storage, ListOptions::default()).len(), number + 1);
    }
}

#[test]
fn a_server_that_nobody_vouches_for_gets_no_password() {
    let (server, other) = (Pyftpd::start(), Pyftpd::start());
    let error = refused(with(signed_in(&server), json!({ "ca_file": other.ca_file() })));
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.hint.unwrap().contains("ca_file"));
    // Nor one with another name.
    let error = refused(with(signed_in(&server), json!({ "host": "localhost" })));
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(!server.log().contains(Pyftpd::USER), "{}", server.log());
    let error = refused(with(signed_in(&server), json!({ "ca_file": "/dev/null" })));
    assert!(error.kind == ErrorKind::Config && error.to_string().contains("no certificate"), "{error}");
}

#[test]
fn a_server_without_tls_is_not_used_unless_that_was_said() {
    let server = Vsftpd::start_with(&["ssl_enable=NO"]);
    let error = refused(options(&server));
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
    assert!(error.hint.unwrap().contains("tls = \"off\""), "{:?}", error.message);
    let storage = made(with(options(&server), json!({ "tls": "off", "ca_file": null })));
    put(&storage, "a").unwrap();
    assert_eq!(get(&storage, "a").unwrap(), "bytes");
    assert_eq!(storage.delete(&cx(), &["a".to_owned()]).unwrap(), [Ok(())]);
    // And one that wants TLS says so.
    let server = Pyftpd::start();
    let error = refused(with(signed_in(&server), json!({ "tls": "off", "ca_file": null })));
    assert!(error.to_string().contains("can't connect"), "{error}");
    assert!(error.hint.is_some(), "{error:?}");
}

#[test]
fn a_wrong_password_is_told_at_once_and_stands_nowhere() {
    let server = Pyftpd::start();
    let error = refused(with(signed_in(&server), json!({ "password": "wrong-Geheim-1b" })));
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("refuses `backup` with the password"), "{error}");
    assert!(!format!("{error:?}").contains("wrong-Geheim-1b"), "{error:?}");
    let error = refused(with(signed_in(&server), json!({ "password": "two\r\nlines" })));
    assert_eq!(error.kind, ErrorKind::Config, "{error}");
}
