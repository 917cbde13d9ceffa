//! Identifiers drawn from a range.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// A range of identifiers, and which of them are in use.
///
/// Numbers are handed out in turn: a number that was released comes last, so that a packet or a route still
/// under way does not meet another owner of its number.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    range: RangeInclusive<u32>,
    used: BTreeSet<u32>,
    next: u32,
}

impl Numbers {
    pub(crate) fn new(range: RangeInclusive<u32>) -> Self {
        let next = *range.start();
        Self { range, used: BTreeSet::new(), next }
    }

    pub(crate) const fn range(&self) -> &RangeInclusive<u32> {
        &self.range
    }

    /// The number that would be handed out now.
    pub(crate) fn peek(&self) -> Option<u32> {
        let (first, last) = (*self.range.start(), *self.range.end());
        if first > last {
            return None;
        }
        let next = if self.range.contains(&self.next) { self.next } else { first };
        self.first_free(next..=last).or_else(|| self.first_free(first..=next))
    }

    /// The numbers that would be handed out next, `None` if so many are not left.
    pub(crate) fn peek_several(&self, count: usize) -> Option<Vec<u32>> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let next = if self.range.contains(&self.next) { self.next } else { first };
        let free = (next..=last).chain(first..next).filter(|number| !self.used.contains(number));
        let drawn: Vec<u32> = free.take(count).collect();
        (drawn.len() == count).then_some(drawn)
    }

    fn first_free(&self, range: RangeInclusive<u32>) -> Option<u32> {
        let mut candidate = *range.start();
        for used in self.used.range(range.clone()) {
            if *used != candidate {
                break;
            }
            candidate = candidate.checked_add(1)?;
        }
        range.contains(&candidate).then_some(candidate)
    }

    /// Marks a number as used, whether in the range or not. False if it was used already.
    pub(crate) fn take(&mut self, number: u32) -> bool {
        if self.range.contains(&number) {
            self.next = number.wrapping_add(1);
        }
        self.used.insert(number)
    }

    /// Marks a number of another kind that is drawn from the same range, if there is one.
    pub(crate) fn take_each(&mut self, number: Option<u16>) {
        self.used.extend(number.map(u32::from));
    }

    pub(crate) fn is_used(&self, number: u32) -> bool {
        self.used.contains(&number)
    }

    pub(crate) fn release(&mut self, number: u32) {
        self.used.remove(&number);
    }

    /// Where to go on after a restart.
    pub(crate) const fn position(&self) -> u32 {
        self.next
    }

    pub(crate) const fn resume(&mut self, position: u32) {
        self.next = position;
    }

    pub(crate) fn in_use(&self) -> usize {
        self.used.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(numbers: &mut Numbers) -> Option<u32> {
        let number = numbers.peek()?;
        assert!(numbers.take(number));
        Some(number)
    }

    #[test]
    fn numbers_are_handed_out_in_turn_until_none_is_left() {
        let mut numbers = Numbers::new(5..=7);
        assert_eq!([draw(&mut numbers), draw(&mut numbers)], [Some(5), Some(6)]);
        numbers.release(5);
        assert_eq!(draw(&mut numbers), Some(7));
        assert_eq!(draw(&mut numbers), Some(5));
        assert_eq!(draw(&mut numbers), None);
        numbers.release(6);
        assert_eq!(draw(&mut numbers), Some(6));
    }

    #[test]
    fn numbers_taken_by_name_are_passed_over() {
        let mut numbers = Numbers::new(1..=3);
        assert!(numbers.take(2) && numbers.take(99));
        assert!(!numbers.take(2));
        assert_eq!([draw(&mut numbers), draw(&mut numbers), draw(&mut numbers)], [Some(3), Some(1), None]);
    }

    #[test]
    fn the_ends_of_all_numbers_are_no_trap() {
        let mut numbers = Numbers::new(u32::MAX - 1..=u32::MAX);
        assert_eq!(draw(&mut numbers), Some(u32::MAX - 1));
        assert_eq!(draw(&mut numbers), Some(u32::MAX));
        assert_eq!(draw(&mut numbers), None);
        assert_eq!(Numbers::new(RangeInclusive::new(3, 2)).peek(), None);
    }
}
