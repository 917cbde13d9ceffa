//! Routed packets: each goes through the stage that finds its way, then it is sent, or answered.

use bagpipe_common::{DropReason, Target};

use crate::classify::classify;
use crate::route::{ECHO, Origin, Routing, route};
use crate::skb::{Action, Skb};
use crate::source::Sender;
use crate::switch::NOWHERE;
use crate::{echo, encap, icmp, maps, mpls, stage, switch};

/// Routes a packet from a port.
#[inline(always)]
pub(crate) fn from_port(skb: Skb, sender: &Sender, vrf: u16) -> Result<Action, DropReason> {
    let mut routing = Routing::new(Origin::Port, vrf, NOWHERE);
    let first = maps::first_rule(vrf);
    if first != 0 {
        routing.vpn = classify(skb.as_raw(), first) as u16;
    }
    let mut action = route(skb.as_raw(), &raw mut routing);
    if action == stage::CONTINUE {
        return send(skb, &routing);
    }
    if action == stage::ANSWER {
        action = answer(skb, sender.vpn, &routing);
        if action == stage::CONTINUE {
            return Ok(sender.give_back(skb));
        }
    }
    Ok(action)
}

/// Routes a packet that came through a tunnel: looked up, or, if it came with the label of one, to an adjacency. An
/// answer finds its way back by the routes of the router.
#[inline(always)]
pub(crate) fn from_tunnel(skb: Skb, vrf: u16, adjacency: Target) -> Result<Action, DropReason> {
    let mut routing = Routing::new(Origin::Tunnel, vrf, adjacency);
    let mut action = route(skb.as_raw(), &raw mut routing);
    if action == stage::CONTINUE {
        return switch::deliver(skb, routing.vpn, routing.target.id, true);
    }
    if action == stage::ANSWER {
        action = answer(skb, vrf, &routing);
        if action == stage::CONTINUE {
            routing = Routing::new(Origin::Router, vrf, NOWHERE);
            action = route(skb.as_raw(), &raw mut routing);
            if action == stage::CONTINUE {
                return send(skb, &routing);
            }
        }
    }
    Ok(action)
}

/// Makes the packet its answer. The router has its addresses from the instance of those that it serves.
#[inline(always)]
fn answer(skb: Skb, vpn: u16, routing: &Routing) -> Action {
    if routing.answer == ECHO {
        return echo::echo(skb.as_raw());
    }
    icmp::icmp_error(skb.as_raw(), vpn.into(), routing.answer.into(), routing.mtu)
}

#[inline(always)]
fn send(skb: Skb, routing: &Routing) -> Result<Action, DropReason> {
    let target = routing.target;
    if switch::is_port(target) {
        return switch::deliver(skb, routing.vpn, target.id, true);
    }
    if mpls::is_labelled(target) {
        return mpls::push_packet(skb, target, routing.ttl, routing.traffic_class);
    }
    let encap = maps::encap(target.id).ok_or(DropReason::NoNextHop)?;
    Ok(encap::send_remote(skb.as_raw(), encap, encap::packed(target), routing.largest))
}
