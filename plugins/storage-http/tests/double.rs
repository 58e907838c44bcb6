//! What the servers that can be run don't do: lines that break, objects that change, redirects, tokens, lists for programs, lies.

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use windlass_plugin_api::{Context, Error, ErrorKind, ListOptions, Plugin, Result, Secret, Storage};
use windlass_storage_http::Published;
use windlass_test_servers::{Asked, Double, Said};
use windlass_testkit::TestHost;
use windlass_testkit::noise::noise;

fn made(options: Value, cx: &Context) -> Published {
    Published::new(serde_json::from_value(options).unwrap(), cx).unwrap()
}

fn at(double: &Double) -> Published {
    made(json!({ "url": double.endpoint() }), &Context::default())
}

fn get(storage: &Published, key: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    storage.open(&Context::default(), key, None)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn listed(storage: &Published) -> Result<Vec<String>> {
    let page = storage.list(&Context::default(), &ListOptions::default())?;
    Ok(page.entries.into_iter().map(|entry| entry.key).collect())
}

/// As a server that knows ranges answers for an object.
fn ranged(asked: &Asked, bytes: &[u8], tag: &str) -> Said {
    if !matches!(asked.header("if-match"), "" | "*") && asked.header("if-match") != tag {
        return Said::status(412);
    }
    let from =
        asked.header("range").strip_prefix("bytes=").and_then(|range| range.split('-').next()?.parse().ok());
    let said = |status| Said::status(status).header("etag", tag);
    match from {
        None => said(200).body(bytes),
        Some(from) if from >= bytes.len() => {
            said(416).header("content-range", format!("bytes */{}", bytes.len()))
        }
        Some(from) => said(206)
            .header("content-range", format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len()))
            .body(&bytes[from..]),
    }
}

#[test]
fn a_download_whose_line_breaks_goes_on_with_ranges_and_without() {
    for has_ranges in [true, false] {
        let bytes = Arc::new(noise(1, 5_000_000));
        let (shown, breaks) = (bytes.clone(), AtomicU32::new(0));
        let double = Double::start(move |asked| {
            let said = if has_ranges {
                ranged(asked, &shown, "\"1\"")
            } else {
                Said::status(200).body(shown.as_slice())
            };
            match breaks.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => said.cut_in_half(&asked.method),
                _ => said,
            }
        });
        assert!(get(&at(&double), "a").unwrap() == *bytes, "other bytes came back");
        let asked = double.asked();
        assert_eq!(asked.len(), 3);
        assert_eq!(asked[0].header("range"), "");
        assert!(asked[1].header("range").starts_with("bytes="), "{asked:?}");
        assert_eq!(asked[1].header("if-match"), if has_ranges { "\"1\"" } else { "" });
    }
}

#[test]
fn an_object_that_changes_while_it_is_read_is_told_and_not_mixed() {
    for tag in ["etag", "last-modified"] {
        let (old, new) = (noise(1, 5_000_000), noise(2, 5_000_000));
        let calls = AtomicU32::new(0);
        let double = Double::start(move |asked| match calls.fetch_add(1, Ordering::SeqCst) {
            0 => Said::status(200).header(tag, "\"old\"").body(old.as_slice()).cut_in_half("GET"),
            _ if tag == "etag" => ranged(asked, &new, "\"new\""),
            _ => Said::status(200).header(tag, "\"new\"").body(new.as_slice()),
        });
        let error = get(&at(&double), "a").unwrap_err();
        assert!(error.to_string().contains("was replaced"), "{error}");
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let calls = AtomicU32::new(0);
    let double = Double::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Said::status(200).header("content-length", "400000").body(noise(1, 400_000)).cut_in_half("GET"),
        1 => Said::status(503).header("retry-after", "0"),
        _ => Said::status(200).body(noise(1, 400_000)),
    });
    assert!(get(&at(&double), "a").unwrap() == noise(1, 400_000));
    let double = Double::start(|_| Said::status(503).header("retry-after", "7"));
    let error = at(&double).stat(&Context::default(), "a").unwrap_err();
    assert_eq!((error.kind, &error.details["retry_after_seconds"]), (ErrorKind::Unavailable, &json!(7)));
    for (status, kind) in [(403, ErrorKind::Denied), (404, ErrorKind::NotFound), (400, ErrorKind::Failed)] {
        let double = Double::start(move |_| Said::status(status));
        assert_eq!(get(&at(&double), "a").unwrap_err().kind, kind, "{status}");
        assert_eq!(double.asked().len(), 1, "{status}");
    }
}

