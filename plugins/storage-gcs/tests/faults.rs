//! Lines that break and tokens that expire in the middle, against a double that answers as the service's documentation says:
//! the emulator ends a session that is asked for its state.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};

use serde_json::json;
use windlass_plugin_api::{Context, CreateOptions, Error, ErrorKind, Plugin, Result, Storage};
use windlass_storage_gcs::Gcs;
use windlass_test_servers::{Asked, Double, Said};
use windlass_testkit::TestHost;
use windlass_testkit::noise::noise;

const MIB: usize = 1024 * 1024;
const LENGTH: usize = 2 * MIB + 300_000;

fn storage(double: &Double, host: &TestHost) -> (Gcs, Context) {
    let cx = host.context();
    let options = json!({
        "bucket": "backups",
        "endpoint": double.endpoint(),
        "access_token": { "$secret": "token" },
        "part_size": 1,
    });
    (Gcs::new(serde_json::from_value(options).unwrap(), &cx).unwrap(), cx)
}

fn host() -> TestHost {
    TestHost::new().secret("token", "first")
}

fn put(storage: &Gcs, cx: &Context, content: &[u8]) -> Result<Option<String>> {
    let how = CreateOptions { if_absent: true, ..CreateOptions::default() };
    let mut upload = storage.create(cx, "data", &how)?;
    upload.write_all(content)?;
    upload.finish()?;
    Ok(upload.publish()?.version)
}

/// How a request to a session ends: how much of its body has arrived, and whether the answer does.
#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    /// Nothing of it arrives.
    Cut,
    /// The line breaks in the middle.
    Half,
    /// It is done, and the answer is lost.
    Unheard,
}

/// A session: it keeps the bytes that come next, ignores those that it has, and says what it has.
#[derive(Default)]
struct Session {
    kept: Vec<u8>,
    /// The object is there.
    is_ended: bool,
}

impl Session {
    fn take(&mut self, asked: &Asked, fault: Fault) -> Said {
        let (range, total) =
            asked.header("content-range").strip_prefix("bytes ").unwrap().split_once('/').unwrap();
        let from: usize = range.split_once('-').unwrap().0.parse().unwrap();
        assert!(from <= self.kept.len(), "a gap: bytes from {from} on, and {} are there", self.kept.len());
        let arrived = match fault {
            Fault::Cut => 0,
            Fault::Half => asked.body.len() / 2,
            Fault::None | Fault::Unheard => asked.body.len(),
        };
        if !self.is_ended && from + arrived > self.kept.len() {
            self.kept.extend_from_slice(&asked.body[self.kept.len() - from..arrived]);
        }
        self.is_ended |= total.parse() == Ok(self.kept.len());
        match fault {
            Fault::None if self.is_ended => Said::status(200).body(json!({ "generation": "9" }).to_string()),
            Fault::None => Said::status(308).header("range", format!("bytes=0-{}", self.kept.len() - 1)),
            _ => Said::lost(),
        }
    }
}

#[test]
fn a_session_goes_on_where_the_service_says_that_it_is() {
    for fault in [Fault::Cut, Fault::Half, Fault::Unheard] {
        let (session, failed) = (Arc::new(Mutex::new(Session::default())), Mutex::new(HashSet::new()));
        let known = session.clone();
        let double = Double::start(move |asked| {
            if asked.method == "POST" {
                let place = format!("http://{}/session?upload_id=7", asked.header("host"));
                return Said::status(200).header("location", place);
            }
            // Each range of bytes fails once, the last one too.
            let is_first = failed.lock().unwrap().insert(asked.header("content-range").to_owned());
            known.lock().unwrap().take(asked, if is_first { fault } else { Fault::None })
        });
        let content = noise(1, LENGTH);
        let (storage, cx) = storage(&double, &host());
        let version = put(&storage, &cx, &content).unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert_eq!(version.as_deref(), Some("9"), "{fault:?}");
        let session = session.lock().unwrap();
        assert!(session.is_ended && session.kept == content, "{fault:?}: other bytes arrived");
        let puts = double.asked().iter().filter(|asked| asked.method == "PUT").count();
        assert!(puts >= 8, "{fault:?}: {puts} requests: nothing broke");
    }
}

/// Media as the service gives it: a range, of the generation that is asked for.
fn media(asked: &Asked, content: &[u8], generation: &str) -> Said {
    if asked.path.contains("generation=") && !asked.path.contains(&format!("generation={generation}")) {
        return Said::status(404).body("No such object: backups/data");
    }
    let range = asked.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
    let (from, last): (usize, usize) = (range.0.parse().unwrap(), range.1.parse().unwrap());
    let end = last.saturating_add(1).min(content.len());
    Said::status(206)
        .header("content-range", format!("bytes {from}-{}/{}", end - 1, content.len()))
        .header("x-goog-generation", generation)
        .body(&content[from..end])
}

