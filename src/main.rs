//! The program: umask first, then arguments, then the exit status.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything can make a file.
    rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o077));
    ExitCode::from(proximity::cli::main())
}
