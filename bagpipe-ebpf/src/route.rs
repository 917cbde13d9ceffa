//! Where a packet goes: the stage that every routed packet passes, whether it came from a port, through a tunnel, or
//! is an answer of our own. It leaves the packet as it goes out, and says where to; [`crate::routed`] sends it.

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT};
use bagpipe_common::{DropReason, GROUP_BUCKETS, Target, TargetKind};
use bagpipe_packet::header::{
    ETHERNET, Ethernet, Ipv4, Ipv6, MAPPED, ethertype, fragment, is_tag, protocol, words,
};
use bagpipe_packet::scope::{self, Scope};
use bagpipe_packet::{checksum, flow};

use crate::maps::{self, ADJACENCIES, GROUPS};
use crate::skb::{Action, Skb};
use crate::{encap, mpls, source, stage, switch, too_big};

/// Where a packet comes from that is to be routed.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A port.
    Port = 1,
    /// A tunnel: it goes to ports of this node only, and what would go elsewhere is not sent back (split horizon).
    Tunnel,
    /// The router itself, whose answers are not answered.
    Router,
}

/// A packet on its way through the router: what is known before the stage, and what it has found out.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Routing {
    /// Where the packet goes. Before: an adjacency, or none if it is to be looked up. After: a port, or a remote
    /// endpoint over VXLAN or MPLS.
    pub(crate) target: Target,
    /// The router: the instance whose routes count.
    pub(crate) vrf: u16,
    /// Before: the instance whose routes count in place of the router's, if any. After: the instance that the frame is in.
    pub(crate) vpn: u16,
    /// After: bytes of the frame that goes out, or of the largest that it is cut into.
    pub(crate) largest: u32,
    /// After: bytes of the largest packet that the way takes, if this one is too big.
    pub(crate) mtu: u32,
    /// An [`Origin`] as a number.
    origin: u8,
    /// After: what the packet is to be answered with, see [`ECHO`].
    pub(crate) answer: u8,
    /// After: the packet's time to live.
    pub(crate) ttl: u8,
    /// After: its DSCP and ECN.
    pub(crate) traffic_class: u8,
}

/// The answer to a packet for the router itself: an echo. Other answers are errors, named by the reason.
pub(crate) const ECHO: u8 = u8::MAX;

impl Routing {
    #[inline(always)]
    pub(crate) const fn new(origin: Origin, vrf: u16, target: Target) -> Self {
        Self {
            target,
            vrf,
            vpn: 0,
            largest: 0,
            mtu: 0,
            origin: origin as u8,
            answer: 0,
            ttl: 0,
            traffic_class: 0,
        }
    }

    #[inline(always)]
    const fn is_from(&self, origin: Origin) -> bool {
        self.origin == origin as u8
    }
}

/// Finds where a packet goes, takes one off its time to live, and writes its Ethernet header. `ANSWER`: it goes
/// nowhere, and is as it came.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn route(skb: *mut __sk_buff, routing: *mut Routing) -> Action {
    // SAFETY: the caller passes its own; the verifier wants to see that it is not null.
    let Some(routing) = (unsafe { routing.as_mut() }) else { return TC_ACT_SHOT as Action };
    let mut action = stage::CONTINUE;
    let result = stage::run_alone(skb, |skb| {
        match find(skb, routing)? {
            Way::Found => {}
            Way::Answer(answer) => {
                routing.answer = answer;
                action = stage::ANSWER;
            }
        }
        Ok(None)
    });
    if result == stage::CONTINUE { action } else { result }
}

/// What the stage has found out.
enum Way {
    /// Where the packet goes.
    Found,
    /// What it is answered with.
    Answer(u8),
}

/// What counts of a packet.
struct Packet {
    destination: [u32; 4],
    protocol: u16,
    /// Whether it may leave its link.
    is_global: bool,
    ttl: u8,
    traffic_class: u8,
}

