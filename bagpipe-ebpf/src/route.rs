//! Delivering packets that came under a label to ports of this node.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{DropReason, NeighborKey, mapped};
use bagpipe_packet::checksum;
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv4, Ipv6, ethertype};

use crate::maps::{ADJACENCIES, HOSTS};
use crate::skb::{Action, Skb};
use crate::source::Sender;
use crate::{mpls, stage, switch};

/// Routes a packet from a port.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn route(skb: *mut __sk_buff, sender: *const Sender, vrf: u32) -> Action {
    stage::run(skb, sender, |skb, _| {
        let protocol = skb.protocol();
        let (address, ttl, traffic_class) = match protocol {
            ethertype::IPV4 => {
                let ip = skb.header::<Ipv4>(ETHERNET)?;
                (mapped(ip.destination), ip.ttl, ip.traffic_class)
            }
            ethertype::IPV6 => {
                let ip = skb.header::<Ipv6>(ETHERNET)?;
                (ip.destination, ip.hop_limit, ip.traffic_class())
            }
            _ => return Err(DropReason::NotRoutable),
        };
        // SAFETY: a value of eight bytes, copied at once.
        let target = *unsafe { HOSTS.get(NeighborKey { address, vpn: vrf as u16, zero: 0 }) }
            .ok_or(DropReason::NoRoute)?;
        if !mpls::is_labelled(target) {
            return Err(DropReason::NoRoute);
        }
        take_one_off(skb, protocol)?;
        mpls::push_packet(skb, target, ttl - 1, traffic_class).map(Some)
    })
}

/// Delivers a packet to the adjacency in a slot.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn adjacent_local(skb: *mut __sk_buff, slot: u32) -> Action {
    stage::run_alone(skb, |skb| {
        let adjacency = ADJACENCIES.get(slot).ok_or(DropReason::NoRoute)?;
        if !switch::is_port(adjacency.target) {
            return Err(DropReason::SplitHorizon);
        }
        let protocol = skb.protocol();
        take_one_off(skb, protocol)?;
        skb.store(
            0,
            &Ethernet {
                destination: adjacency.destination,
                source: adjacency.source,
                ethertype: protocol.to_be_bytes(),
            },
        )?;
        switch::deliver(skb, adjacency.vpn, adjacency.target.id, true).map(Some)
    })
}

/// Routes a packet to the ports of this node.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn route_local(skb: *mut __sk_buff, _vrf: u32) -> Action {
    stage::run_alone(skb, |_| Err(DropReason::NoRoute))
}

/// Takes one off the time to live or hop limit.
#[inline(always)]
fn take_one_off(skb: Skb, protocol: u16) -> Result<(), DropReason> {
    if protocol == ethertype::IPV6 {
        let left = skb.header::<Ipv6>(ETHERNET)?.hop_limit;
        if left <= 1 {
            return Err(DropReason::TtlExceeded);
        }
        return skb.store_summed((ETHERNET + core::mem::offset_of!(Ipv6, next_header)) as u32, &{
            let ip = skb.header::<Ipv6>(ETHERNET)?;
            [ip.next_header, left - 1]
        });
    }
    let ip = skb.header::<Ipv4>(ETHERNET)?;
    if ip.ttl <= 1 {
        return Err(DropReason::TtlExceeded);
    }
    let from = u16::from_be_bytes([ip.ttl, ip.protocol]);
    let to = from - 0x100;
    let sum = checksum::updated(u16::from_be_bytes(ip.checksum), from, to);
    let [a, b] = to.to_be_bytes();
    let [c, d] = sum.to_be_bytes();
    skb.store_summed((ETHERNET + core::mem::offset_of!(Ipv4, ttl)) as u32, &[a, b, c, d])
}
