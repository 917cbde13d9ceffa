//! From the underlay: packets under a label, in UDP, in GRE, or on Ethernet.

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{
    Address, DropReason, EndpointKey, Label, LabelKind, Settings, Target, TargetKind, mapped,
};

use bagpipe_packet::checksum;
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv4, Ipv6, Tag, Udp, ethertype, fragment, protocol};
use bagpipe_packet::mpls::{ENTRY, Entry, GRE, Gre, UDP_PORT, reserved};

use crate::maps::{ENDPOINTS, LABELS, settings};
use crate::skb::{Action, Skb};
use crate::tunnel::{Arrival, Inner};
use crate::underlay::{Delivery, NEXT};
use crate::{decap, gre, mpls, stage, switch};

/// Entries of a label stack, at most.
const DEEPEST: usize = 3;
/// Bytes before a label stack, at most: IPv6, and GRE with all its options.
const FURTHEST: usize = ETHERNET + size_of::<Ipv6>() + 16;

/// Where a label stack begins, and what came before it.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Carrier {
    /// Outer source address; unspecified on Ethernet.
    remote: Address,
    /// Bytes before the label stack.
    stack: u32,
    /// DSCP and ECN of the outer header.
    traffic_class: u8,
    /// Its protocol; zero on Ethernet.
    protocol: u8,
    zero: [u8; 2],
}

/// What is under the labels.
struct Content {
    label: Label,
    /// Bytes before it.
    at: usize,
    /// Time to live of the topmost label.
    ttl: u8,
}

/// What was under a label.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Found {
    label: Label,
    /// Of a frame: where it goes.
    target: Target,
    /// Of a frame: not zero if the kernel knows its EtherType.
    typed: u32,
}

/// Takes a packet whose label is ours out of what carries it, and says where it goes; or what else to do: what has no
/// label, or is not for us, goes on to the kernel.
#[inline(always)]
pub(crate) fn arrival(skb: Skb) -> Result<Delivery, Action> {
    let mut found = Found::default();
    let mut carrier = Carrier::default();
    // Stages of their own, so that what comes next has their stack.
    let mut action = find_label(skb.as_raw(), &raw mut carrier);
    if action == stage::CONTINUE {
        action = take_label(skb.as_raw(), &raw const carrier, &raw mut found);
    }
    if action != stage::CONTINUE {
        return Err(action);
    }
    let Label { kind, vpn, id, .. } = found.label;
    if kind == LabelKind::Bridge as u8 {
        return Ok(Delivery { vpn, target: found.target, typed: found.typed != 0 });
    }
    let (kind, id) = if kind == LabelKind::Adjacency as u8 {
        (TargetKind::Adjacency, id)
    } else {
        (TargetKind::Router, vpn.into())
    };
    Ok(Delivery { vpn, target: Target { kind: kind as u8, vni: [0; 3], id }, typed: true })
}

/// Reads what is before the label stack.
#[unsafe(no_mangle)]
extern "C" fn find_label(skb: *mut __sk_buff, carrier: *mut Carrier) -> Action {
    // SAFETY: the caller passes its own; the verifier wants to see that it is not null.
    let Some(carrier) = (unsafe { carrier.as_mut() }) else { return NEXT };
    stage::run_alone(skb, |skb| {
        let Some(settings) = settings() else { return Ok(Some(NEXT)) };
        let Some(found) = find(skb, settings)? else { return Ok(Some(NEXT)) };
        *carrier = found;
        Ok(None)
    })
}