#[inline(always)]
fn find(skb: Skb, routing: &mut Routing) -> Result<Way, DropReason> {
    let packet = Packet::read(skb)?;
    let Some(target) = target(skb, routing, &packet) else {
        return routing.refuse(&packet, DropReason::NoRoute);
    };
    if target.kind == TargetKind::Router as u8 {
        return if routing.is_from(Origin::Router) {
            Err(DropReason::NoRoute)
        } else {
            Ok(Way::Answer(ECHO))
        };
    }
    if !packet.is_global {
        return Err(DropReason::NotRoutable);
    }
    let is_ours = routing.is_from(Origin::Router);
    if packet.ttl <= 1 && !is_ours {
        return routing.refuse(&packet, DropReason::TtlExceeded);
    }
    routing.traffic_class = packet.traffic_class;
    routing.ttl = if is_ours { packet.ttl } else { packet.ttl - 1 };
    routing.largest = too_big::largest_frame(skb);
    if mpls::is_labelled(target) {
        routing.target = target;
        if !routing.fits(mpls::limit(target)?)? {
            return routing.refuse(&packet, DropReason::TooBig);
        }
        if !is_ours {
            take_one_off(skb, &packet)?;
        }
        return Ok(Way::Found);
    }
    if target.kind != TargetKind::Adjacency as u8 {
        return routing.refuse(&packet, DropReason::NoRoute);
    }
    let adjacency = ADJACENCIES.get(target.id).ok_or(DropReason::NoRoute)?;
    routing.vpn = adjacency.vpn;
    routing.target = adjacency.target;
    if switch::is_remote(adjacency.target) {
        let encap = maps::encap(adjacency.target.id).ok_or(DropReason::NoNextHop)?;
        if !routing.fits(encap::limit(encap, adjacency.target).saturating_sub(ETHERNET as u32))? {
            return routing.refuse(&packet, DropReason::TooBig);
        }
    } else if !switch::is_port(adjacency.target) {
        return Err(DropReason::NoRoute);
    }
    if !is_ours {
        take_one_off(skb, &packet)?;
    }
    let ethertype = packet.protocol.to_be_bytes();
    let (destination, source) = (adjacency.destination, adjacency.source);
    skb.write(0, Ethernet { destination, source, ethertype })?;
    Ok(Way::Found)
}

impl Routing {
    /// The packet goes nowhere, for this reason.
    #[inline(always)]
    fn refuse(&self, packet: &Packet, reason: DropReason) -> Result<Way, DropReason> {
        if self.is_from(Origin::Router) {
            return Err(reason);
        }
        if !packet.is_global {
            return Err(DropReason::NotRoutable);
        }
        Ok(Way::Answer(reason as u8))
    }

    /// Whether the packet fits a way to a remote endpoint that takes packets of this size.
    #[inline(always)]
    fn fits(&mut self, mtu: u32) -> Result<bool, DropReason> {
        if self.is_from(Origin::Tunnel) {
            return Err(DropReason::SplitHorizon);
        }
        self.mtu = mtu;
        Ok(self.largest - ETHERNET as u32 <= mtu)
    }
}

impl Packet {
    /// Reads a packet that a router may forward (RFC 1812 §5.2.2, RFC 4291 §2.5), and takes off the priority tag before it.
    #[inline(always)]
    fn read(skb: Skb) -> Result<Self, DropReason> {
        if source::is_in_vlan(skb)? {
            return Err(DropReason::NotRoutable);
        }
        if skb.tag().is_some() || is_tag(skb.protocol()) {
            skb.pop_tag()?;
        }
        let packet = match skb.protocol() {
            ethertype::IPV4 => Self::of_ipv4(skb)?,
            ethertype::IPV6 => Self::of_ipv6(skb)?,
            _ => None,
        };
        packet.ok_or(DropReason::NotRoutable)
    }

    /// The header's checksum is left to the receiver: a wrong one stays wrong.
    #[inline(always)]
    fn of_ipv4(skb: Skb) -> Result<Option<Self>, DropReason> {
        let ip = skb.header::<Ipv4>(ETHERNET)?;
        let header = u32::from(ip.version_length & 0x0f) * 4;
        let length = u32::from(u16::from_be_bytes(ip.total_length));
        if ip.version_length >> 4 != 4
            || (header as usize) < size_of::<Ipv4>()
            || !is_whole(skb, header, length)
        {
            return Err(DropReason::Malformed);
        }
        if scope::ipv4(ip.source) != Scope::Global || scope::ipv4(ip.destination) != Scope::Global {
            return Ok(None);
        }
        Ok(Some(Self {
            destination: [0, 0, MAPPED, u32::from_ne_bytes(ip.destination)],
            protocol: ethertype::IPV4,
            is_global: true,
            ttl: ip.ttl,
            traffic_class: ip.traffic_class,
        }))
    }

