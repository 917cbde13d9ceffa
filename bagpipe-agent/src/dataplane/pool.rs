//! Numbers that map entries are found by, reused only after a grace: a program that has just read an old
//! reference must not follow it to what the number means next.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a number rests before it is used again. A program runs for microseconds; the rest is for a virtual
/// CPU that is not scheduled meanwhile.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// The numbers from 1 to a limit.
#[derive(Debug)]
pub(crate) struct Pool {
    next: u32,
    end: u32,
    resting: VecDeque<(Instant, u32)>,
    free: Vec<u32>,
}

impl Pool {
    /// A pool of the numbers from 1 to `size - 1`: those of an array of `size` elements whose first is not used.
    #[must_use]
    pub(crate) const fn new(size: u32) -> Self {
        Self { next: 1, end: size, resting: VecDeque::new(), free: Vec::new() }
    }

    /// Takes a number: one that has rested longest, or else one never used.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        if self.resting.front().is_some_and(|(since, _)| now.saturating_duration_since(*since) >= GRACE) {
            return self.resting.pop_front().map(|(_, number)| number);
        }
        (self.next < self.end).then(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// Takes the numbers that adopted entries use, out of a new pool.
    pub(crate) fn adopt(&mut self, used: impl IntoIterator<Item = u32>) {
        let mut used: Vec<u32> = used.into_iter().filter(|number| *number < self.end).collect();
        used.sort_unstable();
        for number in used {
            self.free.extend(self.next..number);
            self.next = self.next.max(number + 1);
        }
    }

    /// Gives a number back.
    pub(crate) fn put(&mut self, number: u32, now: Instant) {
        self.resting.push_back((now, number));
    }

    /// How many numbers are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        (self.next as usize - 1) - self.resting.len() - self.free.len()
    }

    /// When a number becomes usable, where none is.
    #[must_use]
    pub(crate) fn exhausted_until(&self) -> Option<Instant> {
        if self.next < self.end || !self.free.is_empty() {
            return None;
        }
        self.resting.front().map(|(since, _)| *since + GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_rests_before_it_is_used_again() {
        let (mut pool, now) = (Pool::new(4), Instant::now());
        assert_eq!([pool.take(now), pool.take(now)], [Some(1), Some(2)]);
        pool.put(1, now);
        pool.put(2, now + GRACE / 2);
        assert_eq!(pool.take(now), Some(3), "one never used, while the others rest");
        assert_eq!(pool.take(now), None);
        assert_eq!(pool.exhausted_until(), Some(now + GRACE));
        assert_eq!(pool.take(now + GRACE), Some(1));
        assert_eq!(pool.take(now + GRACE), None);
        assert_eq!(pool.taken(), 2);
    }

    #[test]
    fn adopted_numbers_are_taken() {
        let (mut pool, now) = (Pool::new(5), Instant::now());
        pool.adopt([3, 1, 9]);
        assert_eq!(pool.taken(), 2);
        assert_eq!([pool.take(now), pool.take(now), pool.take(now)], [Some(2), Some(4), None]);
    }
}
