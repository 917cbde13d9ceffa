//! One owner of the pinned maps of an instance: an agent, or a clean-up.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use crate::dataplane::PINS;

/// The right to change the pinned maps of an instance, as long as this lives.
#[derive(Debug)]
pub struct Claim {
    /// Locked, unless there is nothing to lock.
    _directory: Option<File>,
}

/// Somebody else has the right.
#[derive(Debug, thiserror::Error)]
#[error("agent '{0}' is running on this kernel; stop it, or give another --instance")]
pub struct ClaimError(String);

impl Claim {
    /// Takes the right, if nobody has it.
    ///
    /// # Errors
    /// Somebody has it.
    pub fn take(instance: &str) -> Result<Self, ClaimError> {
        let directory = Path::new(PINS).join(instance);
        // Without a BPF file system this fails, and there is nothing to share: loading the programs says so.
        drop(DirBuilder::new().recursive(true).mode(0o700).create(&directory));
        Self::of_directory(&directory, instance)
    }

    /// Takes the right to what there is, if anything; makes nothing.
    ///
    /// # Errors
    /// Somebody has it.
    pub fn take_existing(instance: &str) -> Result<Self, ClaimError> {
        Self::of_directory(&Path::new(PINS).join(instance), instance)
    }

    fn of_directory(directory: &Path, instance: &str) -> Result<Self, ClaimError> {
        let Ok(file) = File::open(directory) else { return Ok(Self { _directory: None }) };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(ClaimError(instance.to_owned())),
            _ => Ok(Self { _directory: Some(file) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_one_owner() {
        let directory = std::env::temp_dir().join(format!("bagpipe-claim-{}", std::process::id()));
        assert!(Claim::of_directory(&directory, "blue").is_ok());
        std::fs::create_dir(&directory).unwrap();
        let first = Claim::of_directory(&directory, "blue").unwrap();
        let refused = Claim::of_directory(&directory, "blue");
        drop(first);
        let again = Claim::of_directory(&directory, "blue");
        drop(std::fs::remove_dir(&directory));
        assert!(refused.unwrap_err().to_string().contains("'blue' is running"));
        assert!(again.is_ok());
    }
}
