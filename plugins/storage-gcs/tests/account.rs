//! The key of a service account, exchanged for tokens at a double of Google's token endpoint.
//!
//! The address of that endpoint is fixed. So a proxy stands before it, with a certificate of an authority that only the test
//! knows; proxies are named by the environment, which a test can't change for itself: it runs itself once more.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::CertifiedKey;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use windlass_plugin_api::{Context, ErrorKind, Plugin, Storage};
use windlass_storage_gcs::Gcs;
use windlass_test_servers::{Double, Said};
use windlass_testkit::TestHost;

const HOST: &str = "oauth2.googleapis.com";

/// Of the run within: the service's address, and the folder with the key and the authority's certificate.
const WITHIN: [&str; 2] = ["WINDLASS_TEST_SERVICE", "WINDLASS_TEST_FOLDER"];

#[test]
fn the_key_of_a_service_account_is_exchanged_for_tokens_and_again_when_one_is_refused() {
    if let [Ok(endpoint), Ok(folder)] = WITHIN.map(std::env::var) {
        return looked_twice(&endpoint, Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    openssl(folder, &["genrsa", "-out", "key.pem", "2048"]);
    openssl(folder, &["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let issued = rcgen::generate_simple_self_signed(vec![HOST.to_owned()]).unwrap();
    fs::write(folder.join("ca.pem"), issued.cert.pem()).unwrap();
    let (proxy, exchanged) = proxy(&issued);
    // The first token is good for one request.
    let count = Mutex::new(0);
    let service = Double::start(move |asked| {
        let mut count = count.lock().unwrap();
        *count += 1;
        match asked.header("authorization") {
            "Bearer token-1" if *count == 1 => Said::status(200).body(r#"{"name":"data","size":"7"}"#),
            "Bearer token-2" => Said::status(200).body(r#"{"name":"data","size":"8"}"#),
            _ => Said::status(401),
        }
    });
    let ran = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "the_key_of_a_service_account_is_exchanged_for_tokens_and_again_when_one_is_refused",
        ])
        .env_clear()
        .envs([("HTTPS_PROXY", proxy.as_str()), (WITHIN[0], service.endpoint())])
        .env(WITHIN[1], folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    let tokens: Vec<String> =
        service.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect();
    assert_eq!(tokens, ["Bearer token-1", "Bearer token-1", "Bearer token-2"]);
    let exchanged = exchanged.lock().unwrap();
    assert_eq!(exchanged.len(), 2);
    for form in &*exchanged {
        is_asked_by_the_account(form, folder);
    }
}

fn looked_twice(endpoint: &str, folder: &Path) {
    let key = json!({
        "type": "service_account",
        "client_email": "backup@acme.example",
        "private_key": fs::read_to_string(folder.join("key.pem")).unwrap(),
        "token_uri": "https://elsewhere.example/token",
    });
    let (storage, cx) = storage(endpoint, folder, &key.to_string());
    for size in [7, 8] {
        assert_eq!(storage.stat(&cx, "data").unwrap().unwrap().size_bytes, size);
    }
    // An account that is no longer there is told, and without its key.
    let (storage, cx) = self::storage(endpoint, folder, &key.to_string().replace("backup@", "gone@"));
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("still exist"), "{error:?}");
    assert!(!format!("{error:?}").contains("PRIVATE KEY"), "{error:?}");
}

fn storage(endpoint: &str, folder: &Path, key: &str) -> (Gcs, Context) {
    let cx = TestHost::new().secret("key", key).context();
    let options = json!({
        "bucket": "backups",
        "endpoint": endpoint,
        "service_account_key": { "$secret": "key" },
        "ca_file": folder.join("ca.pem"),
    });
    (Gcs::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

/// What RFC 7523 wants: a JWT of the account, signed with its key, for this endpoint.
fn is_asked_by_the_account(form: &HashMap<String, String>, folder: &Path) {
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    let (signed, signature) = form["assertion"].rsplit_once('.').unwrap();
    let (head, claims) = signed.split_once('.').unwrap();
    let read =
        |part: &str| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
    assert_eq!(read(head)["alg"], "RS256");
    let claims = read(claims);
    assert_eq!(
        (&claims["iss"], &claims["aud"]),
        (&json!("backup@acme.example"), &json!(format!("https://{HOST}/token")))
    );
    assert!(claims["scope"].as_str().unwrap().contains("/auth/"), "{claims}");
    fs::write(folder.join("signed"), signed).unwrap();
    fs::write(folder.join("signature"), URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    openssl(folder, &["dgst", "-sha256", "-verify", "public.pem", "-signature", "signature", "signed"]);
}

fn openssl(folder: &Path, arguments: &[&str]) {
    let ran = Command::new("openssl").args(arguments).current_dir(folder).output();
    let ran = ran.expect("`openssl` is missing: run `make setup`");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

type Forms = Arc<Mutex<Vec<HashMap<String, String>>>>;

/// A proxy behind which there is the token endpoint alone, and what that was asked by accounts that it knows.
fn proxy(issued: &CertifiedKey<rcgen::KeyPair>) -> (String, Forms) {
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![issued.cert.der().clone()], key);
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let forms = Forms::default();
    let known = forms.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (config, known) = (config.clone(), known.clone());
            std::thread::spawn(move || exchange(client, config, &known));
        }
    });
    (address, forms)
}

fn exchange(mut client: TcpStream, config: Arc<ServerConfig>, known: &Mutex<Vec<HashMap<String, String>>>) {
    let (line, _) = head(&mut BufReader::with_capacity(1, client.try_clone().unwrap()));
    assert!(line.starts_with(&format!("CONNECT {HOST}:443")), "{line}");
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
    let mut stream = BufReader::new(StreamOwned::new(ServerConnection::new(config).unwrap(), client));
    let (line, length) = head(&mut stream);
    assert!(line.starts_with("POST /token "), "{line}");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    let claims = form["assertion"].split('.').nth(1).map(|claims| URL_SAFE_NO_PAD.decode(claims).unwrap());
    let (status, answer) = match String::from_utf8_lossy(&claims.unwrap()).contains("backup@") {
        true => {
            let mut known = known.lock().unwrap();
            known.push(form);
            (200, json!({ "access_token": format!("token-{}", known.len()), "expires_in": 3600 }))
        }
        false => (400, json!({ "error": "invalid_grant" })),
    };
    let answer = answer.to_string();
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", answer.len());
    stream.get_mut().write_all((head + &answer).as_bytes()).unwrap();
}

/// The first line of a head, and the length of the body behind it.
fn head(reader: &mut impl BufRead) -> (String, usize) {
    let mut lines = reader.lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let length =
        lines.find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let length = length.unwrap_or_default();
    // To the end of the head.
    lines.for_each(drop);
    (first, length)
}
