//! Messages to and from bytes.
//!
//! Decoding never panics and never guesses: each length bounds what is read inside it. What is wrong with an
//! UPDATE is an [`UpdateError`] that carries the action of RFC 7606, so that the rest of the speaker sees only
//! announcements and withdrawals that are right.

pub mod attribute;
pub mod capability;
pub mod community;
pub mod error;
pub mod evpn;
pub mod flowspec;
mod label_stack;
pub mod message;
pub mod nlri;
pub mod open;
pub mod pmsi;
mod reader;
pub mod route_target;
mod text;
pub mod traffic_action;
pub mod update;
pub(crate) mod vpn;

pub use attribute::{AsPath, AsSegment, Attributes, NextHop, Origin, RawAttribute};
pub use capability::{AddPath, Capability, ExtendedNextHop, LongLived};
pub use community::ExtendedCommunity;
pub use error::{Action, MessageError, UpdateError};
pub use evpn::{EvpnRoute, OverlayIndex};
pub use flowspec::FlowSpecRoute;
pub use label_stack::LabelStack;
pub use message::{AddPathFamilies, Context, Frame, Message, Notification, frame};
pub use nlri::Nlri;
pub use open::Open;
pub use pmsi::PmsiTunnel;
pub use route_target::RouteTargetMembership;
pub use traffic_action::TrafficAction;
pub use update::{NlriBlock, PathId, Update, UpdateWriter, end_of_rib};
pub use vpn::VpnRoute;
