//! What outlives the agent: its attachments, in one file of the state directory.
//!
//! The file is replaced as a whole (written aside, renamed), so that whatever ends the agent, the next one finds the
//! old or the new attachments and never a part of either. Then it is synchronised, which nobody waits for: a disk
//! takes ten milliseconds and more for that, and what only a power failure can damage is of no use after it, for
//! then the interfaces are gone too. The directory is locked: one agent owns it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::future;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

const FILE: &str = "attachments.json";
const LOCK: &str = "lock";

/// Version of the file's layout; a file of another version is set aside.
const VERSION: u32 = 1;

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another agent owns the directory.
    #[error(
        "another agent uses {}; stop it, or give this one another --instance or state.directory",
        .0.display()
    )]
    Locked(PathBuf),
    /// The system refused.
    #[error("cannot {action} {}: {source}; check state.directory, its owner and its file system", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The attachments cannot be written down.
    #[error("cannot encode the attachments: {0}")]
    Encode(serde_json::Error),
}

impl StoreError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// What a start finds.
#[derive(Debug)]
pub enum Loaded<S> {
    /// No file: a first start.
    Nothing,
    /// The attachments.
    Snapshot(S),
    /// A file that cannot be read, now kept under another name.
    Damaged {
        /// Where the file is kept.
        kept: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

/// The state directory, locked while this lives.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    _lock: File,
    writing: Option<JoinHandle<Result<File, StoreError>>>,
    synchronizing: Option<JoinHandle<Result<(), StoreError>>>,
    /// Written while an earlier file was being synchronised.
    unsynchronized: Option<File>,
}

#[derive(Serialize, Deserialize)]
struct Envelope<S> {
    version: u32,
    attachments: S,
}

/// Only the version, so that a file of another layout is named as such.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Store {
    /// Makes the directory if it is not there, and locks it.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(StoreError::io("create", directory))?;
        let path = directory.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _lock: lock,
                writing: None,
                synchronizing: None,
                unsynchronized: None,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path, source }),
        }
    }

    /// Reads the attachments. A damaged file is set aside, for a person to look at, and never in the way.
    pub fn load<S: DeserializeOwned>(&self) -> Result<Loaded<S>, StoreError> {
        let path = self.directory.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Nothing),
            Err(source) => return Err(StoreError::Io { action: "read", path, source }),
        };
        let cause = match decode(&text) {
            Ok(snapshot) => return Ok(Loaded::Snapshot(snapshot)),
            Err(cause) => cause,
        };
        Ok(Loaded::Damaged { kept: self.set_aside()?, cause })
    }

    /// Gives the file another name, for a person to look at; gives the name.
    pub fn set_aside(&self) -> Result<PathBuf, StoreError> {
        let path = self.directory.join(FILE);
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let kept = self.directory.join(format!("{FILE}.damaged-{seconds}"));
        std::fs::rename(&path, &kept).map_err(StoreError::io("rename", &path))?;
        Ok(kept)
    }

    /// Whether nothing is being written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.writing.is_none()
    }

    /// Starts writing on another thread, for no request should wait for a disk. To be called when idle.
    pub fn save<S: Serialize + Send + 'static>(&mut self, attachments: S) {
        let directory = self.directory.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || write(&directory, &attachments)));
    }

    /// Waits for the end of a write: the attachments outlive this process. For ever when there is none, unless one
    /// that had ended can't be synchronised. May be dropped and called again.
    pub async fn saved(&mut self) -> Result<(), StoreError> {
        loop {
            tokio::select! {
                outcome = finish(&mut self.writing, &self.directory) => {
                    self.unsynchronized = Some(outcome?);
                    self.synchronize();
                    return Ok(());
                }
                outcome = finish(&mut self.synchronizing, &self.directory) => {
                    self.synchronize();
                    outcome?;
                }
            }
        }
    }

    /// Synchronises the last file, unless an earlier one is still being synchronised.
    fn synchronize(&mut self) {
        if self.synchronizing.is_none()
            && let Some(file) = self.unsynchronized.take()
        {
            let directory = self.directory.clone();
            self.synchronizing = Some(tokio::task::spawn_blocking(move || synchronize(&directory, &file)));
        }
    }
}

