//! Speakers against each other: establishment, routes, collisions, timers, graceful restart.

mod collision;
mod establishment;
mod network;
mod restart;
mod routes;
