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
    iperf(client, server, address, &["-t", "1"], "/end/sum_received/bits_per_second")
}

/// The share of 4,000 UDP packets that was lost on the way.
///
/// # Errors
/// When iperf3 fails.
pub fn udp_loss(client: &Node, server: &Node, address: &str) -> Result<f64, LabError> {
    let options = ["-u", "-b", "20M", "-l", "1000", "-k", "4000", "-w", "4M"];
    iperf(client, server, address, &options, "/end/sum/lost_percent").map(|percent| percent / 100.0)
}

/// One run of iperf3, and the figure at this place of its report.
fn iperf(
    client: &Node,
    server: &Node,
    address: &str,
    options: &[&str],
    figure: &str,
) -> Result<f64, LabError> {
    let mut listening = server.spawn("iperf3", &["iperf3", "-s", "-1", "--forceflush"])?;
    listening
        .wait_ready(SOON, "iperf3 server", |process| process.printed().contains("listening").then_some(()))?;
    let line = ["iperf3", "-c", address, "-J", "--connect-timeout", "5000"];
    let text = client.run(&[&line[..], options].concat())?;
    listening.wait(SOON)?;
    let report = serde_json::from_str::<Value>(&text).unwrap_or_default();
    report.pointer(figure).and_then(Value::as_f64).ok_or_else(|| LabError::Failed {
        command: format!("iperf3 -c {address}"),
        status: "no figure in its report".to_owned(),
        output: text,
    })
}

/// Sends a frame from one host and returns what another receives, both in hexadecimal.
///
/// # Errors
/// When none with the same addresses arrives in time.
pub fn carry(from: &Node, to: &Node, frame: &[u8]) -> Result<String, LabError> {
    let frame: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    let line = |verb| ["python3", "-c", TAGGED, verb, &frame];
    let mut receiver = to.spawn("frames", &line("receive"))?;
    receiver.wait_ready(SOON, "receiver of a frame", |process| {
        process.printed().contains("ready").then_some(())
    })?;
    from.run(&line("send"))?;
    wait_until(SOON, "a frame", || {
        let printed = receiver.printed();
        let line = printed.lines().nth(1)?;
        printed.ends_with('\n').then(|| line.to_owned())
    })
}

/// A Python script: `send FRAME` sends a frame in hexadecimal from `eth0`; `receive FRAME` prints `ready`, then the next
/// frame with the same addresses, with the tag that the kernel keeps aside.
pub const TAGGED: &str = "
import socket, struct, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(('eth0', 0))
link.settimeout(10)
link.setsockopt(263, 8, 1)
frame = bytes.fromhex(sys.argv[2])
if sys.argv[1] == 'send':
    link.send(frame)
else:
    print('ready', flush=True)
    while True:
        got, notes, _, _ = link.recvmsg(2000, 100)
        if got[:12] == frame[:12]:
            break
    for _, _, note in notes:
        status, _, _, _, _, control, kind = struct.unpack('=IIIHHHH', note)
        if status & 0x10:
            got = got[:12] + struct.pack('>HH', kind, control) + got[12:]
    print(got.hex(), flush=True)
";
