//! VPN instances: what is attached on this node, what other nodes announce, and what follows from both.
//!
//! * [`request`]: attach and detach as the API takes them, and as they are once valid; [`error`]: why not.
//! * `vpns`: all instances of the node: conflicts, identifiers (`numbers`), the [`store`].
//! * `imports`: which routes belong to which instances, by route target alone.
//! * `instance`: one instance: its attachments (`local`) and routes (`remote`), who wins a MAC address
//!   (`mobility`), the routes it originates (`originate`), and its forwarding state (`installed`).
//!
//! An instance never computes a change from an event. Events change its tables and mark what they touch; then
//! the wanted state of what was touched is derived from the tables alone and compared with what was put out
//! before. So equal input gives equal output whatever its order, and nothing flaps.

mod effects;
pub mod error;
mod imports;
mod installed;
mod instance;
mod local;
mod mobility;
mod numbers;
mod originate;
mod remote;
pub mod request;
pub mod store;
pub mod view;
mod vpns;

pub use effects::Effects;
pub use error::{AttachError, DetachError, ErrorKind, FieldError, RestoreError};
pub use remote::{Ignored, RemoteRoute, RouteKey, classify};
pub use request::{Attach, AttachRequest, Detach, DetachRequest};
pub use store::Snapshot;
pub use vpns::{Attached, Detached, Vpns, VpnsConfig};

#[cfg(test)]
mod tests;
