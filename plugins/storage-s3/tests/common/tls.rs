//! TLS before a server that speaks none: what is sent over `https://` can be looked at and refused by a double.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// A door with a certificate of its own. Its thread ends with the process.
pub struct Tls {
    port: u16,
    /// What a client has to trust, in PEM form.
    pub certificate: String,
}

impl Tls {
    /// Before the server on that port of this machine.
    pub fn before(upstream: u16) -> Self {
        let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let (told, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(serve(TlsAcceptor::from(Arc::new(config)), upstream, told));
        });
        Self { port: port.recv().unwrap(), certificate: issued.cert.pem() }
    }

    pub fn endpoint(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }
}

async fn serve(acceptor: TlsAcceptor, upstream: u16, told: std::sync::mpsc::Sender<u16>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    told.send(listener.local_addr().unwrap().port()).unwrap();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let (Ok(mut client), Ok(mut server)) =
                (acceptor.accept(client).await, TcpStream::connect(("127.0.0.1", upstream)).await)
            else {
                return;
            };
            // A client that goes away in the middle is no failure of the door.
            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        });
    }
}
