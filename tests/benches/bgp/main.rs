//! The figures of the BGP speaker, beside those of others in the same run: `cargo xtask bench bgp`.
//!
//! All speakers get the same messages, from the same client, and are measured at what leaves them; in each round all of
//! them, one after the other.

mod client;
mod decoding;
mod importing;
mod process;
mod reflecting;
mod reflectors;
mod routes;

use std::time::Duration;

use bagpipe_agent::lab::LabError;

/// Rounds of each comparison.
const ROUNDS: usize = 3;
/// What takes longer than this is not waited for, and not measured again.
const LIMIT: Duration = Duration::from_secs(30);

fn main() -> Result<(), LabError> {
    // Cargo adds an argument of its own.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("medians of {ROUNDS} rounds, each round measuring all; ratio = the other / bagpipe");
    println!();
    for (name, measure) in [
        ("decoding", decoding::report as fn() -> _),
        ("reflecting", reflecting::report),
        ("clients", reflecting::report_clients),
        ("importing", importing::report),
        ("withdrawing", importing::report_withdrawal),
    ] {
        if only.as_deref().is_none_or(|only| only == "bgp" || only == name) {
            measure()?;
        }
    }
    Ok(())
}

/// The median, the middle one of an odd number.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
