//! Secrets: bytes that are wiped when dropped and can neither be printed, copied nor serialised.

use zeroize::Zeroize;

/// A secret. No `Debug`, `Display`, `Clone` or `Serialize`; [`Secret::expose`] is the one, greppable, way in.
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes bytes over; the caller keeps no copy.
    pub fn new(bytes: Vec<u8>) -> Self {
        Secret(bytes)
    }

    /// The bytes, for as long as the borrow lasts.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
