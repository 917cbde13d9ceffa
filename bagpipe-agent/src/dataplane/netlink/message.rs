//! Netlink's wire format: messages, and attributes within them (linux/netlink.h). Decoding takes any bytes: what
//! does not hold together ends the iteration.

const HEADER: usize = 16;
const ATTRIBUTE_HEADER: usize = 4;
/// The upper two bits of an attribute's type are flags.
const TYPE_MASK: u16 = 0x3fff;

/// A message that is being built.
#[derive(Debug)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
}

impl Builder {
    /// A message of this type, with these flags.
    #[must_use]
    pub(crate) fn new(kind: u16, flags: i32, sequence: u32) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&u16::try_from(flags).unwrap_or(0).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        Self { bytes }
    }

    /// Adds the fixed part of a message type.
    #[must_use]
    pub(crate) fn fixed(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self.pad()
    }

    /// Adds an attribute.
    #[must_use]
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(ATTRIBUTE_HEADER + value.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&length.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.pad()
    }

    /// Adds an attribute that holds attributes.
    #[must_use]
    pub(crate) fn nested(self, kind: u16, content: impl FnOnce(Self) -> Self) -> Self {
        let inner = content(Self { bytes: Vec::new() });
        self.attribute(kind, &inner.bytes)
    }

    /// The bytes of the message.
    #[must_use]
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX).to_ne_bytes();
        self.bytes.splice(..length.len(), length);
        self.bytes
    }

    fn pad(mut self) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }
}

/// A received message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Type, such as `RTM_NEWLINK`.
    pub kind: u16,
    /// Sequence number: of the request that it answers.
    pub sequence: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// The fixed part of the message type, of this size, and the attributes that follow it.
    #[must_use]
    pub(crate) fn split<const N: usize>(&self) -> Option<(&'a [u8; N], &'a [u8])> {
        let (fixed, _) = self.payload.split_first_chunk()?;
        Some((fixed, self.payload.get(N.next_multiple_of(4)..).unwrap_or_default()))
    }

    /// The error number of an `NLMSG_ERROR` message, 0 for an acknowledgement.
    #[must_use]
    pub(crate) fn error(&self) -> Option<i32> {
        let (number, _) = self.payload.split_first_chunk()?;
        Some(i32::from_ne_bytes(*number).saturating_neg())
    }
}

/// The messages in a datagram.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let message = bytes.get(..length)?;
        let payload = message.get(HEADER..)?;
        let (kind, sequence) = (u16_at(message, 4)?, u32_at(message, 8)?);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, sequence, payload })
    })
}

/// The attributes in a part of a message: type and value.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let value = bytes.get(..length)?.get(ATTRIBUTE_HEADER..)?;
        let kind = u16_at(bytes, 2)? & TYPE_MASK;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The number at a position, in host order.
#[must_use]
pub(crate) fn u16_at(bytes: &[u8], position: usize) -> Option<u16> {
    bytes.get(position..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

/// The number at a position, in host order.
#[must_use]
pub(crate) fn u32_at(bytes: &[u8], position: usize) -> Option<u32> {
    bytes.get(position..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_built_is_read() {
        let mut bytes = Builder::new(16, 1, 7)
            .fixed(&[1, 2, 3, 4])
            .attribute(3, b"eth0\0")
            .nested(18, |info| info.attribute(1, b"veth"))
            .finish();
        bytes.extend(Builder::new(17, 0, 8).fixed(&[9]).finish());
        let found: Vec<Message<'_>> = messages(&bytes).collect();
        assert_eq!([found[0].kind, found[1].kind], [16, 17]);
        assert_eq!([found[0].sequence, found[1].sequence], [7, 8]);
        let (fixed, rest) = found[0].split::<4>().unwrap();
        assert_eq!(fixed, &[1, 2, 3, 4]);
        let found: Vec<(u16, &[u8])> = attributes(rest).collect();
        assert_eq!(found[0], (3, b"eth0\0".as_slice()));
        assert_eq!(attributes(found[1].1).next(), Some((1, b"veth".as_slice())));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(messages(&bytes).count() <= bytes.len());
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
