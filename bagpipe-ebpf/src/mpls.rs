//! Sending under a label: routed packets in UDP, in GRE, or on Ethernet. Frames go through [`crate::encap`].

use aya_ebpf::bindings::__sk_buff;
use bagpipe_common::{DropReason, Encap, Target, TargetKind, settings_flags};
use bagpipe_packet::header::{ETHERNET, Ethernet, Ipv4, ethertype};
use bagpipe_packet::mpls::{self, ENTRY, Entry, LinkIpv4, LinkIpv6, Payload, class_of, overhead, reserved};

use crate::skb::{Action, Skb, redirect};
use crate::{encap, maps, stage, too_big};

/// Whether a target is a remote endpoint over MPLS.
#[inline(always)]
pub(crate) fn is_labelled(target: Target) -> bool {
    (TargetKind::Mpls as u8..=TargetKind::MplsUdp as u8).contains(&target.kind)
}

/// The largest IP packet that the way to a labelled target takes. For whoever has to tell a sender that a packet is too
/// big, before it is pushed.
#[inline(always)]
pub(crate) fn limit(target: Target) -> Result<u32, DropReason> {
    let encap = maps::encap(target.id).ok_or(DropReason::NoNextHop)?;
    let form = Form::new(target);
    Ok(encap.mtu.saturating_sub(form.overhead(encap)))
}

/// Sends a routed packet, which has an Ethernet header of fourteen bytes, to a labelled target. `ttl` is its own, as it
/// goes out; `traffic_class` its DSCP and ECN.
#[inline(always)]
pub(crate) fn push_packet(
    skb: Skb,
    target: Target,
    ttl: u8,
    traffic_class: u8,
) -> Result<Action, DropReason> {
    let carried = u32::from(ttl) << 8 | u32::from(traffic_class);
    Ok(push_label(skb.as_raw(), target.id, encap::packed(target), carried))
}

/// The label in a target, or the VNI.
#[inline(always)]
pub(crate) const fn label(target: Target) -> u32 {
    let [a, b, c] = target.vni;
    u32::from_be_bytes([0, a, b, c])
}

/// The traffic class and the time to live of a label: the pipe's own, or the packet's (RFC 3443 §3).
#[inline(always)]
pub(crate) fn entry(label: u32, ttl: u8, traffic_class: u8) -> Entry {
    Entry::only(label, class_of(traffic_class), if is_uniform() { ttl } else { u8::MAX })
}

/// Whether the time to live goes over into the label and back.
#[inline(always)]
pub(crate) fn is_uniform() -> bool {
    maps::settings().is_some_and(|settings| settings.flags & settings_flags::UNIFORM_TTL != 0)
}

#[unsafe(no_mangle)]
extern "C" fn push_label(skb: *mut __sk_buff, next_hop: u32, form: u32, carried: u32) -> Action {
    stage::run_alone(skb, |skb| {
        let [kind, vni @ ..] = form.to_be_bytes();
        let [_, _, ttl, traffic_class] = carried.to_be_bytes();
        let target = Target { kind, vni, id: next_hop };
        let encap = maps::encap(next_hop).ok_or(DropReason::NoNextHop)?;
        let form = Form::new(target);
        let entry = entry(form.label, ttl, traffic_class);
        if too_big::largest_frame(skb) - ETHERNET as u32 + form.overhead(encap) > encap.mtu {
            return Err(DropReason::TooBig);
        }
        if form.kind == TargetKind::Mpls as u8 {
            return on_ethernet(skb, encap, target, form, entry).map(Some);
        }
        over_ip(skb, encap, form, entry, traffic_class).map(Some)
    })
}

/// How a packet is sent.
#[derive(Clone, Copy)]
struct Form {
    kind: u8,
    label: u32,
}

impl Form {
    /// The form that a target asks for. IP without a label has no port of its own in UDP, but a protocol in GRE.
    #[inline(always)]
    fn new(target: Target) -> Self {
        let label = label(target);
        let unlabelled_udp = label == reserved::IMPLICIT_NULL && target.kind == TargetKind::MplsUdp as u8;
        Self { kind: if unlabelled_udp { TargetKind::MplsGre as u8 } else { target.kind }, label }
    }

    #[inline(always)]
    const fn is_labelled(self) -> bool {
        self.label != reserved::IMPLICIT_NULL
    }

    #[inline(always)]
    const fn overhead(self, encap: &Encap) -> u32 {
        overhead(self.kind, encap::is_ipv6(encap), self.is_labelled())
    }
}

/// Puts the label between the Ethernet header and the packet.
///
/// The room for it is made before the packet: the kernel then takes the label for the end of a longer link header, which
/// it repeats before each segment, and goes on to take the packet for IP. So it cuts segments and completes checksums.
#[inline(always)]
fn on_ethernet(
    skb: Skb,
    encap: &Encap,
    target: Target,
    form: Form,
    entry: Entry,
) -> Result<Action, DropReason> {
    encap::check_resolved(encap, target)?;
    let mut kind = skb.protocol();
    if form.is_labelled() {
        kind = ethertype::MPLS;
        skb.lengthen_link(ENTRY as u32)?;
        skb.write(ETHERNET, entry)?;
    }
    write_link(skb, encap, kind)?;
    Ok(redirect(encap.ifindex))
}

/// Writes the Ethernet header to the gateway.
#[inline(always)]
pub(crate) fn write_link(skb: Skb, encap: &Encap, kind: u16) -> Result<(), DropReason> {
    skb.write(
        0,
        Ethernet {
            destination: encap.destination_mac,
            source: encap.source_mac,
            ethertype: kind.to_be_bytes(),
        },
    )
}

/// Puts IP, UDP or GRE, and the label before the packet.
#[inline(always)]
fn over_ip(
    skb: Skb,
    encap: &Encap,
    form: Form,
    entry: Entry,
    traffic_class: u8,
) -> Result<Action, DropReason> {
    let hash = skb.flow_hash();
    let room = form.overhead(encap);
    let length = skb.length() - ETHERNET as u32 + room;
    // More would not fit the length fields of the outer headers.
    if length > u32::from(u16::MAX) {
        return Err(DropReason::TooBig);
    }
    let kind = if form.is_labelled() { ethertype::MPLS } else { skb.protocol() };
    let link = if form.is_labelled() { ENTRY as u32 } else { 0 };
    encap::make_room(skb, encap, form.kind, room, 0, link)?;
    write_carrier(skb, encap, form.kind, Payload { length: length as u16, hash, traffic_class }, kind)?;
    if form.is_labelled() {
        skb.write(ETHERNET + room as usize - ENTRY, entry)?;
    }
    Ok(encap::send(encap))
}

/// Writes the headers before the label: Ethernet, IP, and UDP, or GRE for something of this EtherType.
#[inline(always)]
pub(crate) fn write_carrier(
    skb: Skb,
    encap: &Encap,
    kind: u8,
    payload: Payload,
    ethertype: u16,
) -> Result<(), DropReason> {
    let (at, length) = if encap::is_ipv6(encap) {
        let headers = LinkIpv6::new(encap, kind, payload);
        let length = headers.1.payload_length;
        skb.write(0, headers)?;
        (size_of::<LinkIpv6>(), u16::from_be_bytes(length))
    } else {
        skb.write(0, LinkIpv4::new(encap, kind, payload))?;
        (size_of::<LinkIpv4>(), payload.length - size_of::<Ipv4>() as u16)
    };
    if kind == TargetKind::MplsUdp as u8 {
        skb.write(at, mpls::udp(payload.hash, length))
    } else {
        skb.write(at, mpls::gre(ethertype))
    }
}