    #[inline(always)]
    fn of_ipv6(skb: Skb) -> Result<Option<Self>, DropReason> {
        let ip = skb.header::<Ipv6>(ETHERNET)?;
        let header = size_of::<Ipv6>() as u32;
        let length = header + u32::from(u16::from_be_bytes(ip.payload_length));
        if ip.version_class_flow[0] >> 4 != 6 || !is_whole(skb, header, length) {
            return Err(DropReason::Malformed);
        }
        let (source, destination) = (scope::ipv6(&ip.source), scope::ipv6(&ip.destination));
        if source == Scope::None || destination == Scope::None {
            return Ok(None);
        }
        Ok(Some(Self {
            destination: words(&ip.destination),
            protocol: ethertype::IPV6,
            is_global: source == Scope::Global && destination == Scope::Global,
            ttl: ip.hop_limit,
            traffic_class: ip.traffic_class(),
        }))
    }
}

/// Whether a packet is as long as it says. What is yet to be cut into segments may be longer than its length field.
#[inline(always)]
fn is_whole(skb: Skb, header: u32, length: u32) -> bool {
    let there = skb.length() - ETHERNET as u32;
    skb.gso_size() != 0 && there >= header || (header..=there).contains(&length)
}

/// Where the packet goes; of several equal ways, the flow's.
#[inline(always)]
fn target(skb: Skb, routing: &Routing, packet: &Packet) -> Option<Target> {
    let table = if routing.vpn == 0 { routing.vrf } else { routing.vpn };
    let target =
        if routing.target.kind == 0 { maps::route(table, packet.destination)? } else { routing.target };
    if target.kind != TargetKind::Group as u8 {
        return Some(target);
    }
    let bucket = flow_hash(skb, packet) % GROUP_BUCKETS;
    GROUPS.get(target.id.checked_mul(GROUP_BUCKETS)? | bucket).copied()
}

/// The hash of the packet's flow. Fragments have no ports but in the first, and IPv6 behind extension headers: there
/// addresses alone tell, the same in all packets of a flow that has such.
#[inline(always)]
fn flow_hash(skb: Skb, packet: &Packet) -> u32 {
    let (source, kind, at) = if packet.protocol == ethertype::IPV6 {
        let Some(ip) = skb.bytes().at::<Ipv6>(ETHERNET) else { return 0 };
        (words(&ip.source), ip.next_header, ETHERNET + size_of::<Ipv6>())
    } else {
        let Some(ip) = skb.bytes().at::<Ipv4>(ETHERNET) else { return 0 };
        let part = u16::from_be_bytes(ip.fragment) & (fragment::MF | fragment::OFFSET);
        let kind = if part == 0 { ip.protocol } else { 0 };
        let at = ETHERNET + usize::from(ip.version_length & 0x0f) * 4;
        ([0, 0, MAPPED, u32::from_ne_bytes(ip.source)], kind, at)
    };
    let ports = match kind {
        protocol::TCP | protocol::UDP | protocol::SCTP => skb.load(at as u32).map_or(0, u32::from_ne_bytes),
        _ => 0,
    };
    flow::hash(source, packet.destination, kind, ports)
}

/// Takes one off the time to live or hop limit.
#[inline(always)]
fn take_one_off(skb: Skb, packet: &Packet) -> Result<(), DropReason> {
    if packet.protocol == ethertype::IPV6 {
        let next_header = skb.header::<Ipv6>(ETHERNET)?.next_header;
        let at = ETHERNET + core::mem::offset_of!(Ipv6, next_header);
        return skb.store_summed(at as u32, &[next_header, packet.ttl - 1]);
    }
    // The sum over the header stays what it was, and with it whatever the kernel knows of the whole packet's.
    let ip = skb.bytes().at_mut::<Ipv4>(ETHERNET).ok_or(DropReason::Malformed)?;
    let from = u16::from_be_bytes([packet.ttl, ip.protocol]);
    let sum = checksum::updated(u16::from_be_bytes(ip.checksum), from, from - 0x100);
    (ip.ttl, ip.checksum) = (packet.ttl - 1, sum.to_be_bytes());
    Ok(())
}
