//! PURE too: keys in, cells out, never awaits.

pub mod effect;
