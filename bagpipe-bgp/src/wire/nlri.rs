//! A route of any family.

use bytes::Bytes;

use super::{EvpnRoute, RouteTargetMembership};
use crate::types::Family;

/// Network layer reachability information of any family.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Nlri {
    /// L2VPN E-VPN.
    Evpn(EvpnRoute),
    /// Route target membership.
    RouteTarget(RouteTargetMembership),
    /// Any other family: kept as it is.
    Other(Family, Bytes),
}
