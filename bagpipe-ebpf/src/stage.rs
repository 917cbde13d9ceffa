//! Stages: parts of a program that the verifier checks one by one.
//!
//! A stage is a function that the object exports. The verifier then checks it once, for any arguments, instead
//! of at each place where it is called, in each state that it can be called in: so a program takes milliseconds
//! to load, and its parts share the 512 bytes of stack one after the other. The price is the narrow interface: a
//! packet, a pointer to plain data, a number as the result.

use aya_ebpf::bindings::{__sk_buff, TC_ACT_SHOT};
use aya_ebpf::programs::TcContext;
use bagpipe_common::DropReason;

use crate::programs::note;
use crate::skb::{Action, Skb};
use crate::source::Sender;

/// What a stage returns that leaves the packet to the next one. No program returns this number.
pub(crate) const CONTINUE: Action = i32::MIN;

/// What [`crate::port`]'s check returns for ARP.
pub(crate) const ARP: Action = i32::MIN + 1;
/// What [`crate::port`]'s check returns for IPv6 that may be neighbour discovery.
pub(crate) const ND: Action = i32::MIN + 2;
/// What [`crate::route`] returns for a packet that goes nowhere, but is to be answered.
pub(crate) const ANSWER: Action = i32::MIN + 3;

/// Runs a stage for a packet from a port. Drops are counted here.
#[inline(always)]
pub(crate) fn run(
    skb: *mut __sk_buff,
    sender: *const Sender,
    stage: impl FnOnce(Skb, &Sender) -> Result<Option<Action>, DropReason>,
) -> Action {
    // SAFETY: the caller passes a sender of its own; the verifier wants to see that it is not null.
    let Some(sender) = (unsafe { sender.as_ref() }) else { return TC_ACT_SHOT as Action };
    run_alone(skb, |skb| stage(skb, sender))
}

/// Runs a stage for a packet from the underlay, or for one that has been routed. Drops are counted here.
#[inline(always)]
pub(crate) fn run_alone(
    skb: *mut __sk_buff,
    stage: impl FnOnce(Skb) -> Result<Option<Action>, DropReason>,
) -> Action {
    let skb = Skb::from_raw(skb);
    let length = skb.length();
    match stage(skb) {
        Ok(Some(action)) => action,
        Ok(None) => CONTINUE,
        Err(reason) => {
            note(&TcContext::new(skb.as_raw()), reason, length);
            TC_ACT_SHOT as Action
        }
    }
}

/// What became of wrapping a frame.
#[inline(always)]
pub(crate) fn wrapped(result: u32) -> Result<(), DropReason> {
    match result.checked_sub(1) {
        None => Ok(()),
        Some(number) if number == DropReason::NoNextHop as u32 => Err(DropReason::NoNextHop),
        Some(number) if number == DropReason::TooBig as u32 => Err(DropReason::TooBig),
        Some(number) if number == DropReason::TunnelInTunnel as u32 => Err(DropReason::TunnelInTunnel),
        Some(_) => Err(DropReason::Encapsulation),
    }
}
