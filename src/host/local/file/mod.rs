//! Files of this machine and of its guests, read where they lie: opened safely, never loaded, followed through rotation.

mod lines;
mod open;
mod tail;
mod watch;

pub use lines::Lines;
pub use open::{NotOpened, Opened, Tree};
pub use tail::{Tail, Told};
