//! Whom we believe: the authorities or pins a host is checked against, and the check itself.
//!
//! A pinned certificate is believed whatever name it carries, but not beyond its dates. Sessions are never resumed, since
//! a resumed one would skip the check.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme, crypto,
};

use super::error::ApiError;
use crate::domain::certificate::{self, Certificate};
use crate::domain::clean::clean;
use crate::domain::credential::{Fingerprint, Trust};
use crate::domain::stamp::Stamp;
use crate::host::{Host, Look, bytes_of};

/// More than this is no file of certificates.
const MOST: usize = 1 << 20;
/// What pveproxy on this node shows, the first that is there (pveproxy(8)), and who signs it.
const OWN: [&str; 2] = ["/etc/pve/local/pveproxy-ssl.pem", "/etc/pve/local/pve-ssl.pem"];
const OWN_AUTHORITY: &str = "/etc/pve/pve-root-ca.pem";

/// Why a host was not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// The certificate is no longer valid.
    Expired,
    /// It is not valid yet.
    NotYet,
    /// It is for other names.
    WrongName,
    /// Nobody we trust has signed it.
    UnknownIssuer,
    /// It is another one than the pinned.
    Changed(Fingerprint),
    /// Anything else that is wrong with it.
    Bad(String),
}

/// A host that was not believed; nothing was sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distrusted {
    /// Why.
    pub why: Distrust,
    /// The name or address it was asked for by.
    pub asked: String,
    /// What it showed; `None` where that could not be read.
    pub shown: Option<Certificate>,
    /// What time it was here.
    pub now: Stamp,
}

impl std::error::Error for Distrusted {}

impl fmt::Display for Distrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(c) = &self.shown else { return write!(f, "the certificate cannot be read") };
        let day = |at: Stamp| at.minute(0);
        match &self.why {
            Distrust::Expired => write!(f, "the certificate expired on {} UTC; the clock here says {}", day(c.not_after), day(self.now)),
            Distrust::NotYet => {
                write!(f, "the certificate is valid from {} UTC only; the clock here says {}", day(c.not_before), day(self.now))
            }
            Distrust::WrongName => {
                let names: Vec<String> = c.names.iter().take(12).map(|n| clean(n)).collect();
                let names = if names.is_empty() { "no name at all".into() } else { names.join(", ") };
                write!(f, "the certificate is for {names}, not for {}", self.asked)
            }
            Distrust::UnknownIssuer => write!(f, "the certificate was signed by '{}', which is not trusted here", clean(&c.issuer)),
            Distrust::Changed(want) => write!(f, "the certificate is another one than the pinned: pinned {want}, shown {}", c.fingerprint),
            Distrust::Bad(why) => write!(f, "the certificate is not good: {why}"),
        }
    }
}

/// Authorities and pins.
#[derive(Debug, Default)]
pub struct Anchors {
    /// Authorities.
    pub roots: Vec<CertificateDer<'static>>,
    /// Certificates that are believed by themselves.
    pub pins: Vec<Fingerprint>,
}

impl Anchors {
    /// One pinned certificate.
    pub fn pin(pin: Fingerprint) -> Anchors {
        Anchors { pins: vec![pin], roots: Vec::new() }
    }

