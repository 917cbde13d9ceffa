//! What the end-to-end tests in `tests/tests` are made of: hosts, real peers, traffic, an independent dissector.
//! The network itself is a [`bagpipe_agent::lab::Lab`].
//!
//! Run them with `cargo xtask test`, which builds the programs and installs the peers.

pub mod bagpipe_bgp;
pub mod browser;
pub mod cable;
pub mod edges;
pub mod fabric;
pub mod flows;
pub mod foreign;
pub mod frr;
pub mod gobgp;
pub mod isolated;
pub mod kernel;
pub mod ovs;
pub mod packet;
pub mod peers;
pub mod programs;
pub mod rest;
pub mod routes;
pub mod routing;
pub mod speaker;
pub mod station;
pub mod traffic;
pub mod tshark;

use std::env;
use std::path::PathBuf;
use std::time::Duration;

/// Limit for what a healthy network does in a second or two.
pub const SOON: Duration = Duration::from_secs(20);

/// The `bagpipe` binary: `BAGPIPE_BINARY`, or the one that cargo built beside the tests.
///
/// # Panics
/// When it is not there, with the remedy.
#[must_use]
pub fn bagpipe() -> PathBuf {
    let path = env::var_os("BAGPIPE_BINARY").map(PathBuf::from).or_else(|| {
        // target/<profile>/deps/<test> -> target/<profile>/bagpipe
        Some(env::current_exe().ok()?.parent()?.parent()?.join("bagpipe"))
    });
    match path {
        Some(path) if path.exists() => path,
        path => {
            panic!("no bagpipe binary at {path:?}: run `cargo xtask test`, or `cargo build -p bagpipe-agent`")
        }
    }
}
