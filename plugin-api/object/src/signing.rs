//! What reqsign needs of the world to find credentials: files, the environment, and a short-spoken HTTP client for the
//! metadata services of the clouds.
//!
//! It runs no command: `credential_process` of a profile isn't supported.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqsign_core::{Context, Error, FileRead, HttpSend, OsEnv, Result};

use crate::http::Http;

/// A metadata service is next door, or not there at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// A context for reqsign's providers of credentials that sends by `http`.
pub fn context(http: Arc<Http>) -> Context {
    Context::new().with_env(OsEnv).with_file_read(Files).with_http_send(Sender(http))
}

#[derive(Debug)]
struct Files;

impl FileRead for Files {
    async fn file_read(&self, path: &str) -> Result<Vec<u8>> {
        // Small files, and once a run.
        std::fs::read(path)
            .map_err(|error| Error::config_invalid(format!("can't read `{path}`")).with_source(error))
    }
}

struct Sender(Arc<Http>);

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl HttpSend for Sender {
    async fn http_send(&self, request: http::Request<Bytes>) -> Result<http::Response<Bytes>> {
        let ask = async {
            let answer = self.0.send(request).await?;
            let (status, headers) = (answer.status, answer.headers.clone());
            Ok::<_, windlass_plugin_api::Error>((status, headers, answer.text().await?))
        };
        let told = tokio::time::timeout(PATIENCE, ask).await;
        let told = told.map_err(|_| Error::unexpected("no answer in time").set_retryable(true))?;
        let (status, headers, text) =
            told.map_err(|error| Error::unexpected(error.one_line()).set_retryable(true))?;
        let mut response = http::Response::new(Bytes::from(text));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}
