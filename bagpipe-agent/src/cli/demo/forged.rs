//! Packets that a node must not let in.

use std::fmt;
use std::time::Duration;

use super::DemoError;
use crate::lab::{Agent, Host, LabError, Node, wait_until};

/// How many are sent.
pub(super) const PACKETS: u64 = 5;

/// The reason that they are counted under.
const REASON: &str = "unknown-endpoint";

const LIMIT: Duration = Duration::from_secs(10);

/// What became of packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    delivered: u64,
    dropped: u64,
}

impl Fate {
    /// Whether none got through.
    pub(super) fn harmless(self) -> Result<(), DemoError> {
        match self.delivered {
            0 => Ok(()),
            delivered => Err(DemoError::Broken(format!("{delivered} forged packets were delivered"))),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} delivered, {} dropped as {REASON}", self.delivered, self.dropped)
    }
}

/// Sends [`PACKETS`] echo requests to a victim behind an agent, and waits until all are delivered or counted as dropped.
pub(super) fn fate(
    agent: &Agent,
    victim: &Host,
    send: impl FnOnce() -> Result<(), LabError>,
) -> Result<Fate, DemoError> {
    let counted = || agent.dropped(REASON).unwrap_or(0);
    let (received, before) = (echo_requests(&victim.node)?, counted());
    send()?;
    wait_until(LIMIT, "what became of forged packets", || {
        let dropped = counted().checked_sub(before)?;
        let delivered = echo_requests(&victim.node).ok()?.checked_sub(received)?;
        (delivered + dropped >= PACKETS).then_some(Fate { delivered, dropped })
    })
    .map_err(DemoError::from)
}

/// Echo requests that a host has received so far. (Its interface also counts what the kernel asks of its own
/// accord.)
pub(super) fn echo_requests(node: &Node) -> Result<u64, DemoError> {
    let text = node.run(&["cat", "/proc/net/snmp"])?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Icmp:"));
    let (names, values) = lines.next().zip(lines.next()).unwrap_or_default();
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    let value = columns.find(|(name, _)| *name == "InEchos").and_then(|(_, value)| value.parse().ok());
    value.ok_or_else(|| DemoError::Broken("the kernel does not count echo requests".to_owned()))
}
