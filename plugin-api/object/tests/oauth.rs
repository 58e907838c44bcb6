//! Tokens for a refresh token, from a double that answers as RFC 6749 says.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use windlass_object::oauth::{Grant, Tokens};
use windlass_object::{Http, HttpOptions};
use windlass_plugin_api::{ErrorKind, Secret};
use windlass_test_servers::{Asked, Double, Said};
use windlass_testkit::TestHost;

fn secret(name: &str) -> Secret {
    serde_json::from_value(json!({ "$secret": name })).unwrap()
}

/// Tokens of a double, and what the service would be told of who asks.
fn tokens(double: &Double) -> Tokens {
    let host = TestHost::new().secret("refresh", "hunter2-refresh\n").secret("password", "hunter2&=");
    let http = HttpOptions {
        ca_file: None,
        connect_timeout: Duration::from_secs(5),
        timeout: Duration::from_secs(5),
        plain: true,
    };
    let grant = Grant::Refresh {
        token_url: format!("{}/token", double.endpoint()),
        client_id: "app".to_owned(),
        client_secret: Some(secret("password")),
        refresh_token: secret("refresh"),
    };
    Tokens::new(&host.context(), Arc::new(Http::new(http)), grant)
}

/// A service that gives out the tokens 1, 2, …, each good for so many seconds.
fn service(seconds: u64, rotates: bool) -> Double {
    let count = std::sync::atomic::AtomicU32::new(0);
    Double::start(move |_: &Asked| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        let mut answer = json!({ "access_token": format!("token-{number}"), "expires_in": seconds });
        if rotates {
            answer["refresh_token"] = json!(format!("refresh-{number}"));
        }
        Said::status(200).body(answer.to_string())
    })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn forms(double: &Double) -> Vec<String> {
    double.asked().into_iter().map(|asked| String::from_utf8(asked.body).unwrap()).collect()
}

#[test]
fn a_token_is_asked_for_once_while_it_is_good() {
    let double = service(3600, false);
    let tokens = tokens(&double);
    run(async {
        assert_eq!(tokens.token().await.unwrap(), "token-1");
        assert_eq!(tokens.token().await.unwrap(), "token-1");
    });
    let form =
        "grant_type=refresh_token&refresh_token=hunter2-refresh&client_id=app&client_secret=hunter2%26%3D";
    assert_eq!(forms(&double), [form]);
}

#[test]
fn a_token_that_is_over_or_refused_is_renewed_once_for_all_requests() {
    let double = service(30, false);
    let tokens = tokens(&double);
    run(async {
        assert_eq!(tokens.token().await.unwrap(), "token-1");
        // It has 30 seconds left: too few to begin a request with.
        assert_eq!(tokens.token().await.unwrap(), "token-2");
        assert!(tokens.renew("token-2").await.unwrap());
        // Another request was refused with the same one.
        assert!(tokens.renew("token-2").await.unwrap());
    });
    assert_eq!(forms(&double).len(), 3);
}

#[test]
fn a_newer_refresh_token_is_the_one_that_is_used() {
    let double = service(1, true);
    let tokens = tokens(&double);
    run(async {
        for _ in 0..3 {
            tokens.token().await.unwrap();
        }
    });
    let used: Vec<String> =
        forms(&double).iter().map(|form| form.split('&').nth(1).unwrap().to_owned()).collect();
    assert_eq!(used, ["refresh_token=hunter2-refresh", "refresh_token=refresh-1", "refresh_token=refresh-2"]);
}

#[test]
fn a_refusal_says_what_helps_and_shows_no_secret() {
    let refused = |status, code: &'static str| {
        let double = Double::start(move |_| Said::status(status).body(json!({ "error": code }).to_string()));
        run(tokens(&double).token()).unwrap_err()
    };
    let revoked = refused(400, "invalid_grant");
    assert_eq!(revoked.kind, ErrorKind::Denied);
    assert!(revoked.hint.as_deref().unwrap().contains("make a new one"), "{revoked:?}");
    assert!(refused(401, "invalid_client").hint.unwrap().contains("client_secret"));
    assert_eq!(refused(503, "temporarily_unavailable").kind, ErrorKind::Unavailable);
    assert!(!format!("{revoked:?}").contains("hunter2"));
}
