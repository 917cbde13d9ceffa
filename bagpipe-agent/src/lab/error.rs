//! What can go wrong in a lab.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a step in a lab failed.
#[derive(thiserror::Error)]
pub enum LabError {
    /// Not root.
    #[error("namespaces and BPF programs need root's rights: run this with sudo")]
    NotRoot,
    /// A program is not installed.
    #[error("cannot start {program}: {source}; install it with your distribution's package manager")]
    Missing {
        /// The program.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("`{command}` failed ({status}): {output}")]
    Failed {
        /// The command line.
        command: String,
        /// Its exit status.
        status: String,
        /// What it printed, errors first.
        output: String,
    },
    /// A condition did not come true in time.
    #[error("{what}: not within {limit:?}{detail}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
        /// What was seen last, when that is known.
        detail: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl LabError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_owned(), source }
    }
}

/// As displayed: it is what a test that returns the error prints.
impl fmt::Debug for LabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
