//! Files of this machine and of its guests, read where they lie: opened safely, never loaded, followed through rotation.

mod again;
mod lines;
mod open;
mod reader;
mod seek;
mod shelf;
mod stream;
mod tail;
mod volume;
mod watch;

pub use again::Left;
pub use lines::{Lines, each_line, last_passing};
pub(super) use open::space_of;
pub use open::{NotOpened, Opened, Tree};
pub use reader::Reader;
pub use shelf::{logs, names, processes};
pub use stream::stream;
pub use tail::{Begin, Tail, Told};
