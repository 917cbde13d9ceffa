//! Logs: one line per event worth a person's attention, on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// The environment variable that says what is logged, such as `debug` or `bagpipe_agent::peer=trace`.
pub const FILTER_VARIABLE: &str = "BAGPIPE_LOG";

/// Starts logging. A filter that cannot be read is told of and replaced by `info`.
pub fn init() {
    let asked = std::env::var(FILTER_VARIABLE).unwrap_or_default();
    let (filter, complaint) = match EnvFilter::builder().parse(if asked.is_empty() { "info" } else { &asked })
    {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let installed = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    if let (Ok(()), Some(error)) = (installed, complaint) {
        tracing::warn!("{FILTER_VARIABLE}: {error}; logging at level info");
    }
}
