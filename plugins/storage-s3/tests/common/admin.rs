//! Requests that only an administrator makes: buckets with versions and locks are made by them, and looked into.

use bytes::Bytes;
use reqsign_aws_v4::{Credential, RequestSigner};
use reqsign_core::SignRequest;
use windlass_object::{Http, HttpOptions};
use windlass_test_servers::Seaweed;

use super::server;

/// One request of the administrator's; status and body.
pub fn admin(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut request =
            http::Request::builder().method(method).uri(format!("{}{path}", server().endpoint()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) =
            request.header("x-amz-content-sha256", "UNSIGNED-PAYLOAD").body(()).unwrap().into_parts();
        let credential = Credential {
            access_key_id: Seaweed::ADMIN.id.to_owned(),
            secret_access_key: Seaweed::ADMIN.secret.to_owned(),
            ..Credential::default()
        };
        let signer = RequestSigner::new("s3", "us-east-1");
        signer
            .sign_request(&reqsign_core::Context::new(), &mut parts, Some(&credential), None)
            .await
            .unwrap();
        let patience = std::time::Duration::from_secs(60);
        let http = Http::new(HttpOptions {
            ca_file: None,
            connect_timeout: patience,
            timeout: patience,
            plain: true,
        });
        let answer = http.send(http::Request::from_parts(parts, Bytes::from(body.to_owned()))).await.unwrap();
        (answer.status.as_u16(), answer.text().await.unwrap())
    })
}