/// Waits for a task and forgets it; for ever when there is none.
async fn finish<T>(
    task: &mut Option<JoinHandle<Result<T, StoreError>>>,
    directory: &Path,
) -> Result<T, StoreError> {
    let Some(running) = task.as_mut() else { return future::pending().await };
    let outcome = running.await;
    *task = None;
    outcome.unwrap_or_else(|error| {
        Err(StoreError::Io { action: "write", path: directory.join(FILE), source: error.into() })
    })
}

fn decode<S: DeserializeOwned>(text: &[u8]) -> Result<S, String> {
    let Version { version } = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("layout version {version}, and this agent reads version {VERSION}"));
    }
    let envelope: Envelope<S> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    Ok(envelope.attachments)
}

fn write<S: Serialize>(directory: &Path, attachments: &S) -> Result<File, StoreError> {
    let text = serde_json::to_vec(&Envelope { version: VERSION, attachments }).map_err(StoreError::Encode)?;
    let path = directory.join(FILE);
    let aside = directory.join(format!("{FILE}.new"));
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .map_err(StoreError::io("create", &aside))?;
    file.write_all(&text).map_err(StoreError::io("write", &aside))?;
    std::fs::rename(&aside, &path).map_err(StoreError::io("rename", &aside))?;
    Ok(file)
}

fn synchronize(directory: &Path, file: &File) -> Result<(), StoreError> {
    file.sync_all().map_err(StoreError::io("synchronise", &directory.join(FILE)))?;
    // The new name is on disk once its directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(StoreError::io("synchronise", directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes away with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("bagpipe-store-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    fn load(store: &Store) -> Loaded<Vec<u32>> {
        store.load().unwrap()
    }

    #[tokio::test]
    async fn what_is_saved_is_loaded() {
        let scratch = Scratch::new("saved");
        let mut store = Store::open(&scratch.0).unwrap();
        assert!(matches!(load(&store), Loaded::Nothing));
        for attachments in [vec![1], vec![1, 2]] {
            store.save(attachments);
            assert!(!store.is_idle());
            store.saved().await.unwrap();
        }
        assert!(store.is_idle());
        assert!(matches!(load(&store), Loaded::Snapshot(attachments) if attachments == [1, 2]));
    }

    #[tokio::test]
    async fn a_damaged_file_is_set_aside() {
        for (name, text) in [
            ("cut", "{\"version\":1,\"attach"),
            ("old", "{\"version\":99}"),
            ("odd", "{\"version\":1}"),
            ("empty", ""),
        ] {
            let scratch = Scratch::new(name);
            std::fs::write(scratch.0.join(FILE), text).unwrap();
            let store = Store::open(&scratch.0).unwrap();
            let Loaded::Damaged { kept, cause } = load(&store) else { panic!("{name} was taken") };
            assert_eq!(std::fs::read_to_string(kept).unwrap(), text);
            assert!(!cause.is_empty());
            assert!(matches!(load(&store), Loaded::Nothing));
        }
    }

    #[test]
    fn one_agent_owns_the_directory() {
        let scratch = Scratch::new("lock");
        let first = Store::open(&scratch.0).unwrap();
        assert!(matches!(Store::open(&scratch.0), Err(StoreError::Locked(_))));
        drop(first);
        assert!(Store::open(&scratch.0).is_ok());
    }

    #[tokio::test]
    async fn a_failed_write_is_told() {
        let scratch = Scratch::new("failed");
        let mut store = Store::open(&scratch.0).unwrap();
        std::fs::create_dir(scratch.0.join(format!("{FILE}.new"))).unwrap();
        store.save(vec![1]);
        assert!(store.saved().await.unwrap_err().to_string().contains("attachments.json.new"));
    }
}
