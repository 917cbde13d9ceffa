//! End-to-end tests: see `tests/tests`. Here is what they share.

pub mod isolated;
pub mod packet;
pub mod programs;
