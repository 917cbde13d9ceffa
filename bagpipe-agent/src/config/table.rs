//! Reading TOML tables so that every complaint has a line and a key, and no key goes unread.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{Problem, ProblemKind};

/// A text being read, and what was found wrong with it so far.
pub(super) struct Reader<'a> {
    text: &'a str,
    problems: RefCell<Vec<Problem>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, problems: RefCell::default() }
    }

    /// The top of the document.
    pub(super) fn root<'r>(&'r self, table: &'r DeTable<'a>) -> Section<'r, 'a> {
        Section { reader: self, path: String::new(), line: 1, entries: Some(table), known: Vec::new() }
    }

    /// What is wrong, in the order of the file.
    pub(super) fn problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| problem.line);
        problems
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn report(&self, line: usize, key: String, kind: ProblemKind) {
        self.problems.borrow_mut().push(Problem { line, key, kind });
    }
}

/// A table; an absent one reads as empty, so that defaults have one place.
pub(super) struct Section<'r, 'a> {
    reader: &'r Reader<'a>,
    path: String,
    line: usize,
    entries: Option<&'r DeTable<'a>>,
    known: Vec<&'static str>,
}

impl<'r, 'a> Section<'r, 'a> {
    /// Whether the file has this table.
    pub(super) fn is_present(&self) -> bool {
        self.entries.is_some()
    }

    /// The value of a key.
    pub(super) fn get(&mut self, key: &'static str) -> Option<Item<'r, 'a>> {
        self.known.push(key);
        let (_, value) = self.entries?.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Item { reader: self.reader, path: join(&self.path, key), value })
    }

    /// The table under a key.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        match self.get(key) {
            Some(item) => item.section(),
            None => Section {
                reader: self.reader,
                path: join(&self.path, key),
                line: self.line,
                entries: None,
                known: Vec::new(),
            },
        }
    }

    /// Reports that a key must be there.
    pub(super) fn missing(&self, key: &'static str, remedy: &'static str) {
        self.reader.report(self.line, join(&self.path, key), ProblemKind::Missing { remedy });
    }

    /// Reports the keys that nothing asked for.
    pub(super) fn finish(self) {
        for (name, _) in self.entries.into_iter().flatten() {
            if !self.known.contains(&name.get_ref().as_ref()) {
                let nearest = nearest(name.get_ref(), &self.known);
                let line = self.reader.line(name.span().start);
                self.reader.report(line, join(&self.path, name.get_ref()), ProblemKind::Unknown { nearest });
            }
        }
    }
}

/// A value and where it stands. Each reading method reports what is wrong and then returns `None`.
pub(super) struct Item<'r, 'a> {
    reader: &'r Reader<'a>,
    path: String,
    value: &'r Spanned<DeValue<'a>>,
}

impl<'r, 'a> Item<'r, 'a> {
    pub(super) fn string(&self) -> Option<&'r str> {
        match self.value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => self.wrong_type("a string"),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_type("true or false"),
        }
    }

    /// Whether it is true or false.
    pub(super) fn is_boolean(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Boolean(_))
    }

    /// An integer of a range.
    pub(super) fn integer<T>(&self, range: RangeInclusive<u32>) -> Option<T>
    where
        T: TryFrom<u32>,
    {
        let DeValue::Integer(integer) = self.value.get_ref() else { return self.wrong_type("an integer") };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok()) {
            Some(number) => Some(number),
            None => self.refuse(
                format!("{} is out of range", integer.as_str()),
                format!("use a number from {} to {}", range.start(), range.end()),
            ),
        }
    }

    /// A string that reads as a `T`.
    pub(super) fn parse<T: FromStr>(&self, expected: &str) -> Option<T> {
        let text = self.string()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => self.refuse(format!("'{text}' cannot be read"), format!("use {expected}")),
        }
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.parse("an IPv4 or IPv6 address such as \"10.0.0.1\"")
    }

    pub(super) fn socket_address(&self) -> Option<SocketAddr> {
        self.parse("ADDRESS:PORT such as \"127.0.0.1:8082\" or \"[::1]:8082\"")
    }

    /// `"FIRST-LAST"`, within a range.
    pub(super) fn range(&self, within: RangeInclusive<u32>) -> Option<RangeInclusive<u32>> {
        self.range_between('-', within)
    }

    /// The same with something else between both.
    pub(super) fn range_between(
        &self,
        separator: char,
        within: RangeInclusive<u32>,
    ) -> Option<RangeInclusive<u32>> {
        let text = self.string()?;
        let ends = text.split_once(separator).and_then(|(first, last)| {
            Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
        });
        match ends {
            Some((first, last)) if first <= last && within.contains(&first) && within.contains(&last) => {
                Some(first..=last)
            }
            _ => self.refuse(
                format!("'{text}' is not a range"),
                format!("use \"FIRST{separator}LAST\" within {} to {}", within.start(), within.end()),
            ),
        }
    }

    /// The members of an array.
    pub(super) fn list(&self) -> Vec<Self> {
        match self.value.get_ref() {
            DeValue::Array(array) => array
                .iter()
                .enumerate()
                .map(|(position, value)| Item {
                    reader: self.reader,
                    path: format!("{}[{position}]", self.path),
                    value,
                })
                .collect(),
            _ => {
                self.wrong_type::<()>("an array");
                Vec::new()
            }
        }
    }

    /// Whether it is an array without members; a value of another type is not reported here.
    pub(super) fn is_empty_list(&self) -> bool {
        matches!(self.value.get_ref(), DeValue::Array(array) if array.is_empty())
    }

    pub(super) fn section(&self) -> Section<'r, 'a> {
        let entries = match self.value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type("a table"),
        };
        let line = self.reader.line(self.value.span().start);
        Section { reader: self.reader, path: self.path.clone(), line, entries, known: Vec::new() }
    }

    /// Reports that the value cannot be.
    pub(super) fn refuse<T>(&self, cause: impl Into<String>, remedy: impl Into<String>) -> Option<T> {
        self.report(ProblemKind::Value { cause: cause.into(), remedy: remedy.into() });
        None
    }

    fn wrong_type<T>(&self, expected: &'static str) -> Option<T> {
        self.report(ProblemKind::Type { found: self.value.get_ref().type_str(), expected });
        None
    }

    fn report(&self, kind: ProblemKind) {
        self.reader.report(self.reader.line(self.value.span().start), self.path.clone(), kind);
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// The known key that a misspelled one is most likely to mean.
fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    let limit = key.len().div_ceil(3);
    known
        .iter()
        .map(|candidate| (distance(key, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance: insertions, deletions and substitutions from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, wanted) in from.chars().enumerate() {
        let mut previous = vec![above + 1];
        for (candidate, cells) in to.chars().zip(row.windows(2)) {
            let [diagonal, up] = cells else { continue };
            let left = previous.last().copied().unwrap_or_default();
            previous.push((diagonal + usize::from(candidate != wanted)).min(up + 1).min(left + 1));
        }
        row = previous;
    }
    row.last().copied().unwrap_or_default()
}
