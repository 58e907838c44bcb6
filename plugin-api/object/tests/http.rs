//! Time limits of requests: a line on which bytes go is waited for, however long that takes, and silence is told.

use std::thread::sleep;
use std::time::Duration;

use bytes::Bytes;
use windlass_object::{Answer, Flow, Http, HttpOptions};
use windlass_plugin_api::{ErrorKind, Result};
use windlass_test_servers::{Double, Said};

/// How long a service may be silent here.
const SHORT: Duration = Duration::from_millis(500);

/// So long that nobody waits for it to end.
const LONG: Duration = Duration::from_secs(600);

fn http(timeout: Duration) -> Http {
    Http::new(HttpOptions { ca_file: None, connect_timeout: LONG, timeout, plain: true })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn put(double: &Double, length: usize) -> http::Request<Bytes> {
    http::Request::put(format!("{}/a", double.endpoint())).body(Bytes::from(vec![7; length])).unwrap()
}

fn flowing(double: &Double) -> http::Request<()> {
    http::Request::put(format!("{}/a", double.endpoint())).body(()).unwrap()
}

/// What came of an object, and how it ended.
async fn read(mut answer: Answer) -> (usize, Result<()>) {
    let mut count = 0;
    loop {
        match answer.chunk().await {
            Ok(Some(chunk)) => count += chunk.len(),
            Ok(None) => return (count, Ok(())),
            Err(error) => return (count, Err(error)),
        }
    }
}

#[test]
fn a_stream_whose_source_is_slower_than_the_time_limit_goes_up_whole() {
    let double = Double::start(|_| Said::status(201));
    let http = http(SHORT);
    let answer = run(async {
        let (flow, end) = Flow::new(LONG);
        let source = async move {
            assert!(flow.send(Bytes::from_static(b"piece")).await.unwrap());
            tokio::time::sleep(2 * SHORT).await;
            assert!(flow.send(Bytes::from(vec![7; 10_000_000])).await.unwrap());
            // Storing ten MB may take two seconds more.
            assert_eq!(flow.patience_at_end(), LONG + Duration::from_secs(2));
        };
        tokio::join!(http.send_flow(flowing(&double), end), source).0
    });
    assert_eq!(answer.unwrap().status, 201);
    assert_eq!(double.asked()[0].body.len(), 10_000_005);
}

#[test]
fn a_part_may_take_longer_than_the_time_limit_by_its_length() {
    let double = Double::start(|_| {
        sleep(3 * SHORT);
        Said::status(201)
    });
    // A MB is given 20 seconds more.
    let answer = run(http(SHORT).send(put(&double, 1_000_000)));
    assert_eq!(answer.unwrap().status, 201);
}

#[test]
fn a_service_that_never_answers_is_told_with_the_time_that_it_had() {
    let double = Double::start(|_| Said::silence());
    let error = run(http(SHORT).send(put(&double, 10))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("no answer from `127.0.0.1`"), "{error}");
}

#[test]
fn a_reader_that_is_slow_is_no_silent_service() {
    let double = Double::start(|_| Said::status(200).body(vec![7; 3_000_000]));
    let (count, end) = run(async {
        let mut answer = http(SHORT).send(put(&double, 1_000_000)).await.unwrap();
        // It is the reader that is slow, and not a service that is silent.
        let first = answer.chunk().await.unwrap().unwrap().len();
        tokio::time::sleep(3 * SHORT).await;
        let (rest, end) = read(answer).await;
        (first + rest, end)
    });
    end.unwrap();
    assert_eq!(count, 3_000_000);
}

#[test]
fn a_body_that_stands_still_is_told_with_what_came_before() {
    let double = Double::start(|_| Said::status(200).body(vec![7; 1_000_000]).cut_in_half("GET").silent());
    let (count, end) = run(async { read(http(SHORT).send(put(&double, 1_000_000)).await.unwrap()).await });
    let error = end.unwrap_err();
    assert_eq!((error.kind, count), (ErrorKind::TimedOut, 500_000), "{error}");
    assert!(error.to_string().contains("`127.0.0.1` sent nothing more"), "{error}");
}

#[test]
fn a_service_that_takes_nothing_more_of_a_stream_is_told() {
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = format!("http://{}/a", deaf.local_addr().unwrap());
    let error = run(async {
        let (flow, end) = Flow::new(SHORT);
        let http = http(LONG);
        let request = http::Request::put(address).body(()).unwrap();
        let source = async move {
            loop {
                if let Err(error) = flow.send(Bytes::from(vec![7; 1_000_000])).await {
                    return error;
                }
            }
        };
        tokio::select! {
            answer = http.send_flow(request, end) => panic!("{answer:?}"),
            error = source => error,
        }
    });
    assert_eq!(error.kind, ErrorKind::TimedOut, "{error}");
}
