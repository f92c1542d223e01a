//! The type a secret travels in. It has no `Debug`, `Display`, `Serialize` or `Clone`, so the compiler finds the
//! place where one would reach a log, a screen or a job.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes that are wiped when dropped and can be read only where [`Secret::expose`] is written.
///
/// ```compile_fail
/// let secret = proximity::domain::secret::Secret::from_text("hunter2".to_owned());
/// println!("{secret:?}");
/// ```
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes over bytes. Nothing is copied, so no second copy stays behind.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Takes over a text, as typed into a field. Nothing is copied.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text.into_bytes())
    }

    /// Lends the bytes. Each use of this word is a place to review.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Lends the bytes as text, or nothing if they are not UTF-8.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