#[test]
fn redirects_are_followed_as_far_as_is_sane_and_take_no_secret_elsewhere() {
    let elsewhere = Double::start(|_| Said::status(200).body("bytes"));
    let to = elsewhere.endpoint().to_owned();
    let double = Double::start(move |asked| match asked.path.as_str() {
        "/a" => Said::status(302).header("location", "/b"),
        "/b" => Said::status(307).header("location", format!("{to}/c")),
        "/loop" => Said::status(301).header("location", "/loop"),
        "/tls" => Said::status(301).header("location", "https://web.example/tls"),
        "/lost" => Said::status(302),
        "/folder" => Said::status(301).header("location", "/folder/"),
        _ => Said::status(200).header("content-type", "text/html").body("<a href=\"x\">x</a>"),
    });
    let options = json!({
        "url": double.endpoint(), "user": "me", "password": "pw-Geheim", "headers": { "X-Key": "key-Geheim" },
    });
    let storage = made(options, &Context::default());
    assert_eq!(get(&storage, "a").unwrap(), b"bytes");
    assert!(double.asked().iter().all(|asked| asked.header("authorization").starts_with("Basic ")));
    assert!(double.asked().iter().all(|asked| asked.header("x-key") == "key-Geheim"));
    let leaked = elsewhere
        .asked()
        .into_iter()
        .find(|asked| !asked.header("authorization").is_empty() || !asked.header("x-key").is_empty());
    assert!(leaked.is_none(), "{leaked:?}");
    for key in ["loop", "tls", "lost"] {
        let error = get(&storage, key).unwrap_err();
        assert!(
            error.kind == ErrorKind::Config && error.hint.as_ref().unwrap().contains("`url`"),
            "{key}: {error:?}"
        );
    }
    assert!(double.asked().iter().filter(|asked| asked.path == "/loop").count() < 10);
    assert_eq!(get(&storage, "folder").unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(storage.stat(&Context::default(), "folder").unwrap(), None);
}

#[test]
fn a_token_that_expires_is_asked_for_again() {
    let double = Double::start(|asked| match asked.header("authorization") {
        "Bearer new-Geheim" => Said::status(200).body("bytes"),
        _ => Said::status(401),
    });
    let host = TestHost::new().secret("token", "old-Geheim");
    let options = json!({ "url": double.endpoint(), "bearer_token": { Secret::KEY: "token" } });
    let storage = made(options, &host.context());
    let error = storage.stat(&host.context(), "a").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    assert!(!format!("{error:?}").contains("Geheim"), "{error:?}");
    let _changed = host.secret("token", "new-Geheim");
    assert_eq!(storage.stat(&Context::default(), "a").unwrap().unwrap().size_bytes, 5);
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_download_is_asked_for_again_or_told() {
    for is_new_one in [true, false] {
        let (bytes, calls) = (Arc::new(noise(1, 5_000_000)), AtomicU32::new(0));
        let shown = bytes.clone();
        // A request that has begun goes on with its token: only one that breaks is asked for its own again.
        let double = Double::start(move |asked| {
            let call = calls.fetch_add(1, Ordering::SeqCst);
            match (call, asked.header("authorization")) {
                (0, _) => ranged(asked, &shown, "\"1\"").cut_in_half("GET"),
                (_, "Bearer new-Geheim") => ranged(asked, &shown, "\"1\""),
                _ => Said::status(401),
            }
        });
        let host = TestHost::new().secret("token", "old-Geheim");
        let options = json!({ "url": double.endpoint(), "bearer_token": { Secret::KEY: "token" } });
        let storage = made(options, &host.context());
        let mut reader = storage.open(&host.context(), "a", None).unwrap();
        let mut read = vec![0; 10];
        reader.read_exact(&mut read).unwrap();
        if is_new_one {
            let _renewed = host.clone().secret("token", "new-Geheim");
            reader.read_to_end(&mut read).unwrap();
            assert!(read == *bytes, "other bytes came back");
        } else {
            let error = Error::from(reader.read_to_end(&mut read).unwrap_err());
            assert!(error.kind == ErrorKind::Denied && error.hint.is_some(), "{error:?}");
            assert_eq!(double.asked().len(), 2, "asked again with the same token");
        }
    }
}

#[test]
fn a_list_for_programs_is_read_and_names_lead_nowhere_outside() {
    let double = Double::start(|asked| match (asked.method.as_str(), asked.path.as_str()) {
        ("GET", "/") => {
            assert!(asked.header("accept").contains("application/json"));
            let list = r#"[{"name":"b","type":"directory"},{"name":"a","type":"file","size":1},
                           {"name":"..","type":"directory"},{"name":"../x","type":"file"},{"name":"","type":"directory"}]"#;
            Said::status(200).header("content-type", "application/json").body(list)
        }
        ("GET", "/b/") => {
            let page =
                "<a href=\"../\">up</a><a href=\"/\">top</a><a href=\"/b/\">self</a><a href=\"c\">c</a>";
            Said::status(200).header("content-type", "text/html").body(page)
        }
        ("HEAD", "/a" | "/b/c") => Said::status(200).body("bytes"),
        _ => Said::status(404),
    });
    assert_eq!(listed(&at(&double)).unwrap(), ["a", "b/c"]);
    assert!(double.asked().iter().all(|asked| !asked.path.contains("..")));
}

#[test]
fn a_folder_that_shows_itself_in_itself_ends() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "GET" => Said::status(200).header("content-type", "text/html").body("<a href=\"again/\">again</a>"),
        _ => Said::status(404),
    });
    assert_eq!(listed(&at(&double)).unwrap(), [""; 0]);
    assert!(double.asked().len() < 300);
}

