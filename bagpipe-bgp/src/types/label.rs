//! MPLS labels, and the octets in which NLRI and attributes carry them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{ParseError, Vni};

/// An MPLS label, 20 bits (RFC 3032 §2.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Label(u32);

impl Label {
    /// The largest label.
    pub const MAX: u32 = 0x000f_ffff;
    /// The packet below is IPv4, and this label is popped by whoever receives it (RFC 3032 §2.1).
    pub const IPV4_EXPLICIT_NULL: Self = Self(0);
    /// The packet below is IPv6, and this label is popped by whoever receives it (RFC 3032 §2.1).
    pub const IPV6_EXPLICIT_NULL: Self = Self(2);
    /// Said in signaling, never seen in a packet: the label is to be popped one hop earlier (RFC 3032 §2.1).
    pub const IMPLICIT_NULL: Self = Self(3);
    /// The first label that has no special meaning (RFC 3032 §2.1, RFC 7274 §3).
    pub const FIRST_UNRESERVED: Self = Self(16);

    /// A label, if the number fits in 20 bits.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number <= Self::MAX { Some(Self(number)) } else { None }
    }

    /// The label as a number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether its meaning is not up to the router that assigns labels (RFC 7274 §3).
    #[must_use]
    pub const fn is_special_purpose(self) -> bool {
        self.0 < Self::FIRST_UNRESERVED.0
    }
}

impl TryFrom<u32> for Label {
    type Error = ParseError;

    fn try_from(number: u32) -> Result<Self, ParseError> {
        Self::new(number)
            .ok_or_else(|| ParseError::new("MPLS label", &number.to_string(), "a number from 0 to 1048575"))
    }
}

impl From<Label> for u32 {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The three octets of a label field in VPN and E-VPN NLRI and in the PMSI tunnel attribute. Whether those of
/// E-VPN are a VNI or an MPLS label is decided by the Encapsulation community of the route (RFC 8365 §5.1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LabelField(pub [u8; 3]);

impl LabelField {
    /// All 24 bits, as VXLAN and NVGRE use the field (RFC 8365 §5.1.3).
    #[must_use]
    pub const fn vni(self) -> Vni {
        Vni::from_octets(self.0)
    }

    /// The high-order 20 bits, as MPLS uses the field (RFC 7432 §7.1, RFC 8277 §2.2).
    #[must_use]
    pub const fn mpls(self) -> Label {
        Label(self.vni().get() >> 4)
    }
}

impl fmt::Display for LabelField {
    /// All 24 bits as a number: right for a VNI, and for an MPLS label together with its lower bits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.vni().fmt(f)
    }
}

impl Serialize for LabelField {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.vni().get())
    }
}

impl From<Vni> for LabelField {
    fn from(vni: Vni) -> Self {
        Self(vni.octets())
    }
}

impl From<Label> for LabelField {
    /// With the lower four bits zero, as E-VPN routes and PMSI tunnels have them (RFC 7432 §7.1, RFC 6514 §5).
    fn from(label: Label) -> Self {
        let [_, a, b, c] = (label.0 << 4).to_be_bytes();
        Self([a, b, c])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_field_holds_a_vni_or_a_label() {
        let field = LabelField([0x00, 0x06, 0x41]);
        assert_eq!(field.vni().get(), 1601);
        assert_eq!(field.mpls().get(), 100);
        let label = Label::new(Label::MAX).unwrap();
        assert_eq!(LabelField::from(label), LabelField([0xff, 0xff, 0xf0]));
        assert_eq!(LabelField::from(label).mpls(), label);
    }

    #[test]
    fn labels_have_20_bits() {
        assert_eq!(Label::new(0x10_0000), None);
        assert_eq!(Label::try_from(Label::MAX).map(Label::get), Ok(Label::MAX));
        assert!(Label::try_from(Label::MAX + 1).is_err());
        assert!(Label::IMPLICIT_NULL.is_special_purpose());
        assert!(!Label::FIRST_UNRESERVED.is_special_purpose());
    }
}
