//! tshark, a dissector that shares nothing with this project.

use std::path::Path;
use std::process::Command;

/// What iperf3 sends is random: tshark would guess protocols from it, and find them malformed. BMP has no port of its
/// own.
const PORTS: [&str; 6] =
    ["-d", "tcp.port==5201,data", "-d", "udp.port==5201,data", "-d", "tcp.port==11019,bmp"];

/// Asserts that tshark finds no malformed packet in a capture, and at least one packet for each filter.
///
/// # Panics
/// When it finds otherwise, with its view of the packets.
pub fn assert_well_formed(capture: &Path, present: &[&str]) {
    let malformed = packets(capture, "_ws.malformed");
    assert!(malformed.is_empty(), "malformed packets in {}:\n{malformed}", capture.display());
    for filter in present {
        assert!(!packets(capture, filter).is_empty(), "no `{filter}` in {}", capture.display());
    }
}

/// The packets of a capture that match a display filter, one per line.
///
/// # Panics
/// When tshark fails.
#[must_use]
pub fn packets(capture: &Path, filter: &str) -> String {
    let output =
        Command::new("tshark").arg("-n").arg("-r").arg(capture).args(PORTS).args(["-Y", filter]).output();
    let output =
        output.unwrap_or_else(|error| panic!("cannot start tshark: {error}; install the package tshark"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark -r {} -Y '{filter}': {errors}", capture.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
