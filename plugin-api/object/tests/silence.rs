//! A service that is silent: it is given up after its time, asked again where that can help, and never waited for without end.

use std::collections::{BTreeMap, HashSet};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use windlass_object::{
    Answer, Begun, How, Http, HttpOptions, Limits, Listed, Listing, Objects, Part, Received, Retry, Service,
    Settings,
};
use windlass_plugin_api::{
    Context, CreateOptions, Error, ErrorKind, Leftover, ListOptions, Object, Result, Stored,
};
use windlass_test_servers::{Asked, Double, Said};

const PART: usize = 1000;
const LENGTH: usize = 3 * PART + 77;

/// The plainest service there can be: objects are paths, parts and half uploads are told by the query.
struct Web {
    http: Http,
    endpoint: String,
}

impl Web {
    async fn ask(&self, method: &str, path: &str, body: Bytes, range: Option<String>) -> Result<Answer> {
        let mut request = http::Request::builder().method(method).uri(format!("{}/{path}", self.endpoint));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let answer = self.http.send(request.body(body).unwrap()).await?;
        let refused = || Error::failed(answer.status.to_string());
        if answer.status.is_success() { Ok(answer) } else { Err(refused()) }
    }

    async fn told(&self, method: &str, path: &str, body: Bytes) -> Result<Stored> {
        self.ask(method, path, body, None).await.map(|_| Stored::default())
    }
}

impl Service for Web {
    fn limits(&self) -> Limits {
        Limits {
            key_bytes: 100,
            object_bytes: 1 << 40,
            put_bytes: 1 << 40,
            part_min: 1,
            part_max: 1 << 40,
            parts: 1 << 20,
            equal_parts: false,
            in_order: false,
            delete_batch: 1,
            page: 10,
        }
    }
    fn place(&self) -> String {
        "web:".to_owned()
    }
    async fn put(&self, key: &str, _: &How, bytes: Bytes) -> Result<Stored> {
        self.told("PUT", key, bytes).await
    }
    async fn begin(&self, key: &str, _: &How) -> Result<String> {
        self.told("POST", &format!("{key}?begin"), Bytes::new()).await.map(|_| "half".to_owned())
    }
    async fn part(&self, upload: Begun<'_>, part: Part) -> Result<String> {
        let path = format!("{}?part={:03}", upload.key, part.number);
        self.told("PUT", &path, part.bytes).await.map(|_| String::new())
    }
    async fn complete(&self, upload: Begun<'_>, _: &How, _: &[String]) -> Result<Stored> {
        self.told("POST", &format!("{}?complete", upload.key), Bytes::new()).await
    }
    async fn abort(&self, key: &str, _: &str) -> Result<()> {
        self.told("DELETE", &format!("{key}?half"), Bytes::new()).await.map(drop)
    }
    async fn is_published(&self, _: &str, _: &str) -> Result<Option<Stored>> {
        Ok(None)
    }
    async fn get(
        &self,
        key: &str,
        from: u64,
        length: u64,
        _: Option<&str>,
        into: &mut Received,
    ) -> Result<()> {
        let range = format!("bytes={from}-{}", from.saturating_add(length).saturating_sub(1));
        let answer = self.ask("GET", key, Bytes::new(), Some(range)).await?;
        into.version = Some("1".to_owned());
        answer.receive(from, length, into).await
    }
    async fn stat(&self, key: &str) -> Result<Option<Object>> {
        self.told("HEAD", key, Bytes::new()).await.map(|_| None)
    }
    async fn list(&self, _: &Listing<'_>) -> Result<Listed> {
        self.ask("GET", "", Bytes::new(), None).await?.text().await.map(|_| Listed::default())
    }
    async fn delete(&self, keys: &[String]) -> Result<Vec<Result<()>>> {
        self.told("DELETE", &keys[0], Bytes::new()).await.map(|_| vec![Ok(())])
    }
    async fn unfinished(&self, _: &str) -> Result<Vec<Leftover>> {
        Ok(Vec::new())
    }
}

