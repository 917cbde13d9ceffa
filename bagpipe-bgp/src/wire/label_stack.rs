//! The labels in front of a prefix (RFC 8277 §2).

use std::fmt;

use serde::{Serialize, Serializer};

use crate::types::{Label, LabelField};

/// As many labels as the length of an NLRI can count beside a route distinguisher.
const MAX_LABELS: usize = (u8::MAX as usize - 64) / LABEL_BITS;
/// Bits of a label field.
pub(super) const LABEL_BITS: usize = 24;
const LABEL_OCTETS: usize = LABEL_BITS / 8;
/// Those of the last octet that are the label's.
const LABEL_BITS_OF_LOW: u8 = 0xf0;
/// The S bit: no label follows.
const BOTTOM: u8 = 0x01;
/// One of the bits that say nothing (RFC 8277 §2.2).
const IGNORED: u8 = 0x02;
/// What stands in the place of a label when a route is withdrawn (RFC 8277 §2.4).
pub(super) const WITHDRAWN: LabelField = LabelField([0x80, 0, 0]);

/// The labels that a prefix is bound to, top first. None: the route is withdrawn, which does not depend on them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct LabelStack {
    /// As they stand in an NLRI: the S bit is set in the last label only.
    fields: [LabelField; MAX_LABELS],
    count: u8,
}

impl LabelStack {
    /// No label.
    pub const EMPTY: Self = Self { fields: [LabelField([0; 3]); MAX_LABELS], count: 0 };

    /// The labels, top first; `None` if they are more than an NLRI can hold.
    #[must_use]
    pub fn new(labels: &[Label]) -> Option<Self> {
        let mut stack = Self { count: u8::try_from(labels.len()).ok()?, ..Self::EMPTY };
        for (field, label) in stack.fields.get_mut(..labels.len())?.iter_mut().zip(labels) {
            *field = (*label).into();
        }
        stack.mark_fields();
        Some(stack)
    }

    /// The labels, top first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Label> + '_ {
        self.fields().iter().map(|field| field.mpls())
    }

    /// The label on top.
    #[must_use]
    pub fn top(&self) -> Option<Label> {
        self.iter().next()
    }

    /// How many labels there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is no label.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether no label follows.
    #[inline]
    pub(super) const fn is_bottom([.., low]: [u8; LABEL_OCTETS]) -> bool {
        low & BOTTOM != 0
    }

    /// Whether the only label is as it is written here.
    #[inline]
    pub(super) const fn is_canonical([.., low]: [u8; LABEL_OCTETS]) -> bool {
        low & !LABEL_BITS_OF_LOW == BOTTOM
    }

    /// The only label.
    #[inline]
    pub(super) const fn of_bottom([a, b, low]: [u8; LABEL_OCTETS]) -> Self {
        let mut stack = Self { count: 1, ..Self::EMPTY };
        stack.fields[0] = LabelField([a, b, low & LABEL_BITS_OF_LOW | BOTTOM]);
        stack
    }

    /// The labels in the octets that [`label_octets`] has counted.
    #[inline]
    pub(super) fn decode(octets: &[u8]) -> Self {
        match octets {
            [a, b, c] if *octets != WITHDRAWN.0 => Self::of_bottom([*a, *b, *c]),
            _ => Self::decode_several(octets),
        }
    }

    #[cold]
    fn decode_several(octets: &[u8]) -> Self {
        let mut stack = Self::EMPTY;
        if *octets == WITHDRAWN.0 {
            return stack;
        }
        let (fields, _) = octets.as_chunks::<LABEL_OCTETS>();
        for (place, octets) in stack.fields.iter_mut().zip(fields) {
            *place = LabelField(*octets).mpls().into();
            stack.count += 1;
        }
        stack.mark_fields();
        stack
    }

    /// As they stand in an NLRI.
    pub(super) fn fields(&self) -> &[LabelField] {
        self.fields.get(..self.len()).unwrap_or_default()
    }

    /// Sets what is in a field besides its label.
    fn mark_fields(&mut self) {
        let last = self.len().checked_sub(1).and_then(|last| self.fields.get_mut(last));
        if let Some(LabelField([.., low])) = last {
            *low |= BOTTOM;
        }
        // On top of others, these labels would be taken for the field that only fills a place. A bit that receivers
        // ignore (RFC 8277 §2.2) tells them from it.
        if self.count > 1
            && let Some(LabelField([0x80 | 0, 0, low @ 0])) = self.fields.first_mut()
        {
            *low = IGNORED;
        }
    }
}

