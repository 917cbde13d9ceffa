//! Building and running what is for the host.

use std::fs;
use std::process::Command;

use crate::command::{TaskError, answer, as_root, become_program, cargo, is_root, run, say};
use crate::ebpf::{self, Telling};

/// Builds the release executable. It is static: it runs on any machine of the architecture, and in an empty
/// container image.
pub(crate) fn release() -> Result<(), TaskError> {
    say(&executable()?);
    Ok(())
}

/// The path of the release executable, which it builds.
fn executable() -> Result<String, TaskError> {
    ebpf::build(Telling::Counters)?;
    let host = host()?;
    let package = ["build", "--release", "--package", "bagpipe-agent", "--bin", "bagpipe"];
    // With the target named, the flags are not for build scripts and macros, which can't be static.
    let flags = "-C target-feature=+crt-static";
    run(cargo().env("RUSTFLAGS", flags).args(package).args(["--target", &host]))?;
    Ok(format!("target/{host}/release/bagpipe"))
}

/// The benchmarks of the BGP speaker: all of them, and each one. The others are those of the overlay.
const BGP: [&str; 6] = ["bgp", "decoding", "reflecting", "clients", "importing", "withdrawing"];

/// Builds the release executable, and runs the benchmarks with it as root.
pub(crate) fn bench(name: Option<&str>) -> Result<(), TaskError> {
    let executable = fs::canonicalize(executable()?).map_err(|error| TaskError::Failed {
        command: "cargo build --release".to_owned(),
        status: error.to_string(),
    })?;
    let mut command = cargo();
    command.args(["bench", "--package", "bagpipe-tests"]).env("BAGPIPE_BINARY", executable);
    if let Some(name) = name {
        command.args(["--bench", if BGP.contains(&name) { "bgp" } else { "overlay" }]);
    }
    run(with_root(&mut command)?.arg("--").args(name))
}

/// Builds, and becomes `bagpipe`.
pub(crate) fn run_bagpipe(arguments: &[String], telling: Telling) -> Result<(), TaskError> {
    debug(telling)?;
    let mut command = as_root("target/debug/bagpipe");
    command.args(arguments);
    Err(become_program(command))
}

/// Builds, and runs the tests as root.
pub(crate) fn test(filter: Option<&str>) -> Result<(), TaskError> {
    // One test loads these.
    ebpf::build(Telling::Log)?;
    debug(Telling::Counters)?;
    let mut command = cargo();
    // All failures of a run are worth seeing, not only the first program's.
    command.args(["test", "--no-fail-fast"]);
    run(with_root(&mut command)?.args(filter))
}

/// Has cargo run as root what it builds. Only that: cargo goes on as the user, and so do its files.
fn with_root(command: &mut Command) -> Result<&mut Command, TaskError> {
    if !is_root() {
        let host = host()?.to_uppercase().replace('-', "_");
        command.env(format!("CARGO_TARGET_{host}_RUNNER"), "sudo -E");
    }
    Ok(command)
}

/// What the end-to-end tests and the demo run.
fn debug(telling: Telling) -> Result<(), TaskError> {
    ebpf::build(telling)?;
    let object = fs::canonicalize(telling.object()).map_err(|error| TaskError::Failed {
        command: "cargo build --package bagpipe-ebpf".to_owned(),
        status: error.to_string(),
    })?;
    let mut command = cargo();
    if telling == Telling::Log {
        command.env("BAGPIPE_EBPF_OBJECT", object);
    }
    run(command.args(["build", "--package", "bagpipe-agent", "--bin", "bagpipe"]))
}

fn host() -> Result<String, TaskError> {
    let version = answer("rustc", &["-vV"]).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| TaskError::Failed {
        command: "rustc -vV".to_owned(),
        status: "it names no host".to_owned(),
    })
}
