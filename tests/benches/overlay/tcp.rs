//! One TCP stream through the overlay.

use bagpipe_agent::lab::{Lab, LabError};
use bagpipe_tests::traffic;

use crate::side_by_side;
use crate::topology::Pair;

/// Prints the comparison with super-packets on the underlay, and with frames of its MTU; then the one of IP-VPNs.
pub fn compare() -> Result<(), LabError> {
    let (kernel_lab, bagpipe_lab) = (Lab::new()?, Lab::new()?);
    let (kernel, bagpipe) = (Pair::kernel(&kernel_lab)?, Pair::bagpipe(&bagpipe_lab)?);
    for (what, wire) in
        [("TCP, 1 stream, super-packets", false), ("TCP, 1 stream, frames of the underlay's MTU", true)]
    {
        kernel.wire_sized_frames(wire)?;
        bagpipe.wire_sized_frames(wire)?;
        side_by_side(what, "Gbit/s", "kernel", || gigabits(&kernel), || gigabits(&bagpipe))?;
    }
    kernel.wire_sized_frames(false)?;
    for (what, form) in [
        ("TCP, 1 stream, super-packets, MPLS in UDP", "udp"),
        ("TCP, 1 stream, super-packets, MPLS in GRE", "gre"),
        ("TCP, 1 stream, super-packets, bare MPLS", "ethernet"),
    ] {
        let lab = Lab::new()?;
        let labelled = Pair::labelled(&lab, form)?;
        side_by_side(what, "Gbit/s", "kernel", || gigabits(&kernel), || gigabits(&labelled))?;
    }
    Ok(())
}

fn gigabits(pair: &Pair) -> Result<f64, LabError> {
    let [one, two] = &pair.hosts;
    Ok(traffic::tcp_throughput(&one.node, &two.node, &two.ipv4)? / 1e9)
}
