//! Who the server is and who we are: each way to prove it, and each way in which it isn't proved.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use windlass_plugin_api::{Error, ErrorKind, Plugin, Storage};
use windlass_storage_sftp::Sftp;
use windlass_test_servers::{RcloneSftp, Sshd};
use windlass_testkit::TestHost;

use common::{cx, made, options, put, refused, with};

const PASSPHRASE: &str = "pass-Geheim-77a1";
const WRONG: &str = "wrong-Geheim-c0de";

/// It was refused because of who somebody is: at once, with what to do, and with no secret in it.
fn is_denied(error: &Error, what: &str) {
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.to_string().contains(what), "`{what}`: {error}");
    assert!(error.hint.is_some(), "{error:?}");
    for secret in [PASSPHRASE, WRONG, "PRIVATE KEY"] {
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
}

fn fingerprint(server: &Sshd, kind: &str) -> String {
    let file = server.dir().join(format!("host_{kind}.pub"));
    let output = Command::new("ssh-keygen").arg("-lf").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn a_server_that_nobody_knows_is_refused_with_what_to_pin() {
    let server = Sshd::start();
    let nobody = server.dir().join("known_nobody");
    fs::write(&nobody, "").unwrap();
    let unknown = with(options(&server), json!({ "host_key": null, "known_hosts": [nobody] }));
    let error = refused(unknown.clone());
    is_denied(&error, "isn't known");
    // What the hint says is what helps.
    let pin = fingerprint(&server, "ed25519");
    let hint = error.hint.unwrap();
    assert!(hint.contains(&format!("host_key = \"{pin}\"")), "{hint}");
    assert!(hint.contains(&format!("ssh-keyscan -p {} 127.0.0.1", server.port())), "{hint}");
    put(&made(with(unknown, json!({ "host_key": pin }))), "a").unwrap();
    assert_eq!(fs::read_to_string(nobody).unwrap(), "", "it was trusted on its first use");
}

#[test]
fn a_known_server_is_trusted_by_its_line_plain_or_hashed() {
    let server = Sshd::start();
    let file = server.known_hosts();
    let known = with(options(&server), json!({ "host_key": null, "known_hosts": [file] }));
    put(&made(known.clone()), "plain").unwrap();
    let hashed = Command::new("ssh-keygen").arg("-Hqf").arg(&file).output().unwrap();
    assert!(hashed.status.success() && !fs::read_to_string(&file).unwrap().contains("127.0.0.1"));
    put(&made(known.clone()), "hashed").unwrap();
    // Only another kind of its keys is known: that one is asked for.
    let line = format!("[127.0.0.1]:{} {}\n", server.port(), server.host_key("ecdsa"));
    fs::write(&file, &line).unwrap();
    put(&made(known.clone()), "ecdsa").unwrap();
    let revoked = format!("@revoked * {}\n{line}", server.host_key("ecdsa"));
    fs::write(&file, revoked).unwrap();
    is_denied(&refused(known), "is revoked");
}

#[test]
fn a_server_whose_key_has_changed_is_refused() {
    let (server, other) = (Sshd::start(), Sshd::start());
    let file = server.dir().join("known_hosts");
    let line = format!("[127.0.0.1]:{} {}\n", server.port(), other.host_key("ed25519"));
    fs::write(&file, line).unwrap();
    let error = refused(with(options(&server), json!({ "host_key": null, "known_hosts": [file] })));
    is_denied(&error, "has changed");
    assert!(error.hint.unwrap().contains("ssh-keygen -R"));
    for pin in [other.host_key("ed25519"), fingerprint(&other, "ed25519"), fingerprint(&other, "ecdsa")] {
        is_denied(
            &refused(with(options(&server), json!({ "host_key": pin }))),
            "isn't the one that `host_key` pins",
        );
    }
}

#[test]
fn a_pinned_key_of_any_kind_that_the_server_has_is_enough() {
    let server = Sshd::start();
    let pins = [server.host_key("ecdsa"), fingerprint(&server, "ecdsa"), fingerprint(&server, "ed25519")];
    for (number, pin) in pins.into_iter().enumerate() {
        put(&made(with(options(&server), json!({ "host_key": pin }))), &number.to_string()).unwrap();
    }
}

#[test]
fn keys_of_each_kind_sign_in_as_a_file_and_as_a_secret() {
    let server = Sshd::start();
    for (name, kind, passphrase) in
        [("one", "ed25519", PASSPHRASE), ("two", "rsa", ""), ("three", "ecdsa", PASSPHRASE)]
    {
        let file = server.add_key(name, kind, passphrase);
        let unlocking = (!passphrase.is_empty()).then_some(passphrase);
        let of_file = json!({ "key_file": file, "key_passphrase": unlocking });
        put(&made(with(options(&server), of_file)), &format!("{kind}/file")).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let of_text =
            json!({ "key_file": null, "private_key": text.trim_end(), "key_passphrase": unlocking });
        put(&made(with(options(&server), of_text)), &format!("{kind}/secret")).unwrap();
    }
}

#[test]
fn a_locked_key_says_what_it_needs() {
    let server = Sshd::start();
    let file = server.add_key("locked", "ed25519", PASSPHRASE);
    for (passphrase, what) in [(Value::Null, "is locked"), (json!(WRONG), "can't be unlocked")] {
        let error =
            refused(with(options(&server), json!({ "key_file": file, "key_passphrase": passphrase })));
        assert_eq!(error.kind, ErrorKind::Config, "{error}");
        assert!(error.to_string().contains(what), "{error}");
        assert!(!format!("{error:?}").contains("Geheim"), "{error:?}");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = refused(with(options(&server), json!({ "key_file": file, "key_passphrase": PASSPHRASE })));
    assert!(error.kind == ErrorKind::Config && error.hint.unwrap().contains("chmod 600"));
    let error = refused(with(options(&server), json!({ "key_file": null, "private_key": WRONG })));
    assert!(error.kind == ErrorKind::Config && !format!("{error:?}").contains(WRONG), "{error:?}");
}

#[test]
fn a_key_that_the_server_does_not_take_is_told_once() {
    let (server, other) = (Sshd::start(), Sshd::start());
    let error = refused(with(options(&server), json!({ "key_file": other.key_file() })));
    is_denied(&error, "refuses");
    assert!(error.to_string().contains("it takes: publickey"), "{error}");
    is_denied(&refused(with(options(&server), json!({ "user": "nobody-here" }))), "refuses `nobody-here`");
    let nothing = with(options(&server), json!({ "key_file": null, "agent": false }));
    is_denied(&refused(nothing), "there is nothing to sign in with");
}

#[test]
fn a_password_is_enough_and_a_wrong_one_is_told_and_not_shown() {
    let server = RcloneSftp::start();
    let right = json!({
        "host": server.host(), "port": server.port(), "user": server.user(), "path": "/",
        "password": { "$secret": "storage.nas.password" }, "host_key": server.host_key(), "agent": false,
    });
    let host = TestHost::new().secret("storage.nas.password", server.password());
    let storage = Sftp::new(serde_json::from_value(right.clone()).unwrap(), &host.context()).unwrap();
    assert_eq!(storage.stat(&host.context(), "a").unwrap(), None);
    let host = TestHost::new().secret("storage.nas.password", WRONG);
    let storage = Sftp::new(serde_json::from_value(right).unwrap(), &host.context()).unwrap();
    let error = storage.stat(&host.context(), "a").unwrap_err();
    is_denied(&error, "with the password");
    let url = format!("sftp://{}:{}@127.0.0.1:{}/", server.user(), server.password(), server.port());
    put(&made(json!({ "url": url, "host_key": server.host_key(), "agent": false })), "by/url").unwrap();
}

/// The agent's socket is told by the environment: the test runs itself again in one that has it.
#[test]
fn the_keys_of_an_agent_sign_in() {
    if let Ok(given) = std::env::var("WINDLASS_TEST_OPTIONS") {
        let options: Value = serde_json::from_str(&given).unwrap();
        assert_eq!(made(options).stat(&cx(), "a").unwrap(), None);
        return;
    }
    let server = Sshd::start();
    let agent = Agent::start(&server);
    agent.add(&server.add_key("first", "rsa", ""));
    let (public, socket) = (server.key_file().with_extension("pub"), agent.socket.clone());
    let runs = |options: &Value| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_keys_of_an_agent_sign_in"]).env("SSH_AUTH_SOCK", &socket);
        let output = command.env("WINDLASS_TEST_OPTIONS", options.to_string()).output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success() && told.contains("1 passed"), told)
    };
    let of_agent = with(options(&server), json!({ "key_file": null }));
    let (is_in, told) = runs(&of_agent);
    assert!(is_in, "{told}");
    // Asked for a key that it doesn't have, it says so; once it has it, that one signs in.
    let of_public = with(options(&server), json!({ "key_file": public }));
    let (is_in, told) = runs(&of_public);
    assert!(!is_in && told.contains("doesn't have the key"), "{told}");
    agent.add(&server.key_file());
    let (is_in, told) = runs(&of_public);
    assert!(is_in, "{told}");
    // An agent that is gone is told as such.
    drop(agent);
    let (is_in, told) = runs(&of_agent);
    assert!(!is_in && told.contains("can't ask the agent") && told.contains("SSH_AUTH_SOCK"), "{told}");
}

struct Agent {
    process: Child,
    socket: std::path::PathBuf,
}

impl Agent {
    fn start(server: &Sshd) -> Self {
        let socket = server.dir().join("agent");
        let process =
            Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn();
        let agent = Self { process: process.expect("`ssh-agent` is needed: `make setup`"), socket };
        common::until("the agent", || agent.socket.exists());
        agent
    }

    fn add(&self, key: &std::path::Path) {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &self.socket).status();
        assert!(added.unwrap().success());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