fn storage(double: &Double) -> Objects<Web> {
    let http = Http::new(HttpOptions {
        ca_file: None,
        connect_timeout: Duration::from_secs(60),
        timeout: Duration::from_millis(250),
        plain: true,
    });
    let mut retry = Retry::default();
    (retry.attempts, retry.first_wait) = (4, Duration::from_millis(1));
    let service = Web { http, endpoint: double.endpoint().to_owned() };
    Objects::with_retry(service, Settings { concurrency: 4, part_bytes: PART as u64 }, retry)
}

fn bytes() -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 251) as u8).collect()
}

fn put(storage: &Objects<Web>, content: &[u8]) -> Result<()> {
    let mut upload = storage.create(&Context::default(), "a", &CreateOptions::default())?;
    upload.write_all(content)?;
    upload.finish()?;
    upload.publish().map(drop)
}

fn get(storage: &Objects<Web>) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    storage.open(&Context::default(), "a", None)?.read_to_end(&mut read)?;
    Ok(read)
}

/// What is asked for of the object.
fn ranged(asked: &Asked) -> Said {
    let range = asked.header("range").strip_prefix("bytes=").and_then(|range| range.split_once('-')).unwrap();
    let (from, last): (usize, u64) = (range.0.parse().unwrap(), range.1.parse().unwrap());
    let end = usize::try_from(last).map_or(LENGTH, |last| (last + 1).min(LENGTH));
    Said::status(206)
        .header("content-range", format!("bytes {from}-{}/{LENGTH}", end - 1))
        .body(&bytes()[from..end])
}

#[test]
fn nothing_is_waited_for_without_end() {
    let double = Double::start(|_| Said::silence());
    let (storage, cx) = (storage(&double), Context::default());
    for (what, error) in [
        ("upload", put(&storage, b"small").unwrap_err()),
        ("upload in parts", put(&storage, &bytes()).unwrap_err()),
        ("download", get(&storage).unwrap_err()),
        ("stat", storage.stat(&cx, "a").unwrap_err()),
        ("list", storage.list(&cx, &ListOptions::default()).unwrap_err()),
        ("delete", storage.delete(&cx, &["a".to_owned()]).unwrap().remove(0).unwrap_err()),
    ] {
        assert_eq!(error.kind, ErrorKind::TimedOut, "{what}: {error}");
        assert!(format!("{error:?}").contains("no answer from `127.0.0.1`"), "{what}: {error:?}");
    }
}

#[test]
fn an_upload_goes_on_where_each_request_is_met_with_silence_once() {
    let (seen, parts) = (Mutex::new(HashSet::new()), std::sync::Arc::new(Mutex::new(BTreeMap::new())));
    let kept = parts.clone();
    let double = Double::start(move |asked| {
        if seen.lock().unwrap().insert((asked.method.clone(), asked.path.clone())) {
            return Said::silence();
        }
        if asked.method == "PUT" {
            kept.lock().unwrap().insert(asked.path.clone(), asked.body.clone());
        }
        Said::status(200)
    });
    put(&storage(&double), &bytes()).unwrap();
    let stored: Vec<u8> = parts.lock().unwrap().values().flatten().copied().collect();
    assert!(stored == bytes(), "other bytes were stored");
}

#[test]
fn a_download_that_stands_still_in_the_middle_goes_on_from_there() {
    let stood = Mutex::new(false);
    let double = Double::start(move |asked| {
        let said = ranged(asked);
        if std::mem::replace(&mut *stood.lock().unwrap(), true) { said } else { said.cut_at(1500).silent() }
    });
    assert!(get(&storage(&double)).unwrap() == bytes(), "other bytes came back");
    let ranges: Vec<_> = double.asked().iter().map(|asked| asked.header("range").to_owned()).collect();
    assert!(ranges[1].starts_with("bytes=1500-"), "{ranges:?}");
}

#[test]
fn a_download_that_stands_still_every_time_is_told() {
    let double = Double::start(move |asked| match asked.header("range").starts_with("bytes=0-") {
        true => ranged(asked).cut_at(1500).silent(),
        false => ranged(asked).cut_at(0).silent(),
    });
    let error = get(&storage(&double)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(format!("{error:?}").contains("`127.0.0.1` sent nothing more"), "{error:?}");
}
