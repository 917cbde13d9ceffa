//! A steady ping, and what became of each request.

use std::fs;
use std::time::Duration;

use super::{LabError, Node, Process};

const LIMIT: Duration = Duration::from_secs(10);

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
        process.wait_ready(LIMIT, "first answer to a ping", |process| {
            process.printed().contains("icmp_seq=").then_some(())
        })?;
        Ok(Self { process })
    }

    /// Answers received so far.
    #[must_use]
    pub fn received(&self) -> u32 {
        loss(&self.process.printed()).received
    }

    /// Ends it.
    ///
    /// # Errors
    /// When ping does not end, or got no answer at all.
    pub fn finish(self) -> Result<Loss, LabError> {
        let log = self.process.log().to_owned();
        self.process.interrupt(LIMIT)?;
        let text = fs::read_to_string(&log).map_err(|source| LabError::File { path: log, source })?;
        Ok(loss(&text))
    }
}

fn loss(text: &str) -> Loss {
    let answers = text.lines().filter_map(answer).collect::<Vec<_>>();
    let mut sequences = answers.iter().map(|answer| answer.1).collect::<Vec<_>>();
    sequences.sort_unstable();
    let all = sequences.len();
    sequences.dedup();
    let received = sequences.len();
    let expected = sequences.last().map_or(0, |last| *last as usize);
    let gaps = answers.iter().zip(answers.iter().skip(1)).map(|(before, after)| after.0 - before.0);
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
