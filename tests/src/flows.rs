//! Flows of one packet each, told apart by their source ports: which way which of them took.

use std::collections::BTreeSet;
use std::ops::Range;

use bagpipe_agent::lab::{LabError, Node, Process};

use crate::SOON;

/// Takes packets on a node, until this is dropped.
#[derive(Debug)]
pub struct FlowReceiver(Process);

impl FlowReceiver {
    /// Starts to take them.
    ///
    /// # Errors
    /// When it can't.
    pub fn start(node: &Node) -> Result<Self, LabError> {
        let mut receiver = node.spawn("flows", &["python3", "-c", RECEIVER])?;
        let ready = |process: &Process| process.printed().starts_with("ready\n").then_some(());
        receiver.wait_ready(SOON, "receiver", ready)?;
        Ok(Self(receiver))
    }

    /// The source ports that packets came from so far.
    #[must_use]
    pub fn flows(&self) -> BTreeSet<u16> {
        let printed = self.0.printed();
        let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
        whole.lines().skip(1).filter_map(|line| line.parse().ok()).collect()
    }
}

/// Sends a packet from each port of a range to a [`FlowReceiver`].
///
/// # Errors
/// When one does not leave.
pub fn send(node: &Node, to: &str, ports: Range<u16>) -> Result<(), LabError> {
    node.run(&["python3", "-c", SENDER, to, &ports.start.to_string(), &ports.end.to_string()]).map(drop)
}

/// Prints the source port of each packet.
const RECEIVER: &str = "
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
receiver.bind(('', 7000))
print('ready', flush=True)
while True:
    print(receiver.recvfrom(100)[1][1], flush=True)
";

/// Sends one packet from each port of a range.
const SENDER: &str = "
import socket, sys
for port in range(int(sys.argv[2]), int(sys.argv[3])):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(('', port))
        sender.sendto(b'flow', (sys.argv[1], 7000))
";
