//! Conditions on numbers and on bits: each a list of terms, of which "and" binds closer than "or" (RFC 8955 §4.2.1).

use std::cmp::Ordering;
use std::fmt;

use bytes::{BufMut, BytesMut};

use crate::wire::reader::Reader;

const END: u8 = 0x80;
const AND: u8 = 0x40;
const WIDTH: u8 = 0x30;
const NOT: u8 = 0x02;
const ALL: u8 = 0x01;

/// How a number is compared: any combination of less, greater and equal (RFC 8955 §4.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Comparison(u8);

impl Comparison {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Equal.
    pub const EQUAL: Self = Self(1);
    /// Greater.
    pub const GREATER: Self = Self(2);
    /// Greater or equal.
    pub const AT_LEAST: Self = Self(3);
    /// Less.
    pub const LESS: Self = Self(4);
    /// Less or equal.
    pub const AT_MOST: Self = Self(5);
    /// Not equal.
    pub const OTHER: Self = Self(6);
    /// Whatever it is.
    pub const ALWAYS: Self = Self(7);
    const BITS: u8 = 7;
}

/// A term of a condition on a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Numeric {
    /// It has to hold together with the term before it.
    pub and: bool,
    /// How it is compared.
    pub comparison: Comparison,
    value: Value,
}

/// A term of a condition on bits (RFC 8955 §4.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bitmask {
    /// It has to hold together with the term before it.
    pub and: bool,
    /// It holds if it would not otherwise.
    pub not: bool,
    /// All of the bits are set, not only any of them.
    pub all: bool,
    value: Value,
}

impl Numeric {
    /// A term that is enough by itself.
    #[must_use]
    pub fn new(comparison: Comparison, value: u64) -> Self {
        Self { and: false, comparison, value: value.into() }
    }

    /// The same, to hold together with the term before it.
    #[must_use]
    pub const fn and(self) -> Self {
        Self { and: true, ..self }
    }

    /// What is compared with.
    #[must_use]
    pub const fn value(&self) -> u64 {
        self.value.number
    }
}

/// Whether a number meets a condition: all terms of one of the groups that "and" binds hold.
#[must_use]
pub fn holds(terms: &[Numeric], number: u64) -> bool {
    let term = |term: &Numeric| {
        let met = match number.cmp(&term.value()) {
            Ordering::Less => Comparison::LESS,
            Ordering::Equal => Comparison::EQUAL,
            Ordering::Greater => Comparison::GREATER,
        };
        term.comparison.0 & met.0 != 0
    };
    terms.chunk_by(|_, next| next.and).any(|group| group.iter().all(term))
}

impl Bitmask {
    /// A term that is enough by itself: all of these bits are set.
    #[must_use]
    pub fn all(bits: u64) -> Self {
        Self { and: false, not: false, all: true, value: bits.into() }
    }

    /// A term that is enough by itself: any of these bits is set.
    #[must_use]
    pub fn any(bits: u64) -> Self {
        Self { all: false, ..Self::all(bits) }
    }

    /// The bits.
    #[must_use]
    pub const fn bits(&self) -> u64 {
        self.value.number
    }
}

/// A number in 1, 2, 4 or 8 octets. How many is kept: the octets of an NLRI tell one route from another
/// (RFC 8955 §4), and a reflector must not change them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Value {
    number: u64,
    /// The number of octets as a power of two.
    width: u8,
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        let width = match number {
            0..=0xff => 0,
            0x100..=0xffff => 1,
            0x1_0000..=0xffff_ffff => 2,
            _ => 3,
        };
        Self { number, width }
    }
}

impl Value {
    fn take(operator: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let width = (operator & WIDTH) >> 4;
        let octets = reader.take(1 << width)?;
        let number = octets.iter().fold(0, |number, octet| number << 8 | u64::from(*octet));
        Some(Self { number, width })
    }

    fn put(self, operator: u8, out: &mut BytesMut) {
        out.put_u8(operator | self.width << 4);
        out.put_uint(self.number, 1 << self.width);
    }
}

/// What both kinds of terms are on the wire: an operator, then a number of as many octets as it says.
pub(super) trait Term: Copy + fmt::Display {
    /// The operator's bits other than the width, and what it is applied to.
    fn from_parts(operator: u8, value: Value) -> Self;
    fn parts(&self) -> (u8, Value);

    fn is_and(&self) -> bool {
        self.parts().0 & AND != 0
    }

    /// How many octets the number has.
    fn octets(&self) -> usize {
        1 << self.parts().1.width
    }
}

impl Term for Numeric {
    fn from_parts(operator: u8, value: Value) -> Self {
        Self { and: operator & AND != 0, comparison: Comparison(operator & Comparison::BITS), value }
    }

    fn parts(&self) -> (u8, Value) {
        (bit(self.and, AND) | self.comparison.0, self.value)
    }
}

impl Term for Bitmask {
    fn from_parts(operator: u8, value: Value) -> Self {
        Self { and: operator & AND != 0, not: operator & NOT != 0, all: operator & ALL != 0, value }
    }

    fn parts(&self) -> (u8, Value) {
        (bit(self.and, AND) | bit(self.not, NOT) | bit(self.all, ALL), self.value)
    }
}

const fn bit(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

/// Terms until the one that says that it is the last.
pub(super) fn take<T: Term>(reader: &mut Reader<'_>) -> Option<Vec<T>> {
    let mut terms = Vec::new();
    loop {
        let operator = reader.u8()?;
        let value = Value::take(operator, reader)?;
        // RFC 8955 §4.2.1.1: the first term has none before it.
        let ignored = if terms.is_empty() { AND } else { 0 };
        terms.push(T::from_parts(operator & !ignored, value));
        if operator & END != 0 {
            return Some(terms);
        }
    }
}

pub(super) fn put<T: Term>(terms: &[T], out: &mut BytesMut) {
    for (position, term) in terms.iter().enumerate() {
        let (operator, value) = term.parts();
        value.put(operator | bit(position + 1 == terms.len(), END), out);
    }
}

/// Terms with `&` and `,` for "and" and "or".
pub(super) fn write<T: Term>(terms: &[T], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (position, term) in terms.iter().enumerate() {
        let joint = match (position, term.is_and()) {
            (0, _) => "",
            (_, true) => "&",
            (_, false) => ",",
        };
        write!(f, "{joint}{term}")?;
    }
    Ok(())
}

impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.value.number;
        match self.comparison {
            Comparison::NEVER => f.write_str("never"),
            Comparison::EQUAL => write!(f, "={number}"),
            Comparison::GREATER => write!(f, ">{number}"),
            Comparison::AT_LEAST => write!(f, ">={number}"),
            Comparison::LESS => write!(f, "<{number}"),
            Comparison::AT_MOST => write!(f, "<={number}"),
            Comparison::OTHER => write!(f, "!={number}"),
            _ => f.write_str("always"),
        }
    }
}

impl fmt::Display for Bitmask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (not, all) = (if self.not { "!" } else { "" }, if self.all { "all" } else { "any" });
        write!(f, "{not}{all}:{:#x}", self.value.number)
    }
}
