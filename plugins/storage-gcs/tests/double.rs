//! What the emulator doesn't judge, against a double that answers as the service's documentation says: tokens, preconditions
//! of sessions, sessions that keep less than was sent, checksums.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, ErrorKind, Plugin, Storage, Upload};
use windlass_storage_gcs::Gcs;
use windlass_testkit::TestHost;

const MIB: usize = 1024 * 1024;

struct Request {
    method: String,
    path: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Status, headers, body.
type Answer = (u16, Vec<(&'static str, String)>, String);

/// A service on a port of its own that answers by `answer`; it ends with the process.
fn serve(answer: impl Fn(&Request, &str) -> Answer + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (answer, place) = (Arc::new(answer), endpoint.clone());
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (answer, place) = (answer.clone(), place.clone());
            thread::spawn(move || converse(connection, &place, &*answer));
        }
    });
    endpoint
}

fn converse(connection: TcpStream, place: &str, answer: &dyn Fn(&Request, &str) -> Answer) {
    let mut writer = connection.try_clone().unwrap();
    let mut reader = BufReader::new(connection);
    while let Some(request) = request(&mut reader) {
        let (status, headers, body) = answer(&request, place);
        let mut head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if write!(writer, "{head}\r\n{body}").is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

fn refusal(status: u16, reason: &str) -> Answer {
    let body = json!({ "error": { "code": status, "message": "no", "errors": [{ "reason": reason }] } });
    (status, Vec::new(), body.to_string())
}

fn storage(endpoint: &str, host: &TestHost) -> (Gcs, Context) {
    let cx = host.context();
    let options = json!({
        "bucket": "backups",
        "endpoint": endpoint,
        "access_token": { "$secret": "token" },
        "part_size": 1,
    });
    (Gcs::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn host() -> TestHost {
    TestHost::new().secret("token", "hunter2-token")
}

fn begun(storage: &Gcs, cx: &Context, content: &[u8]) -> Box<dyn Upload> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, "data", &how).unwrap();
    upload.write_all(content).unwrap();
    upload
}

/// A session that keeps of each request but the last no more than `keeps` bytes.
#[derive(Default)]
struct Session {
    kept: Vec<u8>,
    final_hash: String,
    aborted: bool,
}

fn session(keeps: usize, says: fn(&[u8]) -> Option<Answer>) -> (String, Arc<Mutex<Session>>) {
    let session = Arc::new(Mutex::new(Session::default()));
    let known = session.clone();
    let endpoint = serve(move |request, place| {
        let mut session = known.lock().unwrap();
        match request.method.as_str() {
            "POST" => {
                assert!(request.path.contains("uploadType=resumable"), "{}", request.path);
                assert!(request.path.contains("ifGenerationMatch=0"), "{}", request.path);
                assert_eq!(request.headers["authorization"], "Bearer hunter2-token");
                (200, vec![("location", format!("{place}/session?upload_id=7"))], String::new())
            }
            "DELETE" => {
                session.aborted = true;
                (499, Vec::new(), String::new())
            }
            _ => {
                assert!(!request.headers.contains_key("authorization"), "the session is enough");
                let range = request.headers["content-range"].strip_prefix("bytes ").unwrap().to_owned();
                let (range, total) = range.split_once('/').unwrap();
                let from: usize = range.split_once('-').unwrap().0.parse().unwrap();
                // What it has it ignores.
                let had = session.kept.len();
                let new = &request.body[had.saturating_sub(from).min(request.body.len())..];
                if total == "*" {
                    let new = &new[..new.len().min(keeps)];
                    session.kept.extend_from_slice(new);
                    return (
                        308,
                        vec![("range", format!("bytes=0-{}", session.kept.len() - 1))],
                        String::new(),
                    );
                }
                session.kept.extend_from_slice(new);
                session.final_hash = request.headers["x-goog-hash"].clone();
                says(&session.kept).unwrap_or_else(|| {
                    let hash = session.final_hash.trim_start_matches("crc32c=");
                    let size = session.kept.len().to_string();
                    (200, Vec::new(), json!({ "generation": "9", "size": size, "crc32c": hash }).to_string())
                })
            }
        }
    });
    (endpoint, session)
}

fn bytes() -> Vec<u8> {
    (0..2 * MIB + 300_000).map(|at| (at * 7 % 251) as u8).collect()
}

#[test]
fn what_a_session_did_not_keep_is_sent_again_and_the_whole_is_proved() {
    let (endpoint, session) = session(256 * 1024, |_| None);
    let (storage, cx) = storage(&endpoint, &host());
    let mut upload = begun(&storage, &cx, &bytes());
    upload.finish().unwrap();
    let kept = session.lock().unwrap().kept.len();
    assert!(kept < bytes().len() && kept + 256 * 1024 >= bytes().len(), "{kept} before it is published");
    assert_eq!(upload.publish().unwrap().version.as_deref(), Some("9"));
    let session = session.lock().unwrap();
    assert!(session.kept == bytes(), "other bytes arrived");
    assert!(session.final_hash.starts_with("crc32c="), "{}", session.final_hash);
}

#[test]
fn an_object_that_came_meanwhile_is_told_when_the_session_ends() {
    let (endpoint, session) = session(usize::MAX, |_| Some(refusal(412, "conditionNotMet")));
    let (storage, cx) = storage(&endpoint, &host());
    let mut upload = begun(&storage, &cx, &bytes());
    upload.finish().unwrap();
    assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::AlreadyExists);
    assert!(session.lock().unwrap().aborted);
}

#[test]
fn other_bytes_than_were_sent_are_damage() {
    let (endpoint, _session) = session(usize::MAX, |_| {
        Some((200, Vec::new(), json!({ "generation": "9", "crc32c": "AAAAAA==" }).to_string()))
    });
    let (storage, cx) = storage(&endpoint, &host());
    let mut upload = begun(&storage, &cx, &bytes());
    upload.finish().unwrap();
    assert_eq!(upload.publish().unwrap_err().kind, ErrorKind::Damaged);
}

#[test]
fn a_wrong_token_is_told_at_once_with_what_to_do_and_not_repeated() {
    let asked = Arc::new(Mutex::new(0));
    let counted = asked.clone();
    let endpoint = serve(move |_, _| {
        *counted.lock().unwrap() += 1;
        refusal(401, "authError")
    });
    let (storage, cx) = storage(&endpoint, &host());
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
    assert!(error.hint.as_ref().unwrap().contains("access_token"), "{error:?}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(*asked.lock().unwrap(), 1, "asked again with the same token");
}

#[test]
fn a_token_that_expired_is_asked_for_again_in_the_middle_of_a_run() {
    let endpoint = serve(|request, _| match request.headers["authorization"].as_str() {
        "Bearer second" => (200, Vec::new(), json!({ "name": "data", "size": "7" }).to_string()),
        _ => refusal(401, "authError"),
    });
    let host = TestHost::new().secret("token", "first");
    let (storage, cx) = storage(&endpoint, &host);
    assert_eq!(storage.stat(&cx, "data").unwrap_err().kind, ErrorKind::Denied);
    let _renewed = host.secret("token", "second");
    assert_eq!(storage.stat(&cx, "data").unwrap().unwrap().size_bytes, 7);
}

#[test]
fn a_busy_service_is_asked_again_and_one_that_forbids_is_not() {
    let asked = Arc::new(Mutex::new(0));
    let counted = asked.clone();
    let endpoint = serve(move |_, _| {
        let mut count = counted.lock().unwrap();
        *count += 1;
        match *count {
            1 => refusal(503, "backendError"),
            2 => refusal(403, "rateLimitExceeded"),
            3 => (200, Vec::new(), json!({ "name": "data", "size": "7" }).to_string()),
            _ => refusal(403, "forbidden"),
        }
    });
    let (storage, cx) = storage(&endpoint, &host());
    assert_eq!(storage.stat(&cx, "data").unwrap().unwrap().size_bytes, 7);
    let error = storage.stat(&cx, "data").unwrap_err();
    assert_eq!((error.kind, *asked.lock().unwrap()), (ErrorKind::Denied, 4), "{error:?}");
}