/// How many octets of labels `bytes` begins with; `None` if the stack has no bottom.
///
/// The S bit ends the stack (RFC 8277 §2.3). It is not looked for in a field that only fills the place of a label
/// in a withdrawal: 0x800000, and 0x000000 of some older speakers (RFC 8277 §2.4).
#[inline]
pub(super) fn label_octets(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [_, _, low, ..] if low & BOTTOM != 0 => Some(LABEL_OCTETS),
        [0x80 | 0, 0, 0, ..] => Some(LABEL_OCTETS),
        _ => several_label_octets(bytes),
    }
}

/// Almost all routes have one label: that these are few keeps the others fast.
#[cold]
fn several_label_octets(bytes: &[u8]) -> Option<usize> {
    let (fields, _) = bytes.as_chunks::<LABEL_OCTETS>();
    let last = fields.iter().take(MAX_LABELS).position(|[.., low]| low & BOTTOM != 0)?;
    Some((last + 1) * LABEL_OCTETS)
}

impl From<Label> for LabelStack {
    fn from(label: Label) -> Self {
        let mut stack = Self { count: 1, ..Self::EMPTY };
        stack.fields[0] = label.into();
        stack.mark_fields();
        stack
    }
}

impl fmt::Display for LabelStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, label) in self.iter().enumerate() {
            write!(f, "{}{label}", if position == 0 { "" } else { "/" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for LabelStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for LabelStack {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(labels: &[u32]) -> LabelStack {
        LabelStack::new(&labels.iter().map(|label| Label::new(*label).unwrap()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn a_stack_ends_at_its_bottom() {
        for (octets, count, labels) in [
            (&[0x00, 0x06, 0x41, 0x00, 0x00, 0x01][..], 3, stack(&[100])),
            (&[0x00, 0x06, 0x40, 0x00, 0x06, 0x51], 6, stack(&[100, 101])),
            // Three bits are reserved, and ignored (RFC 8277 §2.2).
            (&[0x00, 0x06, 0x4f], 3, stack(&[100])),
            (&[0x80, 0x00, 0x00, 0x00, 0x06, 0x51], 3, LabelStack::EMPTY),
            (&[0x80, 0x00, 0x01], 3, stack(&[0x80000])),
            (&[0x00, 0x00, 0x00, 0x00, 0x06, 0x51], 3, stack(&[0])),
        ] {
            assert_eq!(label_octets(octets), Some(count), "{octets:x?}");
            assert_eq!(LabelStack::decode(&octets[..count]), labels, "{octets:x?}");
        }
    }

    #[test]
    fn a_stack_without_a_bottom_is_none() {
        for octets in [&[][..], &[0x00, 0x06], &[0x00, 0x06, 0x40], &[0x10; 21], &[0x10; 60]] {
            assert_eq!(label_octets(octets), None, "{octets:x?}");
        }
    }

    #[test]
    fn a_stack_holds_as_many_labels_as_an_nlri() {
        assert_eq!(stack(&[1, 2, 3, 4, 5, 6, 7]).len(), 7);
        assert_eq!(stack(&[1, 2, 3]).top(), Label::new(1));
        assert_eq!(stack(&[1, 2, 3]).to_string(), "1/2/3");
        assert_eq!(LabelStack::new(&[Label::IMPLICIT_NULL; 8]), None);
        assert_eq!(stack(&[7]), Label::new(7).unwrap().into());
    }

    #[test]
    fn a_stack_is_never_taken_for_a_withdrawal() {
        for labels in [&[0, 100][..], &[0x80000, 100], &[100, 0x80000, 101], &[0, 0x80000, 0]] {
            let octets = stack(labels).fields().iter().flat_map(|field| field.0).collect::<Vec<_>>();
            assert_eq!(label_octets(&octets), Some(octets.len()), "{labels:?}");
            assert_eq!(LabelStack::decode(&octets), stack(labels), "{labels:?}");
        }
    }
}
