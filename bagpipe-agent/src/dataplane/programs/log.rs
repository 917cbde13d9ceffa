//! What programs built for debugging log (`cargo xtask run --ebpf-log`): each drop, at level debug.

use std::io;
use std::time::Duration;

use aya::Ebpf;
use aya_log::{EbpfLogger, Error};
use bagpipe_common::DropReason;
use log::{Log, Metadata, Record};

/// How often is read what the programs have logged.
const PERIOD: Duration = Duration::from_millis(100);

/// Starts a task that writes what the programs log to this agent's log. Programs without logging have nothing to
/// read, and nothing is started for them, nor without a runtime to run the task.
pub(super) fn follow(object: &mut Ebpf) -> io::Result<()> {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Ok(()) };
    let mut logger = match EbpfLogger::init_with_logger(object, Bridge) {
        Ok(logger) => logger,
        Err(Error::MapNotFound) => return Ok(()),
        Err(error) => return Err(io::Error::other(error)),
    };
    tracing::info!("the eBPF programs log what they drop, at level debug");
    runtime.spawn(async move {
        let mut period = tokio::time::interval(PERIOD);
        loop {
            period.tick().await;
            logger.flush();
        }
    });
    Ok(())
}

/// From the `log` crate, which the reader of the programs' log writes to, to `tracing`. A record is the number of a
/// drop reason: names would take more of a program's stack than there is.
struct Bridge;

impl Log for Bridge {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        match text.parse().ok().and_then(|number: usize| DropReason::ALL.get(number)) {
            Some(reason) => tracing::debug!(reason = reason.name(), "dropped: {}", reason.explanation()),
            None => tracing::debug!("eBPF: {text}"),
        }
    }

    fn flush(&self) {}
}
