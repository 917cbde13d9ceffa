//! Waiting for a condition, with a limit.

use std::thread;
use std::time::{Duration, Instant};

use super::LabError;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks again and again until `check` gives a value, and returns it.
///
/// # Errors
/// [`LabError::Timeout`], naming `what`, when it gave none within `limit`.
pub fn wait_until<T>(
    limit: Duration,
    what: &str,
    mut check: impl FnMut() -> Option<T>,
) -> Result<T, LabError> {
    let start = Instant::now();
    loop {
        if let Some(value) = check() {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            return Err(LabError::Timeout { what: what.to_owned(), limit, detail: String::new() });
        }
        thread::sleep(INTERVAL);
    }
}
