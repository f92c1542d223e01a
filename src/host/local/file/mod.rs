//! Files of this machine and of its guests, read where they lie: opened safely, never loaded, followed through rotation.

mod again;
mod ids;
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
pub use ids::Ids;
pub use lines::{Lines, each_line, last_passing};
pub use open::{NotOpened, Opened, Tree};
pub(super) use open::{answers_by_itself, space_of};
pub use reader::Reader;
pub use shelf::{logs, names, processes};
pub use stream::stream;
pub use tail::{Begin, Tail, Told};
