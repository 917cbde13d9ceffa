//! A BGP speaker for the VPN families, without input and output.
//!
//! Bytes and the current time go in; bytes, timers and route changes come out. There are no sockets, no tasks
//! and no clock here, so that whole networks of speakers run inside one test, from one seed.
//!
//! Data flows through the modules in this order:
//!
//! * [`wire`]: messages, attributes, NLRI, to and from bytes; errors carry their RFC 7606 action.
//! * [`session`]: one connection (RFC 4271 §8): OPEN, capabilities, keepalives, timers.
//! * [`rib`]: Adj-RIB-In, best path, Adj-RIB-Out, route reflection (RFC 4456), RT Constraint (RFC 4684).
//! * [`speaker`]: peers, each with its sessions and collision handling, around one RIB.
//! * [`bmp`]: what a monitoring station is told of all this (RFC 7854).

#![forbid(unsafe_code)]

pub mod bmp;
pub mod rib;
pub mod session;
pub mod speaker;
pub mod types;
pub mod wire;
