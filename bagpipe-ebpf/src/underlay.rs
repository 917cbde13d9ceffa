//! From the underlay, at the TC hook.

use bagpipe_common::{DropReason, Target};
use bagpipe_packet::header::ethertype;

use crate::skb::{Action, Skb};
use crate::switch;
use crate::tunnel::{self, Inner};
use crate::{decap, xdp};

/// `TCX_NEXT`: what is not ours goes on to the next program, and to the kernel.
const NEXT: Action = -1;

/// See [`crate::programs::underlay_ingress`].
#[inline(always)]
pub(crate) fn ingress(skb: Skb) -> Result<Action, DropReason> {
    if let Some((vpn, target)) = verdict(skb) {
        return switch::from_tunnel(skb, vpn, target, true);
    }
    // A tag means another network on the same wire: its packets come again on the VLAN's own interface.
    if skb.tag().is_some() || !matches!(skb.protocol(), ethertype::IPV4 | ethertype::IPV6) {
        return Ok(NEXT);
    }
    make_readable(skb, tunnel::READ_MOSTLY);
    let Some(arrival) = tunnel::arrival(skb.bytes(), skb.length())? else { return Ok(NEXT) };
    if !arrival.is_read(skb.bytes()) {
        make_readable(skb, tunnel::READ);
    }
    let inner = Inner::read(skb.bytes(), arrival.outer)?;
    let target = switch::target_from_tunnel(arrival.vpn, inner.ethernet.destination)?;
    let typed = decap::remove(skb, &arrival, &inner)?;
    switch::from_tunnel(skb, arrival.vpn, target, typed)
}

/// What [`crate::programs::underlay_xdp`] decided, if it has seen the packet.
#[inline(always)]
fn verdict(skb: Skb) -> Option<(u16, Target)> {
    let verdict = skb.metadata().at::<xdp::Verdict>(0)?;
    verdict.read()
}

/// Makes the first `length` bytes readable, or all of a shorter packet.
#[inline(always)]
fn make_readable(skb: Skb, length: usize) {
    let needed = (length as u32).min(skb.length());
    if !skb.bytes().has(needed as usize) {
        skb.pull(needed);
    }
}