    /// The certificates in a PEM text. Each is an authority, or, where it is the very one a host shows, believed by itself.
    pub fn pem(what: &str, text: &[u8]) -> Result<Anchors, ApiError> {
        let wrong = |why: String| ApiError::Anchors { what: what.to_owned(), why };
        let roots: Vec<_> =
            CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|e| wrong(format!("it is no PEM: {e}")))?;
        if roots.is_empty() {
            return Err(wrong("there is no certificate in it".into()));
        }
        let pins = roots.iter().map(|c| certificate::fingerprint(c)).collect();
        Ok(Anchors { roots, pins })
    }

    /// What a choice of trust means on this host.
    pub async fn of(host: &dyn Host, trust: &Trust) -> Result<Anchors, ApiError> {
        match trust {
            Trust::Pin(pin) => Ok(Anchors::pin(*pin)),
            Trust::Pem(text) => Anchors::pem("the given certificate", text.as_bytes()),
            Trust::File(path) => {
                let found = host.look(vec![Look::File(path.clone(), MOST)]).await;
                let bytes = found.first().map_or(Ok(&[][..]), bytes_of);
                let bytes = bytes.map_err(|e| ApiError::Anchors { what: clean(path), why: e.to_string() })?;
                Anchors::pem(&clean(path), bytes)
            }
            Trust::System => Anchors::system(host).await,
        }
    }

    /// The authorities of this system; on a Proxmox node also its own certificates and authority, so that nobody need be asked.
    async fn system(host: &dyn Host) -> Result<Anchors, ApiError> {
        let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
        let mut all = Anchors { roots: native.map(|n| n.certs).unwrap_or_default(), pins: Vec::new() };
        let paths = OWN.into_iter().chain([OWN_AUTHORITY]).map(|p| Look::File(p.to_owned(), MOST)).collect();
        for (nth, found) in host.look(paths).await.iter().enumerate() {
            let Some(own) = bytes_of(found).ok().and_then(|b| Anchors::pem("", b).ok()) else { continue };
            // The first certificate of a chain is the node's; the others only lead to it.
            if nth < OWN.len() {
                all.pins.extend(own.pins.first());
            } else {
                all.roots.extend(own.roots);
            }
        }
        if all.roots.is_empty() && all.pins.is_empty() {
            return Err(ApiError::Anchors { what: "this system".into(), why: "it trusts no authority at all".into() });
        }
        Ok(all)
    }
}

/// A TLS client that believes only these.
pub(super) fn client(anchors: Anchors) -> Result<ClientConfig, ApiError> {
    let provider = Arc::new(crypto::ring::default_provider());
    let wrong = |why: String| ApiError::Anchors { what: "the trusted certificates".into(), why };
    let mut roots = RootCertStore::empty();
    // A system's store may hold some that cannot be read; they are then not trusted.
    roots.add_parsable_certificates(anchors.roots);
    let chain = if roots.is_empty() {
        None
    } else {
        let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
        Some(built.map_err(|e| wrong(e.to_string()))?)
    };
    if chain.is_none() && anchors.pins.is_empty() {
        return Err(wrong("none of them can be used".into()));
    }
    let checker = Checker { chain, pins: anchors.pins, provider: Arc::clone(&provider) };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| wrong(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(checker))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Why a handshake failed, where that was for want of trust.
pub(super) fn distrust(error: &std::io::Error) -> Option<Distrusted> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.downcast_ref::<Distrusted>().cloned(),
        _ => None,
    }
}

#[derive(Debug)]
struct Checker {
    chain: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<Fingerprint>,
    provider: Arc<CryptoProvider>,
}

impl Checker {
    fn check(
        &self,
        shown: &Certificate,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Distrust> {
        if self.pins.contains(&shown.fingerprint) {
            let now = stamp(now);
            return match () {
                () if now < shown.not_before => Err(Distrust::NotYet),
                () if now > shown.not_after => Err(Distrust::Expired),
                () => Ok(()),
            };
        }
        let Some(chain) = &self.chain else {
            return Err(self.pins.first().map_or(Distrust::UnknownIssuer, |want| Distrust::Changed(*want)));
        };
        chain.verify_server_cert(leaf, rest, name, &[], now).map(drop).map_err(|e| match e {
            Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => Distrust::Expired,
            Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => Distrust::NotYet,
            Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) => {
                Distrust::WrongName
            }
            // An authority of the same name with another key: a node that was set up anew.
            Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => Distrust::UnknownIssuer,
            other => Distrust::Bad(clean(&other.to_string())),
        })
    }
}

fn stamp(now: UnixTime) -> Stamp {
    Stamp::from_secs(i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

impl ServerCertVerifier for Checker {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = certificate::read(leaf);
        let why = match &shown {
            Some(shown) => match self.check(shown, leaf, rest, name, now) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(why) => why,
            },
            None => Distrust::Bad("it cannot be read".into()),
        };
        let told = Distrusted { why, asked: name.to_str().into_owned(), shown, now: stamp(now) };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(told)))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
