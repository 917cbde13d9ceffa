//! Routing netlink: interfaces, routes and neighbours of this network namespace.
//!
//! [`message`] is the wire format, [`decode`] what the kernel says, [`request`] what it is asked ([`filter`]: about
//! programs at the ingress of an interface), [`events`] what it tells by itself.

pub(crate) mod decode;
pub(crate) mod events;
pub(crate) mod filter;
pub(crate) mod message;
pub(crate) mod request;
