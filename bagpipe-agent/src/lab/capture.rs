//! Packets as they are seen on an interface, in a file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{LabError, Node, Process};

const LIMIT: Duration = Duration::from_secs(10);

/// A running tcpdump. Frames that XDP sends are not seen on the interface that sends them.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    path: PathBuf,
}

impl Capture {
    /// Captures what `filter` (in tcpdump's words) lets through, and returns once it does.
    ///
    /// # Errors
    /// When tcpdump does not start, as for a filter that it does not understand.
    pub fn start(node: &Node, interface: &str, filter: &str) -> Result<Self, LabError> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let name = format!("{interface}-{}", SERIAL.fetch_add(1, Ordering::Relaxed));
        let path = node.directory().join(format!("{}-{name}.pcap", node.name()));
        let file = path.to_string_lossy().into_owned();
        let line =
            ["tcpdump", "-i", interface, "-Z", "root", "--immediate-mode", "-U", "-n", "-w", &file, filter];
        let mut process = node.spawn(&format!("tcpdump-{name}"), &line)?;
        process.wait_ready(LIMIT, "tcpdump", |process| {
            process.printed().contains("listening on").then_some(())
        })?;
        Ok(Self { process, path })
    }

    /// The file, which grows packet by packet.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Ends the capture and returns the file.
    ///
    /// # Errors
    /// When tcpdump does not end.
    pub fn stop(self) -> Result<PathBuf, LabError> {
        self.process.terminate(LIMIT)?;
        Ok(self.path)
    }
}