#[test]
fn a_folder_without_a_listing_is_told_with_what_to_switch_on() {
    for said in [
        Said::status(200).header("content-type", "text/plain").body("welcome"),
        Said::status(200).header("content-type", "application/json").body("{\"error\": 1}"),
    ] {
        let double = Double::start(move |_| said.clone());
        let error = listed(&at(&double)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
        assert!(error.hint.unwrap().contains("autoindex"));
    }
    let double = Double::start(|_| Said::status(403));
    let error = listed(&at(&double)).unwrap_err();
    assert!(
        error.kind == ErrorKind::Denied && error.hint.as_ref().unwrap().contains("listings"),
        "{error:?}"
    );
    // One that could be anything is warned of.
    let double =
        Double::start(|_| Said::status(200).header("content-type", "text/html").body("<h1>Welcome!</h1>"));
    let report = at(&double).check(&Context::default()).unwrap();
    assert!(report.warnings.iter().any(|warning| warning.contains("shows no name")), "{report:?}");
    let double = Double::start(|_| {
        Said::status(200)
            .header("content-type", "text/html")
            .header("date", "Wed, 01 Jan 2020 00:00:00 GMT")
            .body("<a href=\"a\">a</a>")
    });
    let report = at(&double).check(&Context::default()).unwrap();
    assert!(report.notes.iter().any(|note| note.contains("s ahead of the server's")), "{report:?}");
}

#[test]
fn a_server_without_head_is_asked_for_the_object_and_lies_about_ranges_are_told() {
    let double = Double::start(|asked| match asked.method.as_str() {
        "HEAD" => Said::status(405),
        _ => Said::status(200).body("bytes"),
    });
    assert_eq!(at(&double).stat(&Context::default(), "a").unwrap().unwrap().size_bytes, 5);
    let calls = AtomicU32::new(0);
    let double = Double::start(move |_| match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Said::status(200).header("etag", "\"1\"").body(noise(1, 400_000)).cut_in_half("GET"),
        _ => Said::status(206)
            .header("etag", "\"1\"")
            .header("content-range", "bytes 399999-399999/400000")
            .body("x"),
    });
    let error: Error = get(&at(&double), "a").unwrap_err();
    assert!(error.to_string().contains("another part"), "{error}");
}