/// Takes the packet, or the frame, out of what carries it.
#[unsafe(no_mangle)]
extern "C" fn take_label(skb: *mut __sk_buff, carrier: *const Carrier, found: *mut Found) -> Action {
    // SAFETY: the caller passes its own; the verifier wants to see that they are not null.
    let (Some(carrier), Some(found)) = (unsafe { (carrier.as_ref(), found.as_mut()) }) else { return NEXT };
    stage::run_alone(skb, |skb| {
        // The verifier does not know what the caller knows.
        let stack = carrier.stack as usize;
        if stack > FURTHEST {
            return Err(DropReason::BadLabelStack);
        }
        let content = content(skb, stack)?;
        check_endpoint(carrier, &content.label)?;
        found.label = content.label;
        if content.label.kind == LabelKind::Bridge as u8 {
            frame(skb, carrier, &content, found)?;
        } else {
            packet(skb, carrier, &content)?;
        }
        Ok(None)
    })
}

/// `None`: the packet is none of ours.
#[inline(always)]
fn find(skb: Skb, settings: &Settings) -> Result<Option<Carrier>, DropReason> {
    match skb.protocol() {
        // Nothing but the Ethernet address says who such a packet is for.
        ethertype::MPLS if skb.is_for_us() => {
            Ok(Some(Carrier { stack: ETHERNET as u32, ..Carrier::default() }))
        }
        ethertype::IPV4 => over_ipv4(skb, settings),
        ethertype::IPV6 => over_ipv6(skb, settings),
        _ => Ok(None),
    }
}

#[inline(always)]
fn over_ipv4(skb: Skb, settings: &Settings) -> Result<Option<Carrier>, DropReason> {
    let Some(ip) = skb.bytes().at::<Ipv4>(ETHERNET) else { return Ok(None) };
    let fragment = u16::from_be_bytes(ip.fragment);
    // Of fragments only the first tells what it is; the others follow it into the kernel, and expire without it.
    if ip.version_length != 0x45
        || ip.destination != settings.local_ipv4
        || fragment & fragment::OFFSET != 0
        || !is_carrier(skb, ip.protocol, ETHERNET + size_of::<Ipv4>())
    {
        return Ok(None);
    }
    if fragment & fragment::MF != 0 {
        return Err(DropReason::OuterFragment);
    }
    let length = u32::from(u16::from_be_bytes(ip.total_length));
    if ip.sum() != 0xffff || ETHERNET as u32 + length > skb.length() {
        return Err(DropReason::Malformed);
    }
    let (protocol, traffic_class, remote) = (ip.protocol, ip.traffic_class, mapped(ip.source));
    let length = length.checked_sub(size_of::<Ipv4>() as u32).ok_or(DropReason::Malformed)?;
    let stack = behind(skb, protocol, ETHERNET + size_of::<Ipv4>(), length)?;
    Ok(Some(Carrier { remote, stack: stack as u32, traffic_class, protocol, zero: [0; 2] }))
}

#[inline(always)]
fn over_ipv6(skb: Skb, settings: &Settings) -> Result<Option<Carrier>, DropReason> {
    const NEXT_HEADER: usize = ETHERNET + size_of::<Ipv6>();
    let Some(ip) = skb.bytes().at::<Ipv6>(ETHERNET) else { return Ok(None) };
    if ip.version_class_flow[0] >> 4 != 6 || ip.destination != settings.local_ipv6 {
        return Ok(None);
    }
    if ip.next_header == protocol::FRAGMENT {
        // Next header, reserved, offset and flags, identification (RFC 8200 §4.5).
        let Some([kind, _, offset, flags, ..]) = skb.bytes().at::<[u8; 8]>(NEXT_HEADER) else {
            return Ok(None);
        };
        let is_first = u16::from_be_bytes([*offset, *flags]) >> 3 == 0;
        let is_ours = is_first && is_carrier(skb, *kind, NEXT_HEADER + size_of::<[u8; 8]>());
        return if is_ours { Err(DropReason::OuterFragment) } else { Ok(None) };
    }
    if !is_carrier(skb, ip.next_header, NEXT_HEADER) {
        return Ok(None);
    }
    let length = u32::from(u16::from_be_bytes(ip.payload_length));
    if NEXT_HEADER as u32 + length > skb.length() {
        return Err(DropReason::Malformed);
    }
    let (protocol, traffic_class, remote) = (ip.next_header, ip.traffic_class(), ip.source);
    let stack = behind(skb, protocol, NEXT_HEADER, length)?;
    Ok(Some(Carrier { remote, stack: stack as u32, traffic_class, protocol, zero: [0; 2] }))
}

