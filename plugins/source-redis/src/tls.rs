//! TLS by rustls: which certificates are trusted, and our own for a server that asks for one.
//!
//! There is no switch that trusts everybody: a private authority is named by `ca_file`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use windlass_plugin_api::{Error, ErrorKind, Result};

use crate::address::{Address, Place};
use crate::options::Options;

/// A session that hasn't spoken yet.
pub fn session(options: &Options, address: &Address) -> Result<ClientConnection> {
    let host = match (&options.tls_server_name, &address.place) {
        (Some(name), _) => name.clone(),
        (None, Place::Tcp(host, _)) => host.clone(),
        (None, Place::Unix(_)) => String::new(),
    };
    let name = ServerName::try_from(host.clone())
        .map_err(|error| wrong(format!("`{host}` can't be the name in a certificate")).because(&error))?;
    ClientConnection::new(config(options)?, name).map_err(|error| wrong("can't set TLS up").because(&error))
}

fn config(options: &Options) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("can't set TLS up").because(&error))?
        .with_root_certificates(roots(options)?);
    let config = match (&options.cert_file, &options.key_file) {
        (Some(cert), Some(key)) => {
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
            builder
                .with_client_auth_cert(certificates(cert)?, key)
                .map_err(|error| wrong("`cert_file` and `key_file` don't fit").because(&error))?
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn roots(options: &Options) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let Some(path) = &options.ca_file else {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(wrong("the system has no certificates to judge the server's by")
                .hint("Name them with `ca_file`, or install the package `ca-certificates`."));
        }
        return Ok(roots);
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unreadable(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| unreadable(path, &error))?;
    if certificates.is_empty() {
        return Err(wrong(format!("`{}` holds no certificate", path.display())));
    }
    Ok(certificates)
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, message)
}

fn unreadable(path: &Path, error: &dyn std::error::Error) -> Error {
    wrong(format!("can't read `{}`", path.display())).because(error)
}

/// Whether one side didn't accept the other. A server may say so only after we took the session for made.
pub fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Why no session came to be.
pub fn refused(error: io::Error) -> Error {
    let hint = "Does the server speak TLS on that port, is `ca_file` its authority, and does it ask for `cert_file`?";
    Error { kind: ErrorKind::Denied, ..Error::from(error) }
        .during("no TLS session with the server")
        .hint(hint)
}
