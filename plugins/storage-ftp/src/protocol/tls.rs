//! TLS of both connections of a session. The data connections resume the session of their control connection, and no other:
//! many servers demand that, for it proves that both have the same client.
//!
//! So TLS 1.2 comes first: its sessions can be resumed as often as there are files. A session of TLS 1.3 is resumed by tickets that
//! are good for one use, and which come when the server likes: with a server that demands them, one is missing sooner or later.
//! A server that has no other in common with us gets that.

use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConfig, RootCertStore};
use tokio::time::{Duration, timeout};
use tokio_rustls::TlsConnector;
use windlass_plugin_api::{Error, ErrorKind, Result};

use super::Fault;
use super::control::{Wire, lost};

/// Held for one server alone.
const SESSIONS: usize = 8;

/// Which version is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.2 alone.
    Resumed,
    /// 1.3 alone.
    Newest,
}

/// How a session speaks TLS.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Tls {
    /// For one session with `host`, judged by the certificates in `ca_file` or by the system's.
    pub fn new(host: &str, ca_file: Option<&Path>, version: Version) -> Result<Self> {
        let wrong = |message: String| Error::new(ErrorKind::Config, message);
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| wrong(format!("`{host}` is no name that a certificate could have")))?;
        let version = match version {
            Version::Resumed => &TLS12,
            Version::Newest => &TLS13,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .map_err(|error| wrong("can't set TLS up".to_owned()).because(&error))?;
        let mut config = builder.with_root_certificates(roots(ca_file)?).with_no_client_auth();
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self { config: Arc::new(config), name })
    }

    /// Begins TLS on a connection.
    pub async fn begin<W: Wire + 'static>(
        &self,
        wire: W,
        patience: Duration,
    ) -> Result<Box<dyn Wire>, Fault> {
        let connector = TlsConnector::from(self.config.clone());
        let begun = timeout(patience, connector.connect(self.name.clone(), wire)).await;
        match begun.map_err(|_| Fault::Silent(patience))? {
            Ok(wire) => Ok(Box::new(wire)),
            Err(error) => Err(refused(&error)),
        }
    }
}

fn refused(error: &std::io::Error) -> Fault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => Fault::Untrusted(why.to_string()),
        Some(
            rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion | AlertDescription::HandshakeFailure,
            )
            | rustls::Error::PeerIncompatible(rustls::PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig),
        ) => Fault::Version,
        Some(rustls::Error::InvalidMessage(_)) => Fault::Odd("what it answers isn't TLS".to_owned()),
        _ => lost(error),
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore> {
    let wrong = |message: String| Error::new(ErrorKind::Config, message);
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match roots.is_empty() {
            true => Err(wrong("the system has no certificates to judge the server's by".to_owned())
                .hint("Name them with `ca_file`, or install the package `ca-certificates`.")),
            false => Ok(roots),
        };
    };
    let unreadable =
        |error: &dyn std::error::Error| wrong(format!("can't read `{}`", path.display())).because(error);
    let read =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    for certificate in read.map_err(|error| unreadable(&error))? {
        roots.add(certificate).map_err(|error| unreadable(&error))?;
    }
    match roots.is_empty() {
        true => Err(wrong(format!("`{}` holds no certificate", path.display()))),
        false => Ok(roots),
    }
}
