//! Speakers against each other: establishment, routes, collisions, timers, graceful restart.

// clippy.toml allows these in test functions; here they are in the harness around them as well.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod administration;
mod collision;
mod establishment;
mod histories;
mod limits;
mod long_lived;
mod memberships;
mod network;
mod restart;
mod routes;
