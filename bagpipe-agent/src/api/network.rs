//! What can be done to named networks.

use bagpipe_bgp::types::Vni;
use serde::{Deserialize, Serialize};

/// `POST /v1/networks/ACTION`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkRequest {
    /// Name of the network.
    pub name: String,
    /// To make one: the VNI that its route target follows from; without it, the route target is drawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vni: Option<Vni>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkAction {
    /// Make it.
    Create,
    /// Remove it.
    Delete,
}

impl NetworkAction {
    /// The action of a path.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "create" => Some(Self::Create),
            "delete" => Some(Self::Delete),
            _ => None,
        }
    }
}
