//! From a port.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{Address, DropReason, Target, TargetKind, mapped};
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv4, Ipv6, Mac, ethertype, protocol};

use crate::maps::{self, PORT_OF_INTERFACE, PORTS};
use crate::skb::{Action, Skb};
use crate::source::{self, Sender};
use crate::{arp, counters, encap, flood, nd, routed, stage, switch, too_big};

/// See [`crate::programs::port_ingress`].
#[inline(always)]
pub(crate) fn ingress(skb: Skb) -> Result<Action, DropReason> {
    // SAFETY: a value of four bytes, copied at once.
    let port = *unsafe { PORT_OF_INTERFACE.get(skb.interface()) }.ok_or(DropReason::Unattached)?;
    let vpn = PORTS.get(port).ok_or(DropReason::Unattached)?.vpn;
    if vpn == 0 {
        return Err(DropReason::Unattached);
    }
    counters::received(port, vpn, skb.length());
    let mut sender = Sender { port, vpn, mac: Mac::default(), any_ip: 0 };
    let action = match check(skb.as_raw(), &raw mut sender) {
        stage::ARP => arp::arp_ingress(skb.as_raw(), &sender),
        stage::ND => nd::nd_ingress(skb.as_raw(), &sender),
        action => action,
    };
    if action != stage::CONTINUE {
        return Ok(action);
    }
    let target = switch::chosen(skb, switch::target(vpn, skb.header::<Ethernet>(0)?.destination)?)?;
    forward(skb, &sender, target)
}

/// Checks who sends a frame and the addresses inside it, and fills in the sender. For ARP and ND there is more to
/// check and perhaps to answer.
#[unsafe(no_mangle)]
extern "C" fn check(skb: *mut __sk_buff, sender: *mut Sender) -> Action {
    // SAFETY: the caller passes its own; the verifier wants to see that it is not null.
    let Some(sender) = (unsafe { sender.as_mut() }) else { return stage::CONTINUE };
    let given = *sender;
    stage::run(skb, &raw const given, |skb, Sender { port, vpn, .. }| {
        let (port, vpn, mac) = (*port, *vpn, skb.header::<Ethernet>(0)?.source);
        let kind = if source::is_in_vlan(skb)? { 0 } else { skb.protocol() };
        let next = match kind {
            ethertype::IPV4 => {
                *sender = Sender::of_packet(port, vpn, mac, ipv4_source(skb)?)?;
                None
            }
            ethertype::IPV6 => {
                let (address, other) = ipv6_source(skb)?;
                *sender = Sender::of_packet(port, vpn, mac, address)?;
                if other { None } else { Some(stage::ND) }
            }
            _ => {
                *sender = Sender::new(port, vpn, mac)?;
                (kind == ethertype::ARP).then_some(stage::ARP)
            }
        };
        Ok(next)
    })
}

#[inline(always)]
fn ipv4_source(skb: Skb) -> Result<Address, DropReason> {
    let ip = skb.header::<Ipv4>(ETHERNET)?;
    if ip.version_length >> 4 != 4 || ip.version_length & 0x0f < 5 {
        return Err(DropReason::Malformed);
    }
    Ok(mapped(ip.source))
}

/// The source address, and whether there can't be neighbour discovery in the packet.
#[inline(always)]
fn ipv6_source(skb: Skb) -> Result<(Address, bool), DropReason> {
    let ip = skb.header::<Ipv6>(ETHERNET)?;
    if ip.version_class_flow[0] >> 4 != 6 {
        return Err(DropReason::Malformed);
    }
    Ok((ip.source, matches!(ip.next_header, protocol::TCP | protocol::UDP)))
}

#[inline(always)]
fn forward(skb: Skb, sender: &Sender, target: Target) -> Result<Action, DropReason> {
    if switch::is_remote(target) {
        let encap = maps::encap(target.id).ok_or(DropReason::NoNextHop)?;
        let (largest, limit) = (too_big::largest_frame(skb), encap::limit(encap, target));
        if largest > limit {
            return Ok(too_big::answer(skb, sender, limit));
        }
        return Ok(encap::send_remote(skb.as_raw(), encap, encap::packed(target), largest));
    }
    if target.kind == TargetKind::Router as u8 {
        return routed::from_port(skb, sender, target.id as u16);
    }
    if switch::is_port(target) {
        if target.id == sender.port {
            return Err(DropReason::SamePort);
        }
        return switch::deliver(skb, sender.vpn, target.id, true);
    }
    Ok(flood::flood(skb.as_raw(), sender))
}
