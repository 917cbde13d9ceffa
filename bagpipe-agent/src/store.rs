//! What outlives the agent: its attachments, in one file of the state directory.
//!
//! The file has all attachments, and behind them what has changed since, a line each time: what an attach adds does not
//! depend on what else is attached. When the changes get long the file is replaced as a whole (written aside,
//! renamed). So whatever ends the agent, the next one finds the old or the new attachments and never a part of either: a
//! line that was cut off has not been answered. Synchronising follows, which nobody waits for: a disk takes ten
//! milliseconds and more for that, and what only a power failure can damage is of no use after it, for then the
//! interfaces are gone too. The directory is locked: one agent owns it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::future;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

const FILE: &str = "attachments.json";
const LOCK: &str = "lock";

/// Version of the file's layout; a file of another version is set aside.
const VERSION: u32 = 2;

/// Versions that are read. The first had no changes behind the attachments.
const VERSIONS: RangeInclusive<u32> = 1..=VERSION;

/// Octets of changes that are kept in any case: several hundred attaches, which are read in a few milliseconds.
const CHANGES: usize = 128 * 1024;

/// How long what was written is not synchronised, for more may come.
const SOON: Duration = Duration::from_millis(100);

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
    /// Where changes are added; none before all attachments are written, and after a failure.
    file: Option<Arc<File>>,
    /// Octets of all attachments, and of the changes behind them.
    length: (usize, usize),
    /// Something was written since the last synchronisation began.
    unsynchronized: bool,
    synchronizing: Option<JoinHandle<io::Result<()>>>,
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
                file: None,
                length: (0, 0),
                unsynchronized: false,
                synchronizing: None,
            }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(directory.to_owned())),
            Err(TryLockError::Error(source)) => Err(StoreError::Io { action: "lock", path, source }),
        }
    }

    /// Reads the attachments, to which `apply` applies each change. A damaged file is set aside, for a person to look at,
    /// and never in the way.
    pub fn load<S, C>(&self, apply: impl Fn(&mut S, C)) -> Result<Loaded<S>, StoreError>
    where
        S: DeserializeOwned,
        C: DeserializeOwned,
    {
        let path = self.directory.join(FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Nothing),
            Err(source) => return Err(StoreError::Io { action: "read", path, source }),
        };
        let cause = match decode(&text, apply) {
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

    /// Whether a change can be added; else all attachments are to be written.
    #[must_use]
    pub fn takes_changes(&self) -> bool {
        let (all, changes) = self.length;
        self.file.is_some() && changes <= all.max(CHANGES)
    }

    /// Writes all attachments, in place of what is there. They outlive this process.
    pub fn write<S: Serialize>(&mut self, attachments: &S) -> Result<(), StoreError> {
        self.file = None;
        let text = line(&Envelope { version: VERSION, attachments })?;
        let path = self.directory.join(FILE);
        let aside = self.directory.join(format!("{FILE}.new"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)
            .map_err(StoreError::io("create", &aside))?;
        file.write_all(&text).map_err(StoreError::io("write", &aside))?;
        std::fs::rename(&aside, &path).map_err(StoreError::io("rename", &aside))?;
        self.file = Some(Arc::new(file));
        self.length = (text.len(), 0);
        self.unsynchronized = true;
        Ok(())
    }

    /// Adds a change, which outlives this process. To be called when [`Self::takes_changes`].
    pub fn add<C: Serialize>(&mut self, change: &C) -> Result<(), StoreError> {
        let text = line(change)?;
        let path = self.directory.join(FILE);
        // Behind a part of a line nothing would be read any more: after a failure, all is written anew.
        let Some(file) = self.file.take() else {
            return Err(StoreError::Io { action: "write", path, source: io::ErrorKind::NotFound.into() });
        };
        (&*file).write_all(&text).map_err(StoreError::io("write", &path))?;
        self.file = Some(file);
        self.length.1 += text.len();
        self.unsynchronized = true;
        Ok(())
    }

    /// Synchronises what is written, a little later and on another thread. Ends when that can't be done, else never. May
    /// be dropped and called again.
    pub async fn failed(&mut self) -> StoreError {
        loop {
            if let Err(error) = self.synchronized(SOON).await {
                return error;
            }
            if !self.unsynchronized {
                future::pending::<()>().await;
            }
        }
    }

    /// Synchronises what is written and was not yet.
    pub async fn finish(&mut self) -> Result<(), StoreError> {
        while self.unsynchronized || self.synchronizing.is_some() {
            self.synchronized(Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Waits for a synchronisation, which begins after `delay` if none has begun and something is to be synchronised:
    /// what comes in between takes part.
    async fn synchronized(&mut self, delay: Duration) -> Result<(), StoreError> {
        if self.synchronizing.is_none()
            && std::mem::take(&mut self.unsynchronized)
            && let Some(file) = self.file.clone()
        {
            let directory = self.directory.clone();
            self.synchronizing = Some(tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                let synchronize = tokio::task::spawn_blocking(move || synchronize(&directory, &file));
                synchronize.await.unwrap_or_else(|error| Err(error.into()))
            }));
        }
        let Some(running) = self.synchronizing.as_mut() else { return Ok(()) };
        let outcome = running.await;
        self.synchronizing = None;
        let path = self.directory.join(FILE);
        outcome.unwrap_or_else(|error| Err(error.into())).map_err(StoreError::io("synchronise", &path))
    }
}

fn line<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut text = serde_json::to_vec(value).map_err(StoreError::Encode)?;
    text.push(b'\n');
    Ok(text)
}

fn decode<S: DeserializeOwned, C: DeserializeOwned>(
    text: &[u8],
    apply: impl Fn(&mut S, C),
) -> Result<S, String> {
    let Version { version } = first(&mut serde_json::Deserializer::from_slice(text))?;
    if !VERSIONS.contains(&version) {
        return Err(format!("layout version {version}, and this agent reads version {VERSION}"));
    }
    let mut values = serde_json::Deserializer::from_slice(text);
    let Envelope { mut attachments, .. } = first(&mut values)?;
    for change in values.into_iter() {
        match change {
            Ok(change) => apply(&mut attachments, change),
            // Whoever wrote it was ended meanwhile, and has not answered.
            Err(error) if error.is_eof() => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(attachments)
}

fn first<'a, T: Deserialize<'a>>(
    values: &mut serde_json::Deserializer<serde_json::de::SliceRead<'a>>,
) -> Result<T, String> {
    T::deserialize(values).map_err(|error| error.to_string())
}

fn synchronize(directory: &Path, file: &File) -> io::Result<()> {
    file.sync_all()?;
    // The new name is on disk once its directory is.
    File::open(directory)?.sync_all()
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
        store.load(|all: &mut Vec<u32>, more: Vec<u32>| all.extend(more)).unwrap()
    }

    #[test]
    fn what_is_written_is_loaded() {
        let scratch = Scratch::new("written");
        let mut store = Store::open(&scratch.0).unwrap();
        assert!(matches!(load(&store), Loaded::Nothing));
        assert!(!store.takes_changes());
        for attachments in [vec![1], vec![1, 2]] {
            store.write(&attachments).unwrap();
            assert!(matches!(load(&store), Loaded::Snapshot(stored) if stored == attachments));
        }
        for more in [[3], [4]] {
            assert!(store.takes_changes());
            store.add(&more).unwrap();
        }
        assert!(matches!(load(&store), Loaded::Snapshot(stored) if stored == [1, 2, 3, 4]));
    }

    #[test]
    fn a_change_that_was_cut_off_is_none() {
        let scratch = Scratch::new("cut-change");
        let mut store = Store::open(&scratch.0).unwrap();
        store.write(&[1]).unwrap();
        store.add(&[2]).unwrap();
        store.add(&[3, 4]).unwrap();
        let text = std::fs::read(scratch.0.join(FILE)).unwrap();
        let last = b"[3,4]\n".len();
        for length in text.len() - last..text.len() - 1 {
            std::fs::write(scratch.0.join(FILE), &text[..length]).unwrap();
            assert!(matches!(load(&store), Loaded::Snapshot(stored) if stored == [1, 2]), "{length}");
        }
    }

    #[test]
    fn changes_do_not_grow_without_end() {
        let scratch = Scratch::new("grown");
        let mut store = Store::open(&scratch.0).unwrap();
        store.write(&[1]).unwrap();
        let change = vec![7; 1000];
        let added = std::iter::repeat_with(|| store.takes_changes().then(|| store.add(&change).unwrap()));
        assert!(added.take_while(Option::is_some).count() < CHANGES / 1000);
        store.write(&[1]).unwrap();
        assert!(store.takes_changes());
    }

    #[test]
    fn a_file_of_the_first_layout_is_read() {
        let scratch = Scratch::new("first");
        std::fs::write(scratch.0.join(FILE), "{\"version\":1,\"attachments\":[5]}").unwrap();
        let store = Store::open(&scratch.0).unwrap();
        assert!(matches!(load(&store), Loaded::Snapshot(stored) if stored == [5]));
    }

    #[tokio::test]
    async fn all_is_synchronised_in_the_end() {
        let scratch = Scratch::new("synchronised");
        let mut store = Store::open(&scratch.0).unwrap();
        store.write(&[1]).unwrap();
        // It begins, and is dropped before it ends.
        assert!(tokio::time::timeout(Duration::ZERO, store.failed()).await.is_err());
        store.add(&[2]).unwrap();
        store.finish().await.unwrap();
        assert!(!store.unsynchronized && store.synchronizing.is_none());
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        for (name, text) in [
            ("cut", "{\"version\":1,\"attach"),
            ("old", "{\"version\":99}"),
            ("odd", "{\"version\":1}"),
            ("empty", ""),
            ("broken", "{\"version\":2,\"attachments\":[1]}\n[2\n[3]\n"),
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

    #[test]
    fn a_failed_write_is_told() {
        let scratch = Scratch::new("failed");
        let mut store = Store::open(&scratch.0).unwrap();
        std::fs::create_dir(scratch.0.join(format!("{FILE}.new"))).unwrap();
        assert!(store.write(&[1]).unwrap_err().to_string().contains("attachments.json.new"));
        assert!(!store.takes_changes());
    }
}
