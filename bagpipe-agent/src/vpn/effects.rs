//! What VPN instances ask of the rest of the agent.

use std::net::IpAddr;
use std::sync::Arc;

use bagpipe_bgp::types::RouteTarget;
use bagpipe_bgp::wire::{Attributes, FlowSpecRoute, Nlri};

use super::duplicates::Duplicate;
use super::route::{RemoteRoute, RouteKey};
use super::router::Host;
use crate::fib::{Change, VpnId};

/// What follows from the events since the last time, to be carried out in the order of the fields.
#[derive(Debug, Default, PartialEq)]
pub struct Effects {
    /// Changes of the forwarding state: what is referred to comes before what refers to it.
    pub changes: Vec<Change>,
    /// Route targets that one more instance imports.
    pub import: Vec<RouteTarget>,
    /// Route targets that one instance less imports.
    pub unimport: Vec<RouteTarget>,
    /// Routes to originate, or to originate with other attributes.
    pub announce: Vec<(Nlri, Attributes)>,
    /// A MAC address has another sequence number, or an instance for what is redirected came or went: the snapshot differs.
    pub renumbered: bool,
    /// What keeps an instance from doing all that it is asked to is something else than before.
    pub health: bool,
    /// MAC addresses that were frozen, or are no longer.
    pub duplicates: Vec<Duplicate>,
    /// Routes to withdraw. They come last: what replaces a route is there before it goes.
    pub withdraw: Vec<Nlri>,
    /// What E-VPN instances tell the IP-VPN that they are plugged into: instance, E-VPN, host.
    pub(crate) hosts: Vec<(VpnId, VpnId, IpAddr, Option<Host>)>,
    /// Routes for the other IP-VPN instances of this node.
    pub(crate) local: Vec<(RouteKey, Option<Arc<RemoteRoute>>)>,
    /// Flow specifications for them.
    pub(crate) local_flows: Vec<(FlowSpecRoute, Option<Arc<Attributes>>)>,
}

impl Effects {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
