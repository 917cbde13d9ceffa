//! The encoded NLRI of all routes, those of one length side by side: none has an allocation of its own, nor room
//! that it does not need.

use rustc_hash::FxHashMap;

/// Where the octets of an NLRI are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Octets {
    row: u32,
    length: u16,
}

/// All of them, by length.
#[derive(Debug, Default)]
pub(super) struct OctetStore(FxHashMap<u16, Rows>);

#[derive(Debug, Default)]
struct Rows {
    octets: Vec<u8>,
    free: Vec<u32>,
}

impl OctetStore {
    pub(super) fn get(&self, place: Octets) -> &[u8] {
        let octets = self.0.get(&place.length).and_then(|rows| rows.octets.get(place.range()));
        octets.unwrap_or_default()
    }

    /// Keep a copy. An NLRI is part of a message, whose length has 16 bits.
    pub(super) fn insert(&mut self, encoded: &[u8]) -> Octets {
        let length = u16::try_from(encoded.len()).unwrap_or(u16::MAX);
        let rows = self.0.entry(length).or_default();
        let row = rows.free.pop().unwrap_or_else(|| {
            let row = rows.octets.len() / usize::from(length).max(1);
            rows.octets.resize(rows.octets.len() + usize::from(length), 0);
            u32::try_from(row).unwrap_or(u32::MAX)
        });
        let place = Octets { row, length };
        if let Some(octets) = rows.octets.get_mut(place.range()) {
            octets.iter_mut().zip(encoded).for_each(|(octet, value)| *octet = *value);
        }
        place
    }

    pub(super) fn remove(&mut self, place: Octets) {
        if let Some(rows) = self.0.get_mut(&place.length) {
            rows.free.push(place.row);
            if rows.free.len() * usize::from(place.length) == rows.octets.len() {
                self.0.remove(&place.length);
            }
        }
    }

    /// Keep other octets in the place of these.
    pub(super) fn replace(&mut self, place: &mut Octets, encoded: &[u8]) {
        self.remove(*place);
        *place = self.insert(encoded);
    }
}

impl Octets {
    fn range(self) -> std::ops::Range<usize> {
        let start = self.row as usize * usize::from(self.length);
        start..start + usize::from(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_used_again() {
        let mut store = OctetStore::default();
        let mut first = store.insert(&[1, 2, 3]);
        let second = store.insert(&[4, 5, 6]);
        let other = store.insert(&[7]);
        assert_eq!(store.get(first), [1, 2, 3]);
        assert_eq!(store.get(second), [4, 5, 6]);
        assert_eq!(store.get(other), [7]);
        store.replace(&mut first, &[8, 9, 10]);
        assert_eq!(store.get(first), [8, 9, 10]);
        assert_eq!(store.get(second), [4, 5, 6]);
        assert_eq!(store.0[&3].octets.len(), 6);
    }

    #[test]
    fn a_length_that_is_not_used_any_more_takes_no_memory() {
        let mut store = OctetStore::default();
        let [first, second] = [[1, 2], [3, 4]].map(|octets| store.insert(&octets));
        store.remove(first);
        assert_eq!(store.get(second), [3, 4]);
        store.remove(second);
        assert!(store.0.is_empty());
    }

    #[test]
    fn nothing_is_kept_for_no_octets() {
        let mut store = OctetStore::default();
        let [first, second] = [(); 2].map(|()| store.insert(&[]));
        assert_eq!(store.get(first), []);
        store.remove(first);
        assert_eq!(store.get(second), []);
        store.remove(second);
        assert_eq!(store.get(first), []);
    }
}
