//! The `bagpipe` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    bagpipe_agent::cli::main()
}
