//! PMSI_TUNNEL (RFC 6514 §5): how to reach a PE with broadcast, unknown unicast and multicast frames.

use std::net::IpAddr;

use bytes::Bytes;

use crate::types::LabelField;

/// The PMSI_TUNNEL attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PmsiTunnel {
    /// Flags.
    pub flags: u8,
    /// MPLS label, or VNI (RFC 8365 §5.1.3).
    pub label: LabelField,
    /// The tunnel.
    pub tunnel: PmsiTunnelKind,
}

/// Tunnel type and identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PmsiTunnelKind {
    /// Type 6: a copy to each PE; the unicast address of the endpoint.
    IngressReplication(IpAddr),
    /// Any other type, with its identifier as it is.
    Other(u8, Bytes),
}
