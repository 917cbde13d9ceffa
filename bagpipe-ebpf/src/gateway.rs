//! The gateway among the neighbours of an instance.

use bagpipe_common::{Address, Neighbor, neighbor_flags, router_flags};
use bagpipe_packet::header::{Mac, is_group, is_unspecified};
use bagpipe_packet::scope::Scope;

use crate::maps::{self, ROUTERS};
use crate::source::Sender;

/// Who answers the sender of a request, sent to `station`, for an address of some scope: whoever has the address, or
/// else the gateway as a proxy.
///
/// Not answered are requests for an address of the same port, and those to a single station, which ask whether that
/// station is there; only of the gateway it is known here.
#[inline(always)]
pub(crate) fn respondent(
    sender: &Sender,
    station: Mac,
    source: Address,
    target: Address,
    scope: Scope,
) -> Option<Neighbor> {
    let gateway = maps::settings()?.gateway_mac;
    if !is_group(station) && station != gateway {
        return None;
    }
    let owner = match maps::neighbor(sender.vpn, target) {
        Some(owner) => owner,
        // Whoever has no address yet asks whether it is free (RFC 5227 §2.1, RFC 4862 §5.4), and is to find it so.
        None if scope == Scope::Global && !is_unspecified(&source) && is_proxy(sender.vpn) => {
            Neighbor { mac: gateway, flags: neighbor_flags::ROUTER }
        }
        None => return None,
    };
    let is_asked = is_group(station) || owner.mac == station;
    (is_asked && !sender.shares_port_with(owner.mac)).then_some(owner)
}

#[inline(always)]
fn is_proxy(vpn: u16) -> bool {
    ROUTERS.get(vpn.into()).is_some_and(|router| router.flags & router_flags::PROXY != 0)
}
