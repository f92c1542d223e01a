//! Whether a private key is a certificate's own. Of the key nothing is kept and nothing is told but the answer.

use tokio_rustls::rustls::crypto::ring::sign::any_supported_type;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use zeroize::{Zeroize, Zeroizing};

use crate::domain::certificate::{KeyState, Parts};

/// OIDs of kinds of keys, whole DER elements.
const RSA: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// A key in PEM, wiped when it is dropped. What it was copied from on its way here was the program's own memory, which is neither
/// swapped out nor dumped (`store::guard_memory`).
pub(super) type Pem = Zeroizing<Vec<u8>>;

/// Compares the public keys of both.
pub(super) fn compare(pem: &Pem, of: &Parts) -> KeyState {
    let pem = pem.as_slice();
    let unknown = |why: &str| KeyState::Unknown(why.to_owned());
    if memchr::memmem::find(pem, b"ENCRYPTED").is_some() {
        return unknown("the key is encrypted");
    }
    let Ok(mut key) = PrivateKeyDer::from_pem_slice(pem) else { return unknown("what lies there is no private key in PEM") };
    let signing = any_supported_type(&key);
    key.zeroize();
    let Some(public) = signing.ok().and_then(|key| key.public_key().map(|p| p.to_vec())) else {
        return unknown("it is a key of a kind that is not read here");
    };
    if public == of.public_key {
        return KeyState::Matches;
    }
    // What differs only in how it is written is the same all the same: a point of a curve in its short form, RSA for one use only.
    if is_usual(&public) && is_usual(&of.public_key) { KeyState::Other } else { unknown("its public part is written in an unusual way") }
}

/// Whether a public key is written in the one way that is usual for its kind: RSA (RFC 3279), a whole point of P-256, P-384 or P-521
/// (RFC 5480), Ed25519 (RFC 8410).
fn is_usual(spki: &[u8]) -> bool {
    let has = |oid: &[u8]| memchr::memmem::find(spki.get(..24).unwrap_or(spki), oid).is_some();
    has(RSA) || has(EC) && matches!(spki.len(), 91 | 120 | 158) || has(ED25519)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm};

    use super::*;
    use crate::domain::certificate::parts;

    fn made(kind: &'static SignatureAlgorithm) -> (Parts, String) {
        let key = KeyPair::generate_for(kind).unwrap();
        let cert = rcgen::CertificateParams::new(vec!["x".into()]).unwrap().self_signed(&key).unwrap();
        (parts(cert.der()).unwrap(), key.serialize_pem())
    }

    fn is(text: &str, of: &Parts) -> KeyState {
        compare(&Zeroizing::new(text.into()), of)
    }

    #[test]
    fn a_key_is_its_own_anothers_or_not_known() {
        let kinds = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519].map(|kind| (made(kind), made(kind).1));
        for ((cert, own), other) in &kinds {
            assert_eq!(is(own, cert), KeyState::Matches);
            assert_eq!(is(other, cert), KeyState::Other);
            assert_eq!(is(&format!("words before\n{own}"), cert), KeyState::Matches);
        }
        for ((cert, _), _) in &kinds {
            let others = kinds.iter().filter(|((c, _), _)| c != cert);
            assert!(others.clone().all(|((_, key), _)| is(key, cert) == KeyState::Other), "of another kind");
        }
        let ((cert, own), _) = &kinds[0];
        let encrypted = own.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        let half: String = own.lines().take(2).collect::<Vec<_>>().join("\n");
        for (text, why) in [
            (encrypted.as_str(), "the key is encrypted"),
            ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAA==\n-----END RSA PRIVATE KEY-----\n", "the key is encrypted"),
            ("", "what lies there is no private key in PEM"),
            (half.as_str(), "what lies there is no private key in PEM"),
            ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "it is a key of a kind that is not read here"),
        ] {
            assert_eq!(is(text, cert), KeyState::Unknown(why.into()), "{text}");
        }
    }
}
