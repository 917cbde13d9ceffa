//! PMSI_TUNNEL (RFC 6514 §5): how to reach a PE with broadcast, unknown unicast and multicast frames.

use std::fmt;
use std::net::IpAddr;

use bytes::{BufMut, Bytes};
use serde::Serialize;

use super::reader::Reader;
use super::text::{Hex, hex};
use crate::types::LabelField;

/// The PMSI_TUNNEL attribute.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct PmsiTunnel {
    /// Flags.
    pub flags: u8,
    /// MPLS label, or VNI (RFC 8365 §5.1.3).
    pub label: LabelField,
    /// The tunnel.
    pub tunnel: PmsiTunnelKind,
}

/// Tunnel type and identifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PmsiTunnelKind {
    /// Type 6: a copy to each PE; the unicast address of the endpoint.
    IngressReplication(IpAddr),
    /// Any other type, with its identifier as it is.
    Other(u8, #[serde(serialize_with = "hex")] Bytes),
}

const INGRESS_REPLICATION: u8 = 6;

impl PmsiTunnel {
    /// The attribute's value; `None` if it is malformed (RFC 6514 §5).
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = Reader(value);
        let (flags, kind, label) = (reader.u8()?, reader.u8()?, LabelField(reader.array()?));
        let tunnel = match kind {
            INGRESS_REPLICATION => {
                let address = reader.address(reader.0.len())?;
                PmsiTunnelKind::IngressReplication(address)
            }
            kind => PmsiTunnelKind::Other(kind, Bytes::copy_from_slice(reader.0)),
        };
        Some(Self { flags, label, tunnel })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.flags);
        match &self.tunnel {
            PmsiTunnelKind::IngressReplication(_) => out.put_u8(INGRESS_REPLICATION),
            PmsiTunnelKind::Other(kind, _) => out.put_u8(*kind),
        }
        out.put_slice(&self.label.0);
        match &self.tunnel {
            PmsiTunnelKind::IngressReplication(IpAddr::V4(address)) => out.put_slice(&address.octets()),
            PmsiTunnelKind::IngressReplication(IpAddr::V6(address)) => out.put_slice(&address.octets()),
            PmsiTunnelKind::Other(_, identifier) => out.put_slice(identifier),
        }
    }
}

impl fmt::Display for PmsiTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tunnel {
            PmsiTunnelKind::IngressReplication(address) => write!(f, "ingress-replication {address}")?,
            PmsiTunnelKind::Other(kind, identifier) => write!(f, "tunnel-type-{kind} {}", Hex(identifier))?,
        }
        write!(f, " label {}", self.label)
    }
}
