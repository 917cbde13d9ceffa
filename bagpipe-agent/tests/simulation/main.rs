//! Whole networks of engines and route reflectors in one process: simulated links and clock, faults by a seed.
//!
//! Each seed makes a network, lets attachments and faults happen to it for a while, waits until all is quiet,
//! and compares the forwarding state of every node with what follows from the attachments directly.
//!
//! * `BAGPIPE_SIMULATION_SEEDS=100000 cargo test -p bagpipe-agent --test simulation`: more seeds.
//! * `BAGPIPE_SIMULATION_SEED=17 cargo test -p bagpipe-agent --test simulation -- --nocapture`: one seed again in
//!   each scenario, with all that happens; a test's name after `--` picks one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: what must not be ends it"
)]

mod host;
mod migration;
mod model;
mod network;
mod partition;
mod rng;
mod routing;
mod scenario;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Of each scenario.
const SEEDS: u64 = 300;

#[test]
fn networks_come_to_the_right_state_whatever_happens() {
    for_all_seeds(scenario::run);
}

#[test]
fn ip_vpns_route_to_what_their_route_targets_let_them_hear_of() {
    for_all_seeds(routing::run);
}

#[test]
fn who_keeps_a_reflector_loses_nothing_and_nothing_stale_stays() {
    for_all_seeds(partition::run);
}

/// Runs all seeds on all processors, or one seed again, which then tells what happens.
fn for_all_seeds(run: impl Fn(u64, bool) + Sync) {
    if let Some(seed) = number("BAGPIPE_SIMULATION_SEED") {
        return run(seed, true);
    }
    let seeds = number("BAGPIPE_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let (next, failed) = (AtomicU64::new(1), AtomicBool::new(false));
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                break;
            }
            if catch_unwind(AssertUnwindSafe(|| run(seed, false))).is_err() {
                failed.store(true, Ordering::Relaxed);
                eprintln!("seed {seed} failed; to see it again: BAGPIPE_SIMULATION_SEED={seed}");
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    assert!(!failed.into_inner(), "a seed failed, see above");
}

#[test]
fn a_restart_in_a_quiet_network_loses_nothing() {
    for seed in 1..=20 {
        scenario::quiet_restarts(seed);
    }
}

#[test]
fn a_thousand_migrations_leave_nothing_stale() {
    for seed in 1..=4 {
        migration::run(seed, 250);
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}
