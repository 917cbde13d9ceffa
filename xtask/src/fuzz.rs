//! Fuzzing: each target of `fuzz/` for a while, as many at a time as there are processors.

use std::fs;
use std::io;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::thread;

use crate::command::{TaskError, cargo, run, say};

/// The manifest, in which the targets are named.
const MANIFEST: &str = "fuzz/Cargo.toml";

/// Octets of an input. Longer ones say nothing new, and take longer.
const MAX_LENGTH: u32 = 4_096;

/// An input that takes longer, in seconds, is a fault.
const TIMEOUT: u32 = 5;

/// Runs each target for so many seconds, and prints what each has done; fails if one of them has found a fault. What
/// they found to be new stays in `fuzz/corpus`, beside the seeds, and is where the next run begins.
pub(crate) fn run_all(seconds: u32) -> Result<(), TaskError> {
    run(cargo().args(["run", "--quiet", "--manifest-path", MANIFEST, "--example", "seeds"]))?;
    run(&mut cargo_fuzz("build"))?;
    let waiting = Mutex::new(targets()?.into_iter());
    let next = || waiting.lock().ok()?.next();
    let work = || std::iter::from_fn(next).map(|target| run_one(&target, seconds)).collect::<Vec<_>>();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let outcomes = thread::scope(|scope| {
        let workers: Vec<_> = (0..processors).map(|_| scope.spawn(work)).collect();
        let outcomes =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        outcomes.flatten().collect::<Vec<_>>()
    });
    outcomes.into_iter().collect()
}

/// Runs a target. Several at a time would print into one another: only the figures are seen, and a fault.
fn run_one(target: &str, seconds: u32) -> Result<(), TaskError> {
    say(&format!("{target}: {seconds} s"));
    let mut command = cargo_fuzz("run");
    command.args([target, "--", &format!("-max_total_time={seconds}"), &format!("-max_len={MAX_LENGTH}")]);
    command.args([&format!("-timeout={TIMEOUT}"), "-print_final_stats=1"]);
    let output = command.output().map_err(|source| start_error(target, source))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match figures(&said) {
        Some(figures) if output.status.success() => {
            println!("{target:<14}{figures}");
            Ok(())
        }
        _ => Err(fault(target, &output, &said)),
    }
}

fn start_error(target: &str, source: io::Error) -> TaskError {
    TaskError::Start { command: format!("cargo fuzz run {target}"), source }
}

/// What a target has said to the end: the input that it keeps, and how to run that again.
fn fault(target: &str, output: &Output, said: &str) -> TaskError {
    eprintln!("{said}");
    TaskError::Failed { command: format!("cargo fuzz run {target}"), status: output.status.to_string() }
}

/// The figures of a run that came to its end, from the last line of its progress.
///
/// libFuzzer writes `#4711 DONE cov: 1002 ft: 3003 corp: 400/50Kb ...`: inputs executed, edges of the program
/// covered, combinations of them, inputs kept.
fn figures(said: &str) -> Option<String> {
    let mut words = said.lines().rfind(|line| line.contains("\tDONE"))?.split_whitespace();
    let executions = words.next()?.strip_prefix('#')?;
    let after = |name: &str| {
        let mut words = words.clone().skip_while(|word| *word != name);
        words.nth(1).map(str::to_owned)
    };
    let inputs = after("corp:")?;
    let inputs = inputs.split('/').next()?;
    Some(format!("{executions:>12} executions {:>7} edges {inputs:>7} inputs kept", after("cov:")?))
}

/// A command of cargo-fuzz. No sanitizer: there is no unsafe code to watch, and without one a stable compiler will do.
fn cargo_fuzz(what: &str) -> Command {
    let mut command = cargo();
    command.args(["fuzz", what, "--fuzz-dir", "fuzz", "--sanitizer", "none"]);
    command
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

#[cfg(test)]
mod tests {
    use super::{figures, names};

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

    #[test]
    fn figures_are_those_of_the_end() {
        let said = "#2\tINITED cov: 7 ft: 8 corp: 1/1b\n#4711\tDONE   cov: 1002 ft: 3003 corp: 400/50Kb lim: 4096\n\
                    Done 4711 runs in 61 second(s)\n";
        let figures = figures(said).unwrap();
        let words: Vec<_> = figures.split_whitespace().collect();
        assert_eq!(words, ["4711", "executions", "1002", "edges", "400", "inputs", "kept"]);
        assert_eq!(super::figures("#2\tINITED cov: 7 ft: 8\n"), None);
    }
}
