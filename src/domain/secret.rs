//! The type a secret travels in. [`Secret`] has no `Debug`, `Display`, `Serialize` or `Clone`, so the compiler finds the
//! place where one would reach a log, a screen or a job.

use std::fmt;
use std::sync::Arc;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

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

/// A secret that has to be shown once, line by line: a picture for a camera, codes for a piece of paper. Wiped when the
/// last dialog that shows it is gone.
#[derive(Clone)]
pub struct Shown(Arc<Zeroizing<Vec<String>>>);

impl Shown {
    /// Takes over lines.
    #[must_use]
    pub fn new(lines: Vec<String>) -> Self {
        Self(Arc::new(Zeroizing::new(lines)))
    }

    /// Lends the lines to whoever draws them.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}
