//! Which frames the underlay takes. Those that are too big for it are answered, as the kernel's VXLAN device does.

use bagpipe_common::DropReason;
use bagpipe_packet::header::{ETHERNET, Ipv6, Tag, ethertype, protocol};

use crate::skb::{Action, Skb};
use crate::source::Sender;
use crate::{icmp, stage};

/// Tells the sender of a frame that is switched, which no router is in the way of: in the name of the destination.
#[inline(always)]
pub(crate) fn answer(skb: Skb, sender: &Sender, limit: u32) -> Action {
    let mtu = limit.saturating_sub(ETHERNET as u32 + tag_length(skb));
    match icmp::icmp_error(skb.as_raw(), icmp::NO_ROUTER, DropReason::TooBig as u32, mtu) {
        stage::CONTINUE => sender.give_back(skb),
        action => action,
    }
}

/// Length of a frame, or of the largest one that it is cut into, with its tags.
#[inline(always)]
pub(crate) fn largest_frame(skb: Skb) -> u32 {
    let payload = skb.gso_size();
    if payload == 0 {
        return skb.length() + tag_length(skb);
    }
    ETHERNET as u32 + tag_length(skb) + segment_headers(skb).unwrap_or(0) + payload
}

/// Length of the tag that the kernel keeps beside a frame.
#[inline(always)]
fn tag_length(skb: Skb) -> u32 {
    if skb.tag().is_some() { size_of::<Tag>() as u32 } else { 0 }
}

/// Length of the network and transport headers that each segment repeats.
#[inline(always)]
fn segment_headers(skb: Skb) -> Result<u32, DropReason> {
    let (tag, kind) = match skb.protocol() {
        ethertype::C_TAG | ethertype::S_TAG => {
            let tag = skb.load::<4>(ETHERNET as u32)?;
            (size_of::<Tag>() as u32, u16::from_be_bytes([tag[2], tag[3]]))
        }
        kind => (0, kind),
    };
    let at = ETHERNET as u32 + tag;
    let (network, transport) = if kind == ethertype::IPV6 {
        (size_of::<Ipv6>() as u32, skb.load::<1>(at + 6)?[0])
    } else {
        (u32::from(skb.load::<1>(at)?[0] & 0x0f) * 4, skb.load::<1>(at + 9)?[0])
    };
    let transport =
        if transport == protocol::UDP { 8 } else { u32::from(skb.load::<1>(at + network + 12)?[0] >> 4) * 4 };
    Ok(tag + network + transport)
}
