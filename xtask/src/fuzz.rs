//! Fuzzing: each target of `fuzz/` for a while.

use std::fs;
use std::path::Path;

use crate::command::{TaskError, cargo, find, run, say};

const CARGO_FUZZ: &str = "0.13.2";

/// The manifest, in which the targets are named.
const MANIFEST: &str = "fuzz/Cargo.toml";

/// Octets of an input. Longer ones say nothing new, and take longer.
const MAX_LENGTH: u32 = 4_096;

/// An input that takes longer, in seconds, is a fault.
const TIMEOUT: u32 = 5;

/// Runs each target for so many seconds, one after another, until one finds a fault. What they found to be new stays in
/// `fuzz/corpus`, beside the seeds, and is where the next run begins.
pub(crate) fn run_all(seconds: u32) -> Result<(), TaskError> {
    ensure_cargo_fuzz()?;
    run(cargo().args(["run", "--quiet", "--manifest-path", MANIFEST, "--example", "seeds"]))?;
    for target in targets()? {
        // No sanitizer: there is no unsafe code to watch, and without one a stable compiler will do.
        let mut command = cargo();
        command.args(["fuzz", "run", "--fuzz-dir", "fuzz", "--sanitizer", "none", &target, "--"]);
        command.args([format!("-max_total_time={seconds}"), format!("-max_len={MAX_LENGTH}")]);
        command.args([format!("-timeout={TIMEOUT}"), "-print_final_stats=1".to_owned()]);
        run(&mut command)?;
    }
    Ok(())
}

/// The names after `[[bin]]`, in their order.
fn targets() -> Result<Vec<String>, TaskError> {
    let path = Path::new(MANIFEST);
    let text =
        fs::read_to_string(path).map_err(|source| TaskError::File { path: path.to_owned(), source })?;
    Ok(names(&text))
}

fn names(manifest: &str) -> Vec<String> {
    let bins = manifest.split("[[bin]]").skip(1);
    let name = |bin: &str| bin.trim_start().strip_prefix("name = \"")?.split('"').next().map(str::to_owned);
    bins.filter_map(name).collect()
}

fn ensure_cargo_fuzz() -> Result<(), TaskError> {
    if find("cargo-fuzz").is_none() {
        say("cargo-fuzz is missing: it builds and runs the fuzz targets");
        run(cargo().args(["install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ]))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn targets_are_found_in_the_manifest() {
        let all = names(include_str!("../../fuzz/Cargo.toml"));
        assert_eq!(all.first().map(String::as_str), Some("message"));
        for target in &all {
            let source = format!("{}/../fuzz/targets/{target}.rs", env!("CARGO_MANIFEST_DIR"));
            assert!(std::path::Path::new(&source).is_file(), "{source}");
        }
        assert_eq!(all.len(), 10);
    }
}
