//! The bagpipe daemon and its command line.
//!
//! Data flows one way: [`api`] and BGP peers ([`peer`]) put events into the [`engine`]; the engine's VPN
//! instances ([`vpn`]) compute the desired forwarding state ([`fib`]); the [`dataplane`] writes what differs
//! into BPF maps. [`cli`] is a client of the API.
//! [`observe`] feeds those who only watch.
//! [`lab`] builds networks of namespaces for the demo and the tests.

pub mod api;
pub mod cli;
pub mod config;
pub mod dataplane;
pub mod engine;
pub mod fib;
pub mod lab;
pub mod log;
pub mod observe;
pub mod peer;
pub mod run;
pub mod store;
mod sys;
pub mod vpn;
