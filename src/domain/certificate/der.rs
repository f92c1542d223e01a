//! Reads what a certificate says of itself, for people. Whether it is to be believed is decided elsewhere.
//!
//! Only what is shown or compared is read (RFC 5280, 4.1): issuer, validity, subject, public key, alternative names.

use std::net::IpAddr;

use super::Certificate;
use crate::domain::credential::Fingerprint;
use crate::domain::stamp::Stamp;

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// The SHA-256 of a certificate as it is sent.
pub fn fingerprint(der: &[u8]) -> Fingerprint {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, der).as_ref());
    Fingerprint(out)
}

/// A certificate with those of its parts that are only compared, as they stand in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What it says.
    pub certificate: Certificate,
    /// Its subject, DER without tag and length.
    pub subject: Vec<u8>,
    /// Its issuer, likewise.
    pub issuer: Vec<u8>,
    /// Its public key: a whole `SubjectPublicKeyInfo` in DER.
    pub public_key: Vec<u8>,
}

/// Reads a certificate in DER; `None` where it is none.
pub fn read(der: &[u8]) -> Option<Certificate> {
    parts(der).map(|p| p.certificate)
}

/// Reads a certificate in DER with its parts; `None` where it is none.
pub fn parts(der: &[u8]) -> Option<Parts> {
    let mut tbs = Der(Der(Der(der).expect(SEQUENCE)?).expect(SEQUENCE)?);
    // [0] version, absent in version 1.
    if tbs.0.first() == Some(&0xa0) {
        tbs.next()?;
    }
    let (_serial, _algorithm) = (tbs.next()?, tbs.next()?);
    let issued_by = tbs.expect(SEQUENCE)?;
    let mut validity = Der(tbs.expect(SEQUENCE)?);
    let (not_before, not_after) = (time(validity.next()?)?, time(validity.next()?)?);
    let is = tbs.expect(SEQUENCE)?;
    let before = tbs.0;
    tbs.expect(SEQUENCE)?;
    let public_key = before.get(..before.len() - tbs.0.len())?.to_vec();
    let mut names = Vec::new();
    while let Some((tag, value)) = tbs.next() {
        if tag == 0xa3 {
            names = alternative_names(value)?;
        }
    }
    let (subject, issuer) = (name(is)?, name(issued_by)?);
    let certificate = Certificate { fingerprint: fingerprint(der), subject, issuer, not_before, not_after, names };
    Some(Parts { certificate, subject: is.to_vec(), issuer: issued_by.to_vec(), public_key })
}

/// What is left of some DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Tag and value of the next element.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut len = usize::from(first);
        if first >= 0x80 {
            let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(d, _)| (1..=3).contains(&d.len()))?;
            len = digits.iter().fold(0, |n, d| n << 8 | usize::from(*d));
            rest = after;
        }
        let (value, rest) = rest.split_at_checked(len)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The value of the next element, which must be of this kind.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(t, _)| *t == tag).map(|(_, value)| value)
    }
}

/// Common name and organization, or whatever a name holds.
fn name(der: &[u8]) -> Option<String> {
    let (mut best, mut all) = (Vec::new(), Vec::new());
    let mut sets = Der(der);
    while let Some((_, set)) = sets.next() {
        let mut pair = Der(Der(set).expect(SEQUENCE)?);
        let kind = pair.expect(OID)?;
        let text = String::from_utf8_lossy(pair.next()?.1).into_owned();
        match kind {
            COMMON_NAME => best.insert(0, text),
            ORGANIZATION => best.push(text),
            _ => all.push(text),
        }
    }
    Some(if best.is_empty() { all.join(", ") } else { best.join(", ") })
}

/// UTCTime, whose years are of 1950 to 2049, or GeneralizedTime; both always in UTC.
fn time((tag, value): (u8, &[u8])) -> Option<Stamp> {
    let text = std::str::from_utf8(value).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        0x17 => {
            let year: i64 = text.get(..2)?.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?)
        }
        0x18 => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let field = |n: usize| rest.get(2 * n..2 * n + 2)?.parse::<u32>().ok();
    Stamp::from_civil(year, field(0)?, field(1)?, field(2)?, field(3)?, field(4)?)
}

fn alternative_names(extensions: &[u8]) -> Option<Vec<String>> {
    let mut all = Der(Der(extensions).expect(SEQUENCE)?);
    while let Some((_, extension)) = all.next() {
        let mut extension = Der(extension);
        if extension.expect(OID)? != ALTERNATIVE_NAMES {
            continue;
        }
        // The flag "critical" may stand between.
        let value = std::iter::from_fn(|| extension.next()).find(|(tag, _)| *tag == 0x04)?.1;
        let mut names = Der(Der(value).expect(SEQUENCE)?);
        let mut out = Vec::new();
        while let Some((tag, value)) = names.next() {
            match tag {
                0x82 => out.push(String::from_utf8_lossy(value).into_owned()),
                0x87 => {
                    let ip = <[u8; 4]>::try_from(value).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from));
                    out.extend(ip.ok().map(|ip| ip.to_string()));
                }
                _ => {}
            }
        }
        return Some(out);
    }
    Some(Vec::new())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn made() -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["pve1".into(), "10.99.0.1".into(), "::1".into()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::OrganizationalUnitName, "PVE Cluster Node");
        params.distinguished_name.push(rcgen::DnType::OrganizationName, "Proxmox Virtual Environment");
        params.distinguished_name.push(rcgen::DnType::CommonName, "pve1");
        params.not_before = rcgen::date_time_ymd(2026, 11, 19);
        params.not_after = rcgen::date_time_ymd(2051, 1, 2);
        params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_tells_whom_it_is_for() {
        let read = read(&made()).unwrap();
        assert_eq!(read.subject, "pve1, Proxmox Virtual Environment");
        assert_eq!(read.issuer, read.subject);
        assert_eq!(read.names, ["pve1", "10.99.0.1", "::1"]);
        assert_eq!(
            (read.not_before.rfc3339().as_str(), read.not_after.rfc3339().as_str()),
            ("2026-11-19T00:00:00Z", "2051-01-02T00:00:00Z")
        );
        assert_eq!(read.days_left(read.not_after), 0);
        assert_eq!(read.days_left(Stamp(read.not_after.0 + 1000)), -1);
    }

    #[test]
    fn no_bytes_whatever_make_it_panic() {
        let good = made();
        for at in 0..good.len() {
            drop(read(&good[..at]));
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                drop(read(&bad));
            }
        }
        for junk in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x83, 0xff, 0xff, 0xff]] {
            assert_eq!(read(junk), None);
        }
    }
}
