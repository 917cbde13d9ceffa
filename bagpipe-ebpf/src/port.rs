//! From a port.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{DropReason, Target, TargetKind, mapped};
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv4, Ipv6, Mac, ethertype, protocol};

use crate::maps::{self, PORT_OF_INTERFACE, PORTS};
use crate::skb::{Action, Skb};
use crate::source::{self, Sender};
use crate::{arp, counters, encap, flood, nd, stage, switch, too_big};

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
    let target = switch::target(vpn, skb.header::<Ethernet>(0)?.destination)?;
    forward(skb, &sender, target)
}

/// Checks who sends a frame and the addresses inside it, and fills in the sender. For ARP and ND there is more to
/// check and perhaps to answer.
#[unsafe(no_mangle)]
extern "C" fn check(skb: *mut __sk_buff, sender: *mut Sender) -> Action {
    // SAFETY: the caller passes its own; the verifier wants to see that it is not null.
    let Some(sender) = (unsafe { sender.as_mut() }) else { return stage::CONTINUE };
    let given = *sender;
    stage::run(skb, &raw const given, |skb, _| {
        *sender = Sender::new(given.port, given.vpn, skb.header::<Ethernet>(0)?.source)?;
        if source::is_in_vlan(skb)? {
            return Ok(None);
        }
        match skb.protocol() {
            ethertype::IPV4 => check_ipv4(skb, sender).map(|()| None),
            ethertype::ARP => Ok(Some(stage::ARP)),
            ethertype::IPV6 if check_ipv6(skb, sender)? => Ok(Some(stage::ND)),
            _ => Ok(None),
        }
    })
}

#[inline(always)]
fn check_ipv4(skb: Skb, sender: &Sender) -> Result<(), DropReason> {
    let ip = skb.header::<Ipv4>(ETHERNET)?;
    if ip.version_length >> 4 != 4 || ip.version_length & 0x0f < 5 {
        return Err(DropReason::Malformed);
    }
    sender.check_address(mapped(ip.source))
}

/// Says whether there may be neighbour discovery in the packet.
#[inline(always)]
fn check_ipv6(skb: Skb, sender: &Sender) -> Result<bool, DropReason> {
    let ip = skb.header::<Ipv6>(ETHERNET)?;
    if ip.version_class_flow[0] >> 4 != 6 {
        return Err(DropReason::Malformed);
    }
    let other = matches!(ip.next_header, protocol::TCP | protocol::UDP);
    sender.check_address(ip.source)?;
    Ok(!other)
}

#[inline(always)]
fn forward(skb: Skb, sender: &Sender, target: Target) -> Result<Action, DropReason> {
    if target.kind == TargetKind::Vxlan as u8 {
        let encap = maps::encap(target.id).ok_or(DropReason::NoNextHop)?;
        let (largest, limit) = (too_big::largest_frame(skb), encap::limit(encap));
        if largest > limit {
            return Ok(too_big::answer_too_big(skb.as_raw(), sender, limit));
        }
        let [a, b, c] = target.vni;
        let vni = u32::from_be_bytes([0, a, b, c]);
        return Ok(encap::send_remote(skb.as_raw(), sender, encap, vni, largest));
    }
    if switch::is_port(target) {
        if target.id == sender.port {
            return Err(DropReason::SamePort);
        }
        return switch::deliver(skb, sender.vpn, target.id, true);
    }
    Ok(flood::flood(skb.as_raw(), sender))
}
