//! How wire types become JSON and text.

use std::fmt;

use bytes::Bytes;
use serde::Serializer;

/// Octets as hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

/// For `serialize_with`: octets as a string of hexadecimal digits.
pub(super) fn hex<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Hex(bytes))
}

/// Serialize as the text of `Display`.
macro_rules! serialize_as_text {
    ($($type:ty),*) => { $(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )* };
}
pub(super) use serialize_as_text;

/// Items with a space between them.
pub(super) fn spaced<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    for (position, item) in items.into_iter().enumerate() {
        write!(f, "{}{item}", if position == 0 { "" } else { " " })?;
    }
    Ok(())
}

/// For `serialize_with`: each item as the text of its `Display`.
pub(super) fn texts<S: Serializer, T: fmt::Display>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(items.iter().map(ToString::to_string))
}
