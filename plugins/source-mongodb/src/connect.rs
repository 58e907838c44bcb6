//! The connection: a client of the official driver, with limits of time and the run's cancelling around each call.
//!
//! The driver is asynchronous and a source is not: each call of the source gets a runtime of its own, blocks on it, and
//! ends it. Sinks and readers are called through `outside` and block; that is the back-pressure, and only this thread's.

use std::future::IntoFuture;
use std::time::Duration;

use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::{
    ClientOptions, Credential, ReadPreference, SelectionCriteria, ServerAddress, Tls, TlsOptions,
};
use tokio::sync::watch;
use windlass_plugin_api::{CancelGuard, Context, Error, ErrorKind, Result};

use crate::errors;
use crate::options::Options;

/// How long tidying up may take once a run has failed.
const TIDYING: Duration = Duration::from_secs(5);

/// A connected client.
pub(crate) struct Server {
    pub(crate) client: Client,
    pub(crate) cx: Context,
    /// The server's answer to `hello`.
    pub(crate) hello: Document,
    /// The database of the options or of the URL.
    pub(crate) database: Option<String>,
    /// Whether all reads go to one server: the primary, or the only one that is spoken to.
    pub(crate) one_member: bool,
    /// Where it is, without user and password.
    pub(crate) place: String,
    patience: Duration,
    cancelled: watch::Receiver<bool>,
    _guard: CancelGuard,
}

/// Connects, and runs `work` to its end.
pub(crate) fn with_server<T>(
    cx: &Context,
    options: &Options,
    work: impl AsyncFnOnce(&Server) -> Result<T>,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("windlass-mongodb")
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let server = Server::connect(cx, options).await?;
        let result = work(&server).await;
        // Cursors and sessions that a failure left open are ended by this. A dead server must not hold us.
        let _ = tokio::time::timeout(TIDYING, server.client.clone().shutdown()).await;
        result
    });
    runtime.shutdown_background();
    result
}

/// Calls what may block, and may have a runtime of its own: a storage, a sink, a reader.
pub(crate) fn outside<T>(call: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(call)
}

impl Server {
    async fn connect(cx: &Context, options: &Options) -> Result<Self> {
        let (cancel, cancelled) = watch::channel(false);
        let guard = cx.on_cancel(move || {
            cancel.send_replace(true);
        });
        let settings = settings(cx, options).await?;
        let place = settings.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let database = options.database.clone().or_else(|| settings.default_database.clone());
        let one_member = settings.direct_connection == Some(true) || reads_from_the_primary(&settings);
        let client = Client::with_options(settings);
        let client = client.map_err(|error| errors::told(&error, "use the options of the connection"))?;
        let (cx, patience) = (cx.clone(), options.connect_patience() * 2);
        let hello = Document::new();
        let mut server =
            Self { client, cx, hello, database, one_member, place, patience, cancelled, _guard: guard };
        let what = format!("reach `{}`", server.place);
        server.hello = server.command(&what, "admin", doc! { "hello": 1 }).await?;
        server.patience = options.patience();
        Ok(server)
    }

    /// Awaits an answer for as long as one may take, and no longer than the run lasts. `what` completes "can't …".
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        action: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        self.wait(Some(self.patience), what, action).await
    }

    /// As [`ask`](Self::ask), for what may take as long as it takes.
    pub(crate) async fn ask_patiently<T>(
        &self,
        what: &str,
        action: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        self.wait(None, what, action).await
    }

    /// For tidying up: a cancelled run may still do it, but not for long.
    pub(crate) async fn tidy<T>(
        &self,
        action: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Option<T> {
        tokio::time::timeout(TIDYING, action.into_future()).await.ok()?.ok()
    }

    /// Runs a command on a database.
    pub(crate) async fn command(&self, what: &str, db: &str, command: Document) -> Result<Document> {
        self.ask(what, self.client.database(db).run_command(command)).await
    }

    async fn wait<T>(
        &self,
        limit: Option<Duration>,
        what: &str,
        action: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T> {
        let mut cancelled = self.cancelled.clone();
        let late = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = action.into_future() => answer.map_err(|error| errors::told(&error, what)),
            _ = cancelled.wait_for(|cancelled| *cancelled) => Err(Error::cancelled()),
            () = late => {
                let message = format!("can't {what}: no answer in {} seconds", limit.unwrap_or_default().as_secs());
                Err(Error::new(ErrorKind::TimedOut, message).hint("The option `timeout` says how long to wait."))
            }
        }
    }
}

/// The driver's options out of ours.
async fn settings(cx: &Context, options: &Options) -> Result<ClientOptions> {
    let mut settings = match &options.url {
        Some(url) => ClientOptions::parse(url.0.as_str()).await.map_err(|error| unparsed(&error))?,
        None => {
            let mut settings = ClientOptions::default();
            let host = options.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
            settings.hosts = vec![ServerAddress::Tcp { host, port: options.port }];
            settings.direct_connection = Some(true);
            settings
        }
    };
    if options.user.is_some() || options.password.is_some() || options.auth_source.is_some() {
        let mut credential: Credential = settings.credential.take().unwrap_or_default();
        credential.username = options.user.clone().or(credential.username);
        credential.source = options.auth_source.clone().or(credential.source);
        if let Some(password) = &options.password {
            credential.password = Some(cx.reveal(password)?);
        }
        settings.credential = Some(credential);
    }
    if options.tls || options.tls_ca.is_some() || options.tls_cert_key.is_some() {
        let mut tls = TlsOptions::default();
        if let Some(Tls::Enabled(given)) = settings.tls.take() {
            tls = given;
        }
        tls.ca_file_path = options.tls_ca.clone().or(tls.ca_file_path);
        tls.cert_key_file_path = options.tls_cert_key.clone().or(tls.cert_key_file_path);
        settings.tls = Some(Tls::Enabled(tls));
    }
    settings.app_name = Some("windlass".to_owned());
    settings.connect_timeout = Some(options.connect_patience());
    settings.server_selection_timeout = Some(options.connect_patience());
    Ok(settings)
}

fn reads_from_the_primary(settings: &ClientOptions) -> bool {
    matches!(
        settings.selection_criteria,
        None | Some(SelectionCriteria::ReadPreference(ReadPreference::Primary))
    )
}

/// The driver's words about a URL may repeat parts of it, a password among them: they stay out.
fn unparsed(error: &mongodb::error::Error) -> Error {
    if matches!(error.kind.as_ref(), mongodb::error::ErrorKind::DnsResolve { .. }) {
        return Error::new(ErrorKind::Unavailable, "the host of the URL can't be looked up");
    }
    Error::new(ErrorKind::Config, "the `url` can't be understood")
        .hint("Write `mongodb://user@host:27017/database`, and `%40` for an `@` inside a name.")
}
