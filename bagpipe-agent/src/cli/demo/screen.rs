//! What the demo prints: steps with the time since its start, and what belongs to them, indented.

use std::io::{self, Write};
use std::time::Instant;

/// The terminal, and the time since the start.
#[derive(Debug)]
pub(super) struct Screen {
    start: Instant,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { start: Instant::now() }
    }

    /// A line with the time.
    pub(super) fn step(&self, text: &str) {
        print(&format!("{:6.2} s  {text}\n", self.start.elapsed().as_secs_f64()));
    }

    /// Lines that belong to the last step.
    pub(super) fn detail(&self, text: &str) {
        for line in text.lines().map(str::trim_end) {
            print(&format!("{:10}{line}\n", ""));
        }
    }
}

/// A reader that has gone away is no reason to leave the demo half done.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