#[test]
fn a_download_that_breaks_goes_on_where_it_broke() {
    let content = Arc::new(noise(2, LENGTH));
    let (shown, count) = (content.clone(), Mutex::new(0));
    let double = Double::start(move |asked| {
        let said = media(asked, &shown, "7");
        *count.lock().unwrap() += 1;
        match *count.lock().unwrap() {
            1 | 3 => said.cut_in_half("GET"),
            4 => said.cut_at(0),
            _ => said,
        }
    });
    let (storage, cx) = storage(&double, &host());
    let mut read = Vec::new();
    storage.open(&cx, "data", None).unwrap().read_to_end(&mut read).unwrap();
    assert!(read == *content, "other bytes came");
    let asked = double.asked();
    assert!(asked[1].header("range").starts_with(&format!("bytes={}-", MIB / 2)), "{:?}", asked[1]);
    assert!(asked[1..].iter().all(|asked| asked.path.contains("generation=7")), "versions may be mixed");
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_told_and_not_mixed() {
    let replaced = Arc::new(Mutex::new(false));
    let now = replaced.clone();
    let double = Double::start(move |asked| match *now.lock().unwrap() {
        false => media(asked, &noise(3, LENGTH), "7"),
        true => media(asked, &noise(4, LENGTH), "8"),
    });
    let (storage, cx) = storage(&double, &host());
    let mut reader = storage.open(&cx, "data", None).unwrap();
    reader.read_exact(&mut [0; 10]).unwrap();
    *replaced.lock().unwrap() = true;
    let error = Error::from(reader.read_to_end(&mut Vec::new()).unwrap_err());
    assert!(error.to_string().contains("replaced while it was read"), "{error:?}");
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_download_is_asked_for_again_or_told() {
    let content = Arc::new(noise(5, LENGTH));
    for is_new_one in [true, false] {
        let (shown, count) = (content.clone(), Mutex::new(0));
        let double = Double::start(move |asked| {
            *count.lock().unwrap() += 1;
            match asked.header("authorization") == "Bearer first" && *count.lock().unwrap() > 1 {
                true => Said::status(401).body("Invalid Credentials"),
                false => media(asked, &shown, "7"),
            }
        });
        let host = host();
        let (storage, cx) = storage(&double, &host);
        let mut reader = storage.open(&cx, "data", None).unwrap();
        let mut read = vec![0; 10];
        reader.read_exact(&mut read).unwrap();
        if is_new_one {
            let _renewed = host.clone().secret("token", "second");
            reader.read_to_end(&mut read).unwrap();
            assert!(read == *content, "other bytes came");
        } else {
            let error = Error::from(reader.read_to_end(&mut read).unwrap_err());
            assert_eq!(error.kind, ErrorKind::Denied, "{error:?}");
            assert!(error.hint.as_ref().unwrap().contains("token not expired"), "{error:?}");
            assert_eq!(double.asked().len(), 2, "asked again with the same token");
        }
    }
}

/// The URL of a session is all that its requests need: the token may expire behind its beginning.
#[test]
fn a_session_outlives_the_token_that_began_it_and_the_next_one_has_a_new_token() {
    let session = Mutex::new(Session::default());
    let (begun, host) = (Mutex::new(0), host());
    let vault = host.clone();
    let double = Double::start(move |asked| {
        if asked.method == "PUT" {
            assert_eq!(asked.header("authorization"), "");
            return session.lock().unwrap().take(asked, Fault::None);
        }
        let mut begun = begun.lock().unwrap();
        if *begun > 0 && asked.header("authorization") == "Bearer first" {
            return Said::status(401);
        }
        (*begun, *session.lock().unwrap()) = (*begun + 1, Session::default());
        let _renewed = vault.clone().secret("token", "second");
        let place = format!("http://{}/session?upload_id={}", asked.header("host"), *begun);
        Said::status(200).header("location", place)
    });
    let (storage, cx) = storage(&double, &host);
    for _ in 0..2 {
        put(&storage, &cx, &noise(6, LENGTH)).unwrap();
    }
    let tokens: Vec<_> = double
        .asked()
        .iter()
        .filter(|asked| asked.method == "POST")
        .map(|asked| asked.header("authorization").to_owned())
        .collect();
    assert_eq!(tokens, ["Bearer first", "Bearer first", "Bearer second"]);
}
