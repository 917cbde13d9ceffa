//! `GET /v1/monitor/...`: a line of JSON for each thing that happens, for as long as the client reads.
//!
//! Between the agent and a reader is a bounded queue. What finds it full is counted and not kept: a reader that is
//! slow is told how much it has missed, and costs nobody else anything.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Lines that wait for a reader.
const QUEUE: usize = 1024;

/// What can be monitored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// Paths that come, change and go.
    Routes,
    /// Sessions with peers.
    Sessions,
}

impl Topic {
    /// The topic of a path below `/v1/monitor/`.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "routes" => Some(Self::Routes),
            "sessions" => Some(Self::Sessions),
            _ => None,
        }
    }
}

/// The agent's end of a queue of lines.
#[derive(Debug)]
pub struct Feed {
    lines: mpsc::Sender<Bytes>,
    missed: Arc<AtomicU64>,
}

/// The reader's end of a queue of lines: the body of its response.
#[derive(Debug)]
pub struct Lines {
    lines: mpsc::Receiver<Bytes>,
    missed: Arc<AtomicU64>,
}

/// A queue of lines.
#[must_use]
pub(crate) fn feed() -> (Feed, Lines) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let missed = Arc::new(AtomicU64::new(0));
    (Feed { lines: sender, missed: Arc::clone(&missed) }, Lines { lines: receiver, missed })
}

impl Feed {
    /// Whether anybody reads.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.lines.is_closed()
    }

    /// Queues a line if there is room; else it is missed, and need not even be made.
    pub fn push(&self, line: impl FnOnce() -> Bytes) {
        // Behind a gap nothing goes in before what tells of the gap.
        if self.missed.load(Ordering::Relaxed) > 0 {
            match self.lines.try_reserve() {
                Ok(place) => place.send(gap(self.missed.swap(0, Ordering::Relaxed))),
                Err(_) => return self.miss(),
            }
        }
        match self.lines.try_reserve() {
            Ok(place) => place.send(line()),
            Err(TrySendError::Full(())) => self.miss(),
            Err(TrySendError::Closed(())) => {}
        }
    }

    fn miss(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
    }
}

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.lines.poll_recv(context) {
            Poll::Ready(line) => Poll::Ready(line.map(|line| Ok(Frame::data(line)))),
            // Not for want of lines, but for others to have their turn.
            Poll::Pending if !self.lines.is_empty() => Poll::Pending,
            // The queue is empty: what is told now stands where it was missed.
            Poll::Pending => match self.missed.swap(0, Ordering::Relaxed) {
                0 => Poll::Pending,
                missed => Poll::Ready(Some(Ok(Frame::data(gap(missed))))),
            },
        }
    }
}

fn gap(missed: u64) -> Bytes {
    format!("{{\"event\":\"missed\",\"count\":{missed}}}\n").into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn next(lines: &mut Lines) -> String {
        let frame = lines.frame().await.expect("a line").expect("no error");
        String::from_utf8(frame.into_data().expect("data").to_vec()).expect("text")
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed() {
        let (feed, mut lines) = feed();
        for number in 0..QUEUE + 5 {
            feed.push(|| format!("{number}\n").into());
        }
        for number in 0..QUEUE {
            assert_eq!(next(&mut lines).await, format!("{number}\n"));
        }
        assert_eq!(next(&mut lines).await, "{\"event\":\"missed\",\"count\":5}\n");
        feed.push(|| "after\n".into());
        assert_eq!(next(&mut lines).await, "after\n");
    }

    #[tokio::test]
    async fn a_gap_stands_before_what_follows_it() {
        let (feed, mut lines) = feed();
        for number in 0..=QUEUE {
            feed.push(|| format!("{number}\n").into());
        }
        for _ in 0..2 {
            next(&mut lines).await;
        }
        feed.push(|| "after\n".into());
        for _ in 2..QUEUE {
            next(&mut lines).await;
        }
        assert_eq!(next(&mut lines).await, "{\"event\":\"missed\",\"count\":1}\n");
        assert_eq!(next(&mut lines).await, "after\n");
        drop(lines);
        assert!(!feed.is_open());
    }
}
