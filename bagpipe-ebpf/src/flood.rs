//! Copies for every member of an instance: ports, then remote endpoints (ingress replication, RFC 7432 §11).

use core::ffi::c_void;

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT};
use aya_ebpf::helpers::generated::bpf_loop;
use bagpipe_common::{DropReason, Encap, FloodKey, FloodScope, Target, encap_flags, limits};

use crate::encap::{self, Wrapping};
use crate::maps::{self, FLOODS, VPNS};
use crate::skb::{Action, Skb};
use crate::source::Sender;
use crate::{counters, stage, switch, too_big, trunk};

/// Floods a frame from a port: to the other ports of its instance, and to the remote endpoints.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn flood(skb: *mut __sk_buff, sender: *const Sender) -> Action {
    stage::run(skb, sender, |skb, sender| {
        let sent = to_ports(skb, sender.vpn, sender.port)?;
        match to_remotes(skb, sender.vpn)? {
            Some(action) => Ok(Some(action)),
            None if !sent => Err(DropReason::NoMember),
            None => Ok(Some(TC_ACT_SHOT as Action)),
        }
    })
}

/// Floods a frame that came through a tunnel: to ports only (split horizon, RFC 7432 §11).
#[unsafe(no_mangle)]
pub(crate) extern "C" fn flood_from_tunnel(skb: *mut __sk_buff, vpn: u32) -> Action {
    let skb = Skb::from_raw(skb);
    if !to_ports(skb, vpn as u16, NO_PORT).unwrap_or(false) {
        counters::dropped(DropReason::NoMember, skb.length());
    }
    TC_ACT_SHOT as Action
}

/// A number that no port has.
const NO_PORT: u32 = u32::MAX;

/// What the copies for ports share.
struct ToPorts {
    skb: Skb,
    vpn: u16,
    /// Number of the port that the frame came from, which gets none.
    except: u32,
    length: u32,
    /// Not zero: a copy was sent. (A count would make the verifier try every number.)
    sent: u32,
}

/// Sends a copy to each port of the instance but one. Says whether any was sent.
#[inline(always)]
fn to_ports(skb: Skb, vpn: u16, except: u32) -> Result<bool, DropReason> {
    let members = VPNS.get(vpn.into()).ok_or(DropReason::Unattached)?.local_ports;
    let mut state = ToPorts { skb, vpn, except, length: skb.length(), sent: 0 };
    repeat(members, copy_to_port as *mut c_void, (&raw mut state).cast());
    Ok(state.sent != 0)
}

extern "C" fn copy_to_port(index: u32, state: *mut ToPorts) -> i64 {
    // SAFETY: `to_ports` passed its state, which outlives the loop.
    let state = unsafe { &mut *state };
    let Some(target) = member(state.vpn, FloodScope::Local, index) else { return 0 };
    if target.id == state.except {
        return 0;
    }
    match switch::port(state.vpn, target.id) {
        Ok(port) if trunk::clone_to(state.skb, port) => {
            counters::delivered(target.id, state.vpn, state.length);
            state.sent = 1;
        }
        _ => counters::dropped(DropReason::NoPort, state.length),
    }
    0
}

/// What the copies for remote endpoints share.
struct ToRemotes {
    skb: Skb,
    vpn: u16,
    wrapping: Wrapping,
}

/// Sends a copy to each remote endpoint of the instance: the last one is the packet itself, so that for a single
/// endpoint nothing is copied. Returns what to do with it, or `None` if there is no endpoint.
#[inline(always)]
fn to_remotes(skb: Skb, vpn: u16) -> Result<Option<Action>, DropReason> {
    let members = VPNS.get(vpn.into()).ok_or(DropReason::Unattached)?.remote_endpoints;
    let Some(last) = members.checked_sub(1) else { return Ok(None) };
    let mut state = ToRemotes { skb, vpn, wrapping: Wrapping::begun(skb, too_big::largest_frame(skb)) };
    state.wrapping.take(skb)?;
    repeat(last, copy_to_remote as *mut c_void, (&raw mut state).cast());
    let Some(target) = member(vpn, FloodScope::Remote, last.into()) else {
        return Ok(Some(TC_ACT_SHOT as Action));
    };
    let encap = maps::encap(target.id).ok_or(DropReason::NoNextHop)?;
    wrap_for(skb, &mut state.wrapping, encap, target)?;
    encap::check_resolved(encap, target)?;
    Ok(Some(encap::send(encap)))
}

extern "C" fn copy_to_remote(index: u32, state: *mut ToRemotes) -> i64 {
    // SAFETY: `to_remotes` passed its state, which outlives the loop.
    let state = unsafe { &mut *state };
    let Some(target) = member(state.vpn, FloodScope::Remote, index) else { return 0 };
    if let Err(reason) = copy(state.skb, &mut state.wrapping, target) {
        counters::dropped(reason, state.skb.length());
    }
    0
}

#[inline(always)]
fn copy(skb: Skb, wrapping: &mut Wrapping, target: Target) -> Result<(), DropReason> {
    let encap = maps::encap(target.id).ok_or(DropReason::NoNextHop)?;
    wrap_for(skb, wrapping, encap, target)?;
    // The kernel resolves a gateway only for the packet itself, not for a copy.
    let resolved = encap.flags & encap_flags::RESOLVED != 0;
    if resolved && skb.clone_to(encap.ifindex) { Ok(()) } else { Err(DropReason::NoNextHop) }
}

#[inline(always)]
fn wrap_for(skb: Skb, wrapping: &mut Wrapping, encap: &Encap, target: Target) -> Result<(), DropReason> {
    stage::wrapped(encap::wrap(skb.as_raw(), wrapping, encap, encap::packed(target)))
}

/// One member of a flood list; `None` while the agent is changing the list.
#[inline(always)]
fn member(vpn: u16, scope: FloodScope, index: u32) -> Option<Target> {
    // SAFETY: a value of eight bytes, copied at once.
    unsafe { FLOODS.get(FloodKey { vpn, scope: scope as u16, index }) }.copied()
}

/// Calls a function for each member.
#[inline(always)]
fn repeat(members: u16, body: *mut c_void, state: *mut c_void) {
    let times = u32::from(members).min(limits::FLOOD_COPIES);
    // SAFETY: the kernel calls `body` with an index and `state`.
    unsafe { bpf_loop(times, body, state, 0) };
}
