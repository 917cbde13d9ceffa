//! What is done about messages in error, as tables: what is received, on which kind of session, and what has to come
//! of it (RFC 4271 §6, RFC 7606). Each row is received by a speaker with a live session and routes.

// The helpers here are outside the test functions for which these are allowed anyway.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod attributes;
mod cases;
mod census;
mod fields;
mod live;
mod matrix;
mod messages;
mod nlri;
mod published;
mod table;
