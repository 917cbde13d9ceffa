//! From the underlay, at the TC hook.

use bagpipe_common::{DropReason, Target};
use bagpipe_packet::header::ethertype;

use crate::skb::{Action, Skb};
use crate::switch;
use crate::tunnel::{self, Arrival, Inner};
use crate::{decap, labelled, xdp};

/// `TCX_NEXT`: what is not ours goes on to the next program, and to the kernel.
pub(crate) const NEXT: Action = -1;

/// A frame, or a packet in one, that has come out of a tunnel.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    /// The instance.
    pub(crate) vpn: u16,
    /// Where it goes.
    pub(crate) target: Target,
    /// Whether the kernel knows the frame's EtherType.
    pub(crate) typed: bool,
}

/// See [`crate::programs::underlay_ingress`].
#[inline(always)]
pub(crate) fn ingress(skb: Skb) -> Result<Action, DropReason> {
    let Delivery { vpn, target, typed } = match verdict(skb) {
        Some((vpn, target)) => Delivery { vpn, target, typed: true },
        None => {
            let is_labelled = skb.protocol() == ethertype::MPLS && is_untagged(skb)?;
            // A tag means another network on the same wire: its packets come again on the VLAN's own interface.
            let is_ours = skb.tag().is_none() && matches!(skb.protocol(), ethertype::IPV4 | ethertype::IPV6);
            if !is_labelled && !is_ours {
                return Ok(NEXT);
            }
            match if is_labelled { None } else { arrival(skb)? } {
                // Not a function of its own: the compiler would then copy a MAC address by a call.
                Some(arrival) => {
                    if !arrival.is_read(skb.bytes()) {
                        make_readable(skb, tunnel::READ);
                    }
                    let inner = Inner::read(skb.bytes(), arrival.outer)?;
                    let target = switch::target_from_tunnel(arrival.vpn, inner.ethernet.destination)?;
                    let typed = decap::remove(skb, &arrival, &inner)?;
                    skb.outer_checksum_done();
                    Delivery { vpn: arrival.vpn, target, typed }
                }
                None => match labelled::arrival(skb) {
                    Ok(delivery) => delivery,
                    Err(action) => return Ok(action),
                },
            }
        }
    };
    switch::from_tunnel(skb, vpn, target, typed)
}

/// Reads the outer headers of VXLAN.
#[inline(always)]
fn arrival(skb: Skb) -> Result<Option<Arrival>, DropReason> {
    make_readable(skb, tunnel::READ_MOSTLY);
    tunnel::arrival(skb.bytes(), skb.length())
}

/// What [`crate::programs::underlay_xdp`] decided, if it has seen the packet.
#[inline(always)]
fn verdict(skb: Skb) -> Option<(u16, Target)> {
    skb.metadata().at_mut::<xdp::Verdict>(0)?.take()
}

/// Whether there is no tag, or only one that tells nothing but a priority, which ends here.
#[inline(always)]
fn is_untagged(skb: Skb) -> Result<bool, DropReason> {
    const VID: u16 = 0x0fff;
    match skb.tag() {
        None => Ok(true),
        Some((_, control)) if control & VID == 0 => skb.pop_tag().map(|()| true),
        Some(_) => Ok(false),
    }
}

/// Makes the first `length` bytes readable, or all of a shorter packet.
#[inline(always)]
fn make_readable(skb: Skb, length: usize) {
    let needed = (length as u32).min(skb.length());
    if !skb.bytes().has(needed as usize) {
        skb.pull(needed);
    }
}