/// Whether a header is UDP or GRE with labels behind it. GRE with IP directly behind it is somebody else's.
#[inline(always)]
fn is_carrier(skb: Skb, protocol: u8, at: usize) -> bool {
    let (offset, value) = match protocol {
        protocol::UDP => (core::mem::offset_of!(Udp, destination), UDP_PORT),
        protocol::GRE => (2, ethertype::MPLS),
        _ => return false,
    };
    skb.bytes().at::<[[u8; 2]; 1]>(at + offset).is_some_and(|[word]| u16::from_be_bytes(*word) == value)
}

/// Where the label stack begins behind a UDP or GRE header of a packet of `length` bytes. The UDP checksum may be left
/// unchecked: most senders leave it out (RFC 7510 §3.1), and what is inside has its own.
#[inline(always)]
fn behind(skb: Skb, protocol: u8, at: usize, length: u32) -> Result<usize, DropReason> {
    if protocol == protocol::UDP {
        let udp = skb.header::<Udp>(at)?;
        let udp_length = u32::from(u16::from_be_bytes(udp.length));
        if udp_length > length || (udp_length as usize) < size_of::<Udp>() + ENTRY {
            return Err(DropReason::Malformed);
        }
        return Ok(at + size_of::<Udp>());
    }
    let [flags, _] = *skb.header::<[[u8; 2]; GRE / 2]>(at)?;
    let header = Gre::read(flags).ok_or(DropReason::BadGreHeader)?;
    if (length as usize) < header.length + ENTRY {
        return Err(DropReason::Malformed);
    }
    if header.checksum && !gre::is_sum_right(skb, at, length) {
        return Err(DropReason::BadGreHeader);
    }
    Ok(at + header.length)
}

/// Reads the label stack. Explicit nulls say nothing, wherever they are (RFC 4182 §3); of the other labels, which are
/// all assigned by this node, there can be only one.
#[inline(always)]
fn content(skb: Skb, stack: usize) -> Result<Content, DropReason> {
    let mut label = None;
    let mut top = 0;
    for index in 0..DEEPEST {
        let at = stack + index * ENTRY;
        let entry = *skb.header::<Entry>(at)?;
        if index == 0 {
            top = entry.ttl();
            // RFC 3032 §2.4.1: whoever sent it should have dropped it. One with a time to live of one has arrived.
            if top == 0 {
                return Err(DropReason::BadLabelStack);
            }
        }
        if !matches!(entry.label(), reserved::IPV4_NULL | reserved::IPV6_NULL) {
            if label.is_some() {
                return Err(DropReason::BadLabelStack);
            }
            // SAFETY: a value of eight bytes, copied at once.
            label = Some(*unsafe { LABELS.get(entry.label()) }.ok_or(DropReason::UnknownLabel)?);
        }
        if entry.is_bottom() {
            let label = label.ok_or(DropReason::UnknownLabel)?;
            return Ok(Content { label, at: at + ENTRY, ttl: top });
        }
    }
    Err(DropReason::BadLabelStack)
}

/// Only remote endpoints of the instance may send with its labels. On Ethernet there is no address to tell them by.
#[inline(always)]
fn check_endpoint(carrier: &Carrier, label: &Label) -> Result<(), DropReason> {
    if carrier.protocol == 0 {
        return Ok(());
    }
    let remote = carrier.remote;
    // SAFETY: only whether the key is there counts.
    match unsafe { ENDPOINTS.get(EndpointKey { remote, vpn: label.vpn, zero: 0 }) } {
        Some(_) => Ok(()),
        None => Err(DropReason::UnknownEndpoint),
    }
}

