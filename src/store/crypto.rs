//! The one file that names a cipher library, orion. Argon2id, HKDF-SHA256 (RFC 5869), XChaCha20-Poly1305, BLAKE2b-256
//! and HPKE (RFC 9180, X25519 + HKDF-SHA256 + ChaCha20-Poly1305), with fixed sizes so that no caller chooses a parameter.
//! BLAKE2b is blake2b_simd's: a log of a million entries is five million blocks of it, and orion takes a third longer.
//!
//! Derived keys: `HKDF(salt = vault id, ikm = key, info = label, then the context in length-prefixed parts)`.

use orion::KP;
use orion::hazardous::aead::xchacha20poly1305::{Nonce, SecretKey, XChaCha20Poly1305};
use orion::hazardous::hpke::{DHKEM_X25519_SHA256_CHACHA20, ModeBase};
use orion::hazardous::kdf::argon2::{Argon2, CostParams, ID, Sequential};
use orion::hazardous::kdf::hkdf::{Hkdf, SHA256};
use orion::hazardous::kem::x25519_hkdf_sha256::{KeyPair, PrivateKey, PublicKey};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Cost, Secret};

/// Bytes of an authentication tag at the end of every sealed body.
pub(super) const TAG: usize = 16;

/// Bytes of a nonce; long enough to be random without a counter.
pub(super) const NONCE: usize = 24;

/// The library refused or the system gave no randomness; says nothing about the secret involved.
#[derive(Debug)]
pub(super) struct Refused;

impl From<orion::errors::UnknownCryptoError> for Refused {
    fn from(_: orion::errors::UnknownCryptoError) -> Self {
        Self
    }
}

