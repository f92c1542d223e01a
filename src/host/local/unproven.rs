//! TLS for those who only look at what a port shows: the chain is recorded and not believed, whatever it is.
//!
//! A connection of this kind is proven by nobody. No password, token or cookie may ever be sent on it: it carries the question for
//! the head of a page, or nothing at all. Whoever has something to say to a host uses `host::api`, which proves first.

use std::io::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme, crypto};

use crate::domain::clean::clean;
use crate::domain::ports::Chain;

/// A TLS client that looks.
pub(super) fn client() -> Result<TlsConnector, Error> {
    let provider = Arc::new(crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Looks(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would show no certificate.
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The handshake, asked for by a name where there is one; what was shown, and the connection. Fails with how it went, in words.
pub(super) async fn handshake(
    client: &TlsConnector,
    tcp: TcpStream,
    place: SocketAddr,
    name: Option<&str>,
) -> Result<(TlsStream<TcpStream>, Chain), String> {
    let asked = match name {
        Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| format!("nobody can be asked by the name {}", clean(name)))?,
        // An address is never said in a handshake (RFC 6066, 3).
        None => ServerName::from(place.ip()),
    };
    let stream = client.connect(asked, tcp).await.map_err(|e| words(&e))?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().iter().map(|c| c.to_vec()).collect();
    Ok((stream, chain))
}

fn words(e: &Error) -> String {
    match e.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidMessage(_)) => "what answers speaks no TLS".to_owned(),
        Some(rustls::Error::AlertReceived(alert)) => format!("it refuses: {}", clean(&format!("{alert:?}"))),
        Some(other) => clean(&other.to_string()),
        None => "it hung up at the handshake".to_owned(),
    }
}

/// Takes any chain, and has whoever shows it prove that the key of the first one is his.
#[derive(Debug)]
struct Looks(Arc<CryptoProvider>);

impl ServerCertVerifier for Looks {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
