//! The `bagpipe` binary.

fn main() {}
