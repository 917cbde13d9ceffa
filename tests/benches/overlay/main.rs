//! The figures of the overlay: `cargo xtask bench`.
//!
//! Each compares two things in one run, round by round, and prints the median of the ratios: these machines
//! are shared, so single absolute figures say little.

mod agent;
mod lookup;
mod routes;
mod tcp;
mod topology;
mod udp;

use bagpipe_agent::lab::LabError;

/// Rounds of each comparison.
const ROUNDS: usize = 7;

fn main() -> Result<(), LabError> {
    // Cargo adds an argument of its own.
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    println!("medians of {ROUNDS} rounds, each round measuring both; ratio = bagpipe / the other");
    println!();
    for (name, measure) in [
        ("udp", udp::compare as fn() -> _),
        ("tcp", tcp::compare),
        ("agent", agent::report),
        ("lookup", lookup::report),
        ("routes", routes::report),
    ] {
        if only.as_deref().is_none_or(|only| only == name) {
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

/// Measures bagpipe and another in turn and prints a line. The order changes from round to round.
fn side_by_side(
    what: &str,
    unit: &str,
    name: &str,
    mut other: impl FnMut() -> Result<f64, LabError>,
    mut bagpipe: impl FnMut() -> Result<f64, LabError>,
) -> Result<(), LabError> {
    let (mut others, mut bagpipes) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            others.push(other()?);
            bagpipes.push(bagpipe()?);
        } else {
            bagpipes.push(bagpipe()?);
            others.push(other()?);
        }
    }
    let ratios = bagpipes.iter().zip(&others).map(|(bagpipe, other)| bagpipe / other).collect::<Vec<_>>();
    println!(
        "{what:<44} {name:<6} {:>8.3} {unit}   bagpipe {:>8.3} {unit}   ratio {:.2}",
        median(others),
        median(bagpipes),
        median(ratios)
    );
    Ok(())
}