/// 32 bytes that open something. Wiped on drop; never shown.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn random() -> Result<Self, Refused> {
        Ok(Self(random()?))
    }

    pub(super) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(super) fn from_secret(secret: &Secret) -> Option<Self> {
        secret.expose().try_into().ok().map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Random bytes of the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Refused> {
    let mut bytes = [0; N];
    orion::util::secure_rand_bytes(&mut bytes)?;
    Ok(bytes)
}

/// The slow step from a passphrase to a key; `pepper` is the host's part of it, if there is one. `cost` must have been checked: the library sets no bound itself.
pub(super) fn argon2id(passphrase: &Secret, salt: &[u8; 16], cost: Cost, pepper: Option<&Key>, ad: &[u8]) -> Result<Key, Refused> {
    let mut out = Key([0; 32]);
    let params = CostParams::new(cost.passes, cost.memory_kib, cost.lanes)?;
    Argon2::<ID, Sequential>::derive_key(passphrase.expose(), salt, &params, pepper.map(|key| &key.bytes()[..]), Some(ad), &mut out.0)?;
    Ok(out)
}

/// A key for one purpose. Different labels or contexts give independent keys.
pub(super) fn derive(key: &Key, vault_id: &[u8; 16], label: &str, context: &[&[u8]]) -> Result<Key, Refused> {
    let mut info = Vec::new();
    push_part(&mut info, label.as_bytes());
    for part in context {
        push_part(&mut info, part);
    }
    let mut out = Key([0; 32]);
    Hkdf::<SHA256>::derive_key(vault_id, key.bytes(), Some(&info), &mut out.0)?;
    Ok(out)
}

/// Encrypts; the tag is the last [`TAG`] bytes of the result.
pub(super) fn seal(key: &Key, nonce: &[u8; NONCE], ad: &[u8], plain: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut body = vec![0; plain.len() + TAG];
    let key = SecretKey::try_from(key.bytes())?;
    XChaCha20Poly1305::seal(&key, &Nonce::try_from(nonce)?, plain, Some(ad), &mut body)?;
    Ok(body)
}

/// Decrypts, or nothing if key, nonce, associated data or body are not exactly those of [`seal`].
pub(super) fn open(key: &Key, nonce: &[u8; NONCE], ad: &[u8], body: &[u8]) -> Option<Secret> {
    let mut plain = zeroize::Zeroizing::new(vec![0; body.len().checked_sub(TAG)?]);
    let key = SecretKey::try_from(key.bytes()).ok()?;
    let nonce = Nonce::try_from(nonce).ok()?;
    XChaCha20Poly1305::open(&key, &nonce, body, Some(ad), &mut plain).ok()?;
    Some(Secret::new(std::mem::take(&mut plain)))
}

/// Bytes of a public key, and of the part of a sealed key that only carries one.
pub(super) const PUBLIC: usize = 32;

/// Bytes of a key sealed to a public key.
pub(super) const SEALED_KEY: usize = PUBLIC + 32 + TAG;

/// What HPKE is told it is used for.
const HPKE_INFO: &[u8] = b"proximity vault key";

/// A new key pair: what opens, and what may be known.
pub(super) fn key_pair() -> Result<(Key, [u8; PUBLIC]), Refused> {
    let pair = KeyPair::generate()?;
    let private: &[u8] = pair.private().unprotected_as_ref();
    let public: &[u8] = pair.public().as_ref();
    Ok((Key(private.try_into().map_err(|_| Refused)?), public.try_into().map_err(|_| Refused)?))
}

/// Seals a key so that only the holder of the private half of `public` opens it: the one-time public key, then the body.
pub(super) fn seal_key_to(public: &[u8; PUBLIC], ad: &[u8], key: &Key) -> Result<Vec<u8>, Refused> {
    let public = PublicKey::try_from(public)?;
    let mut body = [0; 32 + TAG];
    let once = ModeBase::<DHKEM_X25519_SHA256_CHACHA20>::base_seal(&public, HPKE_INFO, key.bytes(), ad, &mut body)?;
    let once: &[u8] = once.as_ref();
    Ok([once, &body].concat())
}

/// Opens what [`seal_key_to`] made, or nothing if private key, associated data or body are not exactly those.
pub(super) fn open_sealed_key(private: &Key, ad: &[u8], sealed: &[u8]) -> Option<Key> {
    let (once, body) = sealed.split_at_checked(PUBLIC)?;
    let once = PublicKey::try_from(once).ok()?;
    let private = PrivateKey::try_from(private.bytes()).ok()?;
    let mut out = Key([0; 32]);
    if body.len() != 32 + TAG {
        return None;
    }
    ModeBase::<DHKEM_X25519_SHA256_CHACHA20>::base_open(&once, &private, HPKE_INFO, body, ad, &mut out.0).ok()?;
    Some(out)
}

/// Compares in a time that does not depend on where the first difference is.
pub(super) fn equal(a: &[u8], b: &[u8]) -> bool {
    orion::util::secure_cmp(a, b).is_ok()
}

/// BLAKE2b-256 over length-prefixed parts. Anybody can compute it: it tells damage, not tampering.
pub(super) fn sum(parts: &[&[u8]]) -> Result<[u8; 32], Refused> {
    let mut all = Vec::new();
    for part in parts {
        push_part(&mut all, part);
    }
    digest(blake2b().to_state().update(&all))
}

/// The next link of a chain: BLAKE2b-256 over the last one and what is chained.
pub(super) fn link(last: &[u8; 32], bytes: &[u8]) -> Result<[u8; 32], Refused> {
    digest(blake2b().to_state().update(last).update(bytes))
}

/// BLAKE2b-256 with a key over one link: only who has the key can make it.
pub(super) fn tag(key: &Key, link: &[u8; 32]) -> Result<[u8; 32], Refused> {
    digest(blake2b().key(key.bytes()).to_state().update(link))
}

fn blake2b() -> blake2b_simd::Params {
    let mut params = blake2b_simd::Params::new();
    params.hash_length(32);
    params
}

fn digest(state: &blake2b_simd::State) -> Result<[u8; 32], Refused> {
    state.finalize().as_bytes().try_into().map_err(|_| Refused)
}

/// SHA-256, where others' formats ask for it: the checksum in the recovery words, fingerprints of SSH keys.
pub(super) fn sha256(bytes: &[u8]) -> Result<[u8; 32], Refused> {
    let digest = orion::hazardous::hash::sha2::sha256::Sha256::digest(bytes)?;
    digest.as_ref().try_into().map_err(|_| Refused)
}

/// Appends the length (u32, big endian) and the part, so that no two lists of parts look alike.
fn push_part(out: &mut Vec<u8>, part: &[u8]) {
    // No part comes near 4 GiB: the longest is a sealed body of 64 KiB.
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(part);
}

#[cfg(test)]
#[path = "crypto_tests.rs"]
mod tests;