/// Makes the packet the frame under the label, and says where that goes.
#[inline(always)]
fn frame(skb: Skb, carrier: &Carrier, content: &Content, found: &mut Found) -> Result<(), DropReason> {
    skb.header::<Ethernet>(content.at).map_err(|_| DropReason::BadLabelStack)?;
    let readable = content.at + ETHERNET + 2 * size_of::<Tag>() + size_of::<Ipv6>();
    skb.pull((readable as u32).min(skb.length()));
    let inner = Inner::read(skb.bytes(), content.at)?;
    found.target = switch::target_from_tunnel(content.label.vpn, inner.ethernet.destination)?;
    found.typed =
        take_out(skb, carrier, content.at, content.label.vpn, &inner, ethertype::IPV4).map(u32::from)?;
    Ok(())
}

/// Makes the packet under the label an Ethernet frame of the same kind. Nothing but its first four bits tells the kind.
#[inline(always)]
fn packet(skb: Skb, carrier: &Carrier, content: &Content) -> Result<(), DropReason> {
    let uniform = mpls::is_uniform();
    let [first] = skb.load(content.at as u32).map_err(|_| DropReason::BadLabelStack)?;
    let ethertype = match first >> 4 {
        4 => {
            let ip = skb.header::<Ipv4>(content.at).map_err(|_| DropReason::BadLabelStack)?;
            check_length(skb, content.at, u16::from_be_bytes(ip.total_length).into())?;
            if uniform && ip.ttl > content.ttl {
                let from = u16::from_be_bytes([ip.ttl, ip.protocol]);
                let to = u16::from_be_bytes([content.ttl, ip.protocol]);
                let [a, b] = to.to_be_bytes();
                let [c, d] = checksum::updated(u16::from_be_bytes(ip.checksum), from, to).to_be_bytes();
                let at = content.at + core::mem::offset_of!(Ipv4, ttl);
                skb.store_summed(at as u32, &[[a, b], [c, d]])?;
            }
            ethertype::IPV4
        }
        6 => {
            let ip = skb.header::<Ipv6>(content.at).map_err(|_| DropReason::BadLabelStack)?;
            let length = size_of::<Ipv6>() as u32 + u32::from(u16::from_be_bytes(ip.payload_length));
            check_length(skb, content.at, length)?;
            if uniform && ip.hop_limit > content.ttl {
                let at = content.at + core::mem::offset_of!(Ipv6, next_header);
                skb.store_summed(at as u32, &[ip.next_header, content.ttl])?;
            }
            ethertype::IPV6
        }
        _ => return Err(DropReason::BadLabelStack),
    };
    let addresses = *skb.header::<Ethernet>(0)?;
    let none = Tag { control: [0; 2], ethertype: [0; 2] };
    let inner = Inner { ethernet: addresses, tags: [none; 2], tag_count: 0, ethertype };
    take_out(skb, carrier, content.at - ETHERNET, content.label.vpn, &inner, ethertype)?;
    Ok(())
}

/// Checks that an IP packet is as long as it says. One that is yet to be cut into segments is still the sender's.
#[inline(always)]
fn check_length(skb: Skb, at: usize, length: u32) -> Result<(), DropReason> {
    let is_whole = at as u32 + length <= skb.length() || skb.gso_size() != 0;
    if is_whole { Ok(()) } else { Err(DropReason::Malformed) }
}

/// Removes what is before the frame, or before the packet but an Ethernet header's length.
#[inline(always)]
fn take_out(
    skb: Skb,
    carrier: &Carrier,
    outer: usize,
    vpn: u16,
    inner: &Inner,
    family: u16,
) -> Result<bool, DropReason> {
    // The kernel removes room only from what it takes for IP.
    if carrier.protocol == 0 {
        skb.set_protocol(family)?;
    }
    let typed = decap::remove(skb, &Arrival { vpn, outer, traffic_class: carrier.traffic_class }, inner)?;
    if carrier.protocol == protocol::UDP {
        skb.outer_checksum_done();
    }
    Ok(typed)
}
