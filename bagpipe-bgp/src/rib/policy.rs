//! What is taken from a peer and what it is told, beyond what route targets decide.

use serde::Serialize;

/// Which routes of a peer are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Import {
    /// All.
    #[default]
    All,
    /// None.
    None,
}

/// Which routes a peer is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Export {
    /// All that may pass.
    #[default]
    All,
    /// Those of this speaker: it is nobody's way to others.
    Own,
    /// None.
    None,
}

/// Which next hop a peer is told for routes of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub enum NextHopPolicy {
    /// The one that came with the route: where the tunnel ends.
    #[default]
    #[serde(rename = "unchanged")]
    Unchanged,
    /// This speaker, which has to pass packets on between two tunnels (RFC 4364 §10, option b).
    #[serde(rename = "self")]
    Ourselves,
}

/// The policies toward a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which of its routes are taken.
    pub import: Import,
    /// Which routes it is told.
    pub export: Export,
    /// Which next hop it is told.
    pub next_hop: NextHopPolicy,
}

impl Import {
    /// Without a word from the operator: nothing from another AS (RFC 8212 §3).
    #[must_use]
    pub const fn usual(internal: bool) -> Self {
        if internal { Self::All } else { Self::None }
    }
}

impl Export {
    /// Without a word from the operator: nothing to another AS (RFC 8212 §3).
    #[must_use]
    pub const fn usual(internal: bool) -> Self {
        if internal { Self::All } else { Self::None }
    }
}
