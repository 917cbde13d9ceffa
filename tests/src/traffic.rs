//! Traffic between hosts, and what became of it.

use bagpipe_agent::lab::{LabError, Node, wait_until};
use serde_json::Value;

use crate::SOON;

/// Whether one ping is answered within a second.
#[must_use]
pub fn pings(node: &Node, target: &str) -> bool {
    let line = ["ping", "-n", "-c", "1", "-W", "1", target];
    node.output(&line).is_ok_and(|output| output.success)
}

/// Waits until a ping is answered.
///
/// # Errors
/// When none is in time.
pub fn wait_for_ping(node: &Node, target: &str) -> Result<(), LabError> {
    let what = format!("answer from {target} to a ping from {}", node.name());
    wait_until(SOON, &what, || pings(node, target).then_some(()))
}

/// Bits per second that one TCP stream of a second got through.
///
/// # Errors
/// When iperf3 fails.
pub fn tcp_throughput(client: &Node, server: &Node, address: &str) -> Result<f64, LabError> {
    let mut listening = server.spawn("iperf3", &["iperf3", "-s", "-1", "--forceflush"])?;
    listening
        .wait_ready(SOON, "iperf3 server", |process| process.printed().contains("listening").then_some(()))?;
    let text = client.run(&["iperf3", "-c", address, "-t", "1", "-J", "--connect-timeout", "5000"])?;
    listening.wait(SOON)?;
    let report = serde_json::from_str::<Value>(&text).unwrap_or_default();
    report.pointer("/end/sum_received/bits_per_second").and_then(Value::as_f64).ok_or_else(|| {
        LabError::Failed {
            command: format!("iperf3 -c {address}"),
            status: "no figure in its report".to_owned(),
            output: text,
        }
    })
}
