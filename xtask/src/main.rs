//! The project's own tasks. `cargo xtask demo` and `cargo xtask test` need nothing but Rust, a C compiler and
//! the distribution's packages: they set up first whatever is missing.

mod build;
mod ci;
mod command;
mod ebpf;
mod fuzz;
mod need;
mod setup;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::command::TaskError;
use crate::ebpf::Telling;
use crate::need::Purpose;

/// How long each fuzz target runs when nobody says.
const FUZZ_SECONDS: u32 = 60;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's own tasks")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what is missing to build, to run the demo and the tests, and to check like the CI
    Setup,
    /// Build the eBPF programs
    BuildEbpf,
    /// Build the static release executable, with the eBPF programs in it
    Build,
    /// Build, and run `bagpipe` with these arguments, as root
    Run {
        /// Have the eBPF programs log each drop, which BAGPIPE_LOG=debug shows: slow, for debugging
        #[arg(long)]
        ebpf_log: bool,
        /// Arguments of `bagpipe`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, build, and run `bagpipe demo` with these arguments, as root
    Demo {
        /// Arguments of `bagpipe demo`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Set up, build, and run all tests, as root, or those whose name contains the filter
    Test {
        /// Part of a test's name
        filter: Option<String>,
    },
    /// Set up, build the release executable, and run the benchmarks, as root: all, or one of udp, tcp, agent, lookup and
    /// routes; bgp, or one of its own: decoding, reflecting, clients, importing and withdrawing
    Bench {
        /// Name of a benchmark
        name: Option<String>,
    },
    /// Run each fuzz target of the BGP speaker for a while, as many at a time as there are processors
    Fuzz {
        /// Seconds for each target
        #[arg(default_value_t = FUZZ_SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// What the continuous integration runs: formatting, lints, documentation, dependencies, then all tests, then each
    /// fuzz target for a minute
    Ci,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<(), TaskError> {
    command::enter_workspace()?;
    match task {
        Task::Setup => setup::ensure(&Purpose::ALL),
        Task::BuildEbpf => {
            setup::ensure(&[Purpose::Build])?;
            ebpf::build(Telling::Counters)
        }
        Task::Build => {
            setup::ensure(&[Purpose::Build])?;
            build::release()
        }
        Task::Run { ebpf_log, arguments } => {
            setup::ensure(&[Purpose::Build])?;
            build::run_bagpipe(&arguments, if ebpf_log { Telling::Log } else { Telling::Counters })
        }
        Task::Demo { arguments } => {
            setup::ensure(&[Purpose::Build, Purpose::Demo])?;
            build::run_bagpipe(&[vec!["demo".to_owned()], arguments].concat(), Telling::Counters)
        }
        Task::Test { filter } => test(filter.as_deref()),
        Task::Bench { name } => {
            setup::ensure(&[Purpose::Build, Purpose::Demo, Purpose::Test])?;
            build::bench(name.as_deref())
        }
        Task::Fuzz { seconds } => {
            setup::ensure(&[Purpose::Fuzz])?;
            fuzz::run_all(seconds)
        }
        Task::Ci => {
            setup::ensure(&Purpose::ALL)?;
            ci::check()?;
            test(None)?;
            // Last, and not beside the tests: those have limits of time.
            fuzz::run_all(FUZZ_SECONDS)
        }
    }
}

fn test(filter: Option<&str>) -> Result<(), TaskError> {
    setup::ensure(&[Purpose::Build, Purpose::Demo, Purpose::Test])?;
    build::test(filter)
}
