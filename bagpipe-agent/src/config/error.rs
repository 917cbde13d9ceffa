//! What is wrong with a configuration file: the file, the line, the key, the cause and the remedy.

use std::fmt;
use std::path::PathBuf;

/// Why a configuration was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; name another file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}: not valid TOML: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What the parser expected.
        message: String,
    },
    /// The file is TOML, but says what cannot be.
    #[error("{}", Listing { path, problems })]
    Invalid {
        /// The file.
        path: PathBuf,
        /// All that is wrong, in the order of the file.
        problems: Vec<Problem>,
    },
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line number, from 1.
    pub line: usize,
    /// The key with its sections, such as `bgp.peers[0].port`.
    pub key: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.line, self.key, self.kind)
    }
}

/// The ways in which a key can be wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProblemKind {
    /// No such key.
    #[error("unknown key{}", nearest.map(|key| format!("; did you mean '{key}'?")).unwrap_or_default())]
    Unknown {
        /// The known key that is most like it.
        nearest: Option<&'static str>,
    },
    /// A key that must be there is not.
    #[error("missing; {remedy}")]
    Missing {
        /// What to write.
        remedy: &'static str,
    },
    /// A value of another type.
    #[error("{found} where {expected} is expected")]
    Type {
        /// What the file has.
        found: &'static str,
        /// What it should have.
        expected: &'static str,
    },
    /// A value of the right type that cannot be.
    #[error("{cause}; {remedy}")]
    Value {
        /// What is wrong with it.
        cause: String,
        /// What to write instead.
        remedy: String,
    },
}

struct Listing<'a> {
    path: &'a PathBuf,
    problems: &'a [Problem],
}

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{}:{problem}", if position == 0 { "" } else { "\n" }, self.path.display())?;
        }
        Ok(())
    }
}
