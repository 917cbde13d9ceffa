//! Where a frame goes.

use bagpipe_common::{DropReason, GROUP_BUCKETS, Port, Target, TargetKind, port_flags};
use bagpipe_packet::header::{Mac, is_group, is_link_local_multicast};

use crate::maps::{self, GROUPS, PORTS};
use crate::skb::{Action, Skb, redirect, redirect_peer};
use crate::{counters, flood, routed};

/// A [`Target`] of no kind: every member of the instance.
pub(crate) const EVERYWHERE: Target = Target { kind: 0, vni: [0; 3], id: 0 };

/// A [`Target`] of no kind, where the instance's other members do not count.
pub(crate) const NOWHERE: Target = EVERYWHERE;

/// Whether a target is a port of this node.
#[inline(always)]
pub(crate) fn is_port(target: Target) -> bool {
    target.kind == TargetKind::Port as u8 || target.kind == TargetKind::PortAnyIp as u8
}

/// Whether a target is a remote endpoint.
#[inline(always)]
pub(crate) fn is_remote(target: Target) -> bool {
    (TargetKind::Vxlan as u8..=TargetKind::MplsUdp as u8).contains(&target.kind)
}

/// Whether a target is one of several remote endpoints.
#[inline(always)]
fn is_several(target: Target) -> bool {
    target.kind == TargetKind::Group as u8
}

/// The remote endpoint that the flow of a frame goes to, of those of a segment; any other target itself.
#[inline(always)]
pub(crate) fn chosen(skb: Skb, target: Target) -> Result<Target, DropReason> {
    if !is_several(target) {
        return Ok(target);
    }
    let bucket = skb.flow_hash() % GROUP_BUCKETS;
    let index = target.id.checked_mul(GROUP_BUCKETS).ok_or(DropReason::NoNextHop)? | bucket;
    let member = GROUPS.get(index).copied().ok_or(DropReason::NoNextHop)?;
    if is_remote(member) { Ok(member) } else { Err(DropReason::NoNextHop) }
}

/// Where frames for a MAC address go.
#[inline(always)]
pub(crate) fn target(vpn: u16, destination: Mac) -> Result<Target, DropReason> {
    if is_group(destination) {
        if is_link_local_multicast(destination) {
            return Err(DropReason::LinkLocalMulticast);
        }
        return Ok(EVERYWHERE);
    }
    Ok(maps::fdb(vpn, destination).unwrap_or(EVERYWHERE))
}

/// Where frames for a MAC address go that came through a tunnel: never into another one (RFC 7432 §11).
#[inline(always)]
pub(crate) fn target_from_tunnel(vpn: u16, destination: Mac) -> Result<Target, DropReason> {
    let target = target(vpn, destination)?;
    if is_remote(target) || is_several(target) {
        return Err(DropReason::SplitHorizon);
    }
    Ok(target)
}

/// The port with this number, if it is one of the instance's and its interface is there.
#[inline(always)]
pub(crate) fn port(vpn: u16, number: u32) -> Result<Port, DropReason> {
    match PORTS.get(number).copied() {
        Some(port) if port.vpn == vpn && port.ifindex != 0 => Ok(port),
        _ => Err(DropReason::NoPort),
    }
}

/// Delivers a frame that came through a tunnel. `typed` says that the kernel knows the frame's EtherType.
#[inline(always)]
pub(crate) fn from_tunnel(skb: Skb, vpn: u16, target: Target, typed: bool) -> Result<Action, DropReason> {
    if is_port(target) {
        return deliver(skb, vpn, target.id, typed);
    }
    if target.kind == TargetKind::Router as u8 || target.kind == TargetKind::Adjacency as u8 {
        return route(skb, vpn, target, typed);
    }
    Ok(flood::flood_from_tunnel(skb.as_raw(), vpn.into()))
}

/// Routes the packet in a frame that came through a tunnel for a router of this node. An adjacency is the label's.
#[inline(always)]
fn route(skb: Skb, vpn: u16, target: Target, typed: bool) -> Result<Action, DropReason> {
    if !typed {
        return Err(DropReason::NotRoutable);
    }
    let (vrf, adjacency) =
        if target.kind == TargetKind::Router as u8 { (target.id as u16, NOWHERE) } else { (vpn, target) };
    routed::from_tunnel(skb, vrf, adjacency)
}

/// Delivers a frame to one port.
#[inline(always)]
pub(crate) fn deliver(skb: Skb, vpn: u16, number: u32, typed: bool) -> Result<Action, DropReason> {
    let port = port(vpn, number)?;
    counters::delivered(number, vpn, skb.length());
    // The other end of a veth takes the EtherType from the kernel's notes; sending it through makes it read anew.
    if port.flags & port_flags::REDIRECT_PEER != 0 && typed {
        return Ok(redirect_peer(port.ifindex));
    }
    Ok(redirect(port.ifindex))
}
