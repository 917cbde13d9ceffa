//! Removing the outer headers at the TC hook.

use aya_ebpf::bindings::{
    BPF_F_ADJ_ROOM_DECAP_L3_IPV4, BPF_F_ADJ_ROOM_DECAP_L3_IPV6, BPF_F_ADJ_ROOM_FIXED_GSO,
    BPF_F_ADJ_ROOM_NO_CSUM_RESET,
};
use bagpipe_common::DropReason;
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv4, Ipv6, Tag, ethertype};

use crate::skb::Skb;
use crate::tunnel::{Arrival, Congestion, Inner};

/// The shortest payload of an Ethernet frame: shorter ones, which only virtual interfaces send, are padded.
const SHORTEST_PAYLOAD: usize = 46;

/// Makes the packet its inner frame. Says whether the kernel knows the frame's EtherType afterwards.
#[inline(always)]
pub(crate) fn remove(skb: Skb, arrival: &Arrival, inner: &Inner) -> Result<bool, DropReason> {
    let network = arrival.outer + inner.link_length();
    write_congestion(skb, inner, network, arrival.traffic_class)?;
    let payload = skb.length() as usize - network;
    let (known, kind) = match inner.ethertype {
        ethertype::IPV6 if payload >= size_of::<Ipv6>() => (true, BPF_F_ADJ_ROOM_DECAP_L3_IPV6),
        ethertype::IPV4 if payload >= size_of::<Ipv4>() => (true, BPF_F_ADJ_ROOM_DECAP_L3_IPV4),
        _ => (false, BPF_F_ADJ_ROOM_DECAP_L3_IPV4),
    };
    // The kernel wants an IP header's length to be left.
    if payload < size_of::<Ipv4>() {
        skb.change_tail((network + SHORTEST_PAYLOAD) as u32)?;
    }
    let flags = BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_NO_CSUM_RESET | kind;
    skb.adjust_room(-((network - ETHERNET) as i32), flags.into()).map_err(|_| DropReason::Encapsulation)?;
    skb.write(0, Ethernet { ethertype: inner.ethertype.to_be_bytes(), ..inner.ethernet })?;
    restore_tags(skb, inner)?;
    Ok(known)
}

#[inline(always)]
fn write_congestion(skb: Skb, inner: &Inner, network: usize, outer: u8) -> Result<(), DropReason> {
    match inner.congestion(skb.bytes(), network, outer)? {
        Congestion::Unchanged => Ok(()),
        Congestion::Ipv4(first, checksum) => {
            skb.store_summed(network as u32, &first)?;
            skb.store_summed((network + core::mem::offset_of!(Ipv4, checksum)) as u32, &checksum)
        }
        Congestion::Ipv6(first) => skb.store_summed(network as u32, &first),
    }
}

/// Gives the tags back to the kernel, the innermost first: it keeps the last one aside, as it would have done
/// with a frame from a NIC.
#[inline(always)]
fn restore_tags(skb: Skb, inner: &Inner) -> Result<(), DropReason> {
    let [first, second]: [Tag; 2] = inner.tags;
    if inner.tag_count == 2 {
        skb.push_tag(u16::from_be_bytes(first.ethertype), u16::from_be_bytes(second.control))?;
    }
    if inner.tag_count > 0 {
        skb.push_tag(u16::from_be_bytes(inner.ethernet.ethertype), u16::from_be_bytes(first.control))?;
    }
    Ok(())
}
