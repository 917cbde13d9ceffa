//! Ports that are a VLAN on a trunk. The tag ends here: in the instance a frame is as one of any other port.

use bagpipe_common::{DropReason, Port, VlanKey, port_flags};
use bagpipe_packet::header::{ETHERNET, ethertype};

use crate::maps::PORT_OF_VLAN;
use crate::skb::Skb;

/// The port that a frame from a trunk comes from, whose tag goes. Without a tag, or with one that tells nothing but a
/// priority (IEEE 802.1Q §9.6), it comes from the one that is the interface itself.
#[inline(always)]
pub(crate) fn untag(skb: Skb) -> Result<u32, DropReason> {
    const IDENTIFIER: u16 = 0x0fff;
    let (vlan, is_tagged) = match skb.tag() {
        Some((ethertype::C_TAG, control)) => (control & IDENTIFIER, true),
        None if skb.protocol() == ethertype::C_TAG => {
            (u16::from_be_bytes(skb.load(ETHERNET as u32)?) & IDENTIFIER, true)
        }
        None => (0, false),
        // Of the provider's tag nobody told.
        Some(_) => return Err(DropReason::Unattached),
    };
    let key = VlanKey { ifindex: skb.interface(), vlan: vlan.into() };
    // SAFETY: a value of four bytes, copied at once.
    let port = *unsafe { PORT_OF_VLAN.get(key) }.ok_or(DropReason::Unattached)?;
    if is_tagged {
        skb.pop_tag()?;
    }
    Ok(port)
}

/// Tags a frame that leaves by a port, if that is a VLAN.
#[inline(always)]
pub(crate) fn tag(skb: Skb, port: Port) -> Result<(), DropReason> {
    match identifier(port) {
        0 => Ok(()),
        vlan => skb.push_tag(ethertype::C_TAG, vlan),
    }
}

/// Sends a copy by a port. Says whether its interface took it.
#[inline(always)]
pub(crate) fn clone_to(skb: Skb, port: Port) -> bool {
    if identifier(port) == 0 {
        return skb.clone_to(port.ifindex);
    }
    if tag(skb, port).is_err() {
        return false;
    }
    let taken = skb.clone_to(port.ifindex);
    skb.pop_tag().is_ok() && taken
}

#[inline(always)]
const fn identifier(port: Port) -> u16 {
    port.flags >> port_flags::VLAN_SHIFT
}
