//! VPN instances: what is attached on this node, what other nodes announce, and what follows from both.
//!
//! * [`request`]: attach and detach as the API takes them, and as they are once valid; [`error`]: why not.
//! * `vpns`: all instances of the node: conflicts, identifiers (`numbers`), the [`store`] and what has changed since (`difference`).
//! * `imports`: which routes belong to which instances, by route target alone.
//! * `instance`: one instance: its attachments (`local`) and routes (`remote`), who wins a MAC address
//!   (`mobility`) or moves it too often (`duplicates`), who is on an Ethernet segment (`segments`), the routes it originates (`originate`), and its forwarding state (`installed`).
//!
//! An instance never computes a change from an event. Events change its tables and mark what they touch; then
//! the wanted state of what was touched is derived from the tables alone and compared with what was put out
//! before. So equal input gives equal output whatever its order, and nothing flaps.

mod address;
mod candidates;
mod counts;
mod difference;
mod duplicates;
mod effects;
pub mod error;
pub mod explain;
pub mod explain_route;
mod flow_rules;
mod flows;
mod imports;
mod installed;
mod instance;
mod local;
mod mobility;
pub mod networks;
mod numbers;
mod originate;
mod overlay;
mod plug;
mod remote;
pub mod request;
mod route;
mod routed;
mod router;
pub mod routes_view;
mod routing;
mod segments;
mod stale;
pub mod store;
pub mod view;
mod vpns;

pub use address::InterfaceAddress;
pub use difference::{ChangedVpn, Difference};
pub use duplicates::{Duplicate, DuplicateDetection};
pub use effects::Effects;
pub use error::{AttachError, DetachError, ErrorKind, FieldError, RestoreError};
pub use overlay::{Encapsulation, GATEWAY_MAC, Overlay};
pub use request::{
    Attach, AttachPort, AttachRequest, Attract, Detach, DetachRequest, Direction, Endpoint, LastResort,
    Relay, Routed, TrafficClass,
};
pub use route::{Frames, Ignored, OnSegment, RemoteRoute, RouteKey, Through, classify};
pub use router::Reason;
pub use stale::Stale;
pub use store::Snapshot;
pub use vpns::{Attached, Detached, Vpns, VpnsConfig};

#[cfg(test)]
mod tests;
