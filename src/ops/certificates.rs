//! Looks which certificates there are and how they stand.

use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::domain::caddy::DATA;
use crate::domain::ports::Chain;

/// Certificates that Caddy has in its data, as an archive, and none of the keys beside them.
pub(super) fn without_keys() -> Vec<String> {
    let words = ["tar", "-C", "/", "--exclude", "*.key", "-cf", "-"].into_iter().map(str::to_owned);
    words.chain(DATA.iter().map(|dir| format!("{}/certificates", dir.trim_start_matches('/')))).collect()
}

/// The certificates of a PEM text in its order, each in DER. Fails with why there are none, one clean sentence.
pub(super) fn chain(pem: &[u8]) -> Result<Chain, String> {
    let all: Result<Chain, _> = CertificateDer::pem_slice_iter(pem).map(|c| c.map(|c| c.to_vec())).collect();
    match all {
        Ok(all) if all.is_empty() => Err("there is no certificate in it".into()),
        Ok(all) => Ok(all),
        Err(e) => Err(format!("it is no PEM: {}", crate::domain::clean::clean(&e.to_string()))),
    }
}
