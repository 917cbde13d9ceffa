//! Traffic between hosts, and what became of it.

use std::time::Duration;

use bagpipe_agent::lab::{LabError, Node, Process, wait_until};
use serde_json::Value;

use crate::SOON;

/// What a series of pings saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Answers received, each request counted once.
    pub received: u32,
    /// Requests before the last answered one that got no answer.
    pub lost: u32,
    /// Answers to requests that were answered already: a frame was duplicated.
    pub duplicates: u32,
    /// Longest time between two answers.
    pub longest_gap: Duration,
}

/// A running ping, at a steady pace.
#[derive(Debug)]
pub struct Ping {
    process: Process,
}

impl Ping {
    /// Starts it and waits for the first answer.
    ///
    /// # Errors
    /// When none comes.
    pub fn start(node: &Node, target: &str, interval: Duration) -> Result<Self, LabError> {
        let interval = format!("{:.3}", interval.as_secs_f64());
        let mut process = node.spawn("ping", &["ping", "-n", "-D", "-i", &interval, target])?;
        process.wait_ready(SOON, "first answer to a ping", |process| {
            process.printed().contains("icmp_seq=").then_some(())
        })?;
        Ok(Self { process })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When ping does not end, or got no answer at all.
    pub fn finish(self) -> Result<Loss, LabError> {
        let log = self.process.log().to_owned();
        self.process.interrupt(SOON)?;
        let text = std::fs::read_to_string(&log).map_err(|source| LabError::File { path: log, source })?;
        Ok(loss(&text))
    }
}

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
    let before = listening.printed().len();
    // The log goes on from one run to the next: only what is new counts.
    listening.wait_ready(SOON, "iperf3 server", |process| {
        let printed = process.printed();
        printed.get(before..).or(Some(&printed)).filter(|text| text.contains("listening")).map(drop)
    })?;
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

fn loss(text: &str) -> Loss {
    let answers = text.lines().filter_map(answer).collect::<Vec<_>>();
    let mut sequences = answers.iter().map(|answer| answer.1).collect::<Vec<_>>();
    sequences.sort_unstable();
    let all = sequences.len();
    sequences.dedup();
    let received = sequences.len();
    let expected = sequences.last().map_or(0, |last| *last as usize);
    let gaps = answers.windows(2).map(|pair| pair[1].0 - pair[0].0);
    Loss {
        received: count(received),
        lost: count(expected.saturating_sub(received)),
        duplicates: count(all - received),
        longest_gap: Duration::from_secs_f64(gaps.fold(0.0, f64::max)),
    }
}

/// Time and sequence number of one line of ping's, if it is an answer.
fn answer(line: &str) -> Option<(f64, u32)> {
    let (time, rest) = line.strip_prefix('[')?.split_once(']')?;
    if !rest.contains("bytes from") {
        return None;
    }
    let (_, sequence) = rest.split_once("icmp_seq=")?;
    let sequence = sequence.split(' ').next()?.parse().ok()?;
    Some((time.parse().ok()?, sequence))
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_gaps_and_duplicates_are_counted() {
        let text = "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n\
            [100.000000] 64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.1 ms\n\
            [100.250000] 64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.1 ms\n\
            [100.250000] 64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=0.1 ms (DUP!)\n\
            [100.300000] From 10.0.0.2 icmp_seq=3 Destination Host Unreachable\n\
            [101.000000] 64 bytes from 10.0.0.2: icmp_seq=4 ttl=64 time=0.1 ms\n";
        let expected = Loss { received: 3, lost: 1, duplicates: 1, longest_gap: Duration::from_millis(750) };
        assert_eq!(loss(text), expected);
    }
}
