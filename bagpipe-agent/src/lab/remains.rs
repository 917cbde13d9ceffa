//! The one way in which a lab is taken down, whether it ended well, failed, was interrupted or was killed.
//!
//! It needs only the lab's identifier, `bp<process>-<serial>`, in hexadecimal: it begins the name of every
//! namespace, agent instance and directory of the lab, and tells whether the lab's owner is still alive.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::process::signal;
use super::{LabError, node, wait_until};

const NAMESPACES: &str = "/run/netns";
const DIRECTORIES: &str = "/run/bagpipe-lab";
const PINS: &str = "/sys/fs/bpf/bagpipe";

/// A signal is ending this process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// A file in the lab's directory: the lab outlives its owner.
const KEPT: &str = "kept";

/// The identifier of this process' next lab.
pub(super) fn id(serial: u32) -> String {
    format!("bp{:x}-{serial:x}", process::id())
}

/// The name of an agent: at most 12 characters, since with three more it names an interface.
pub(super) fn instance(id: &str, number: u32) -> String {
    format!("{id}-{number:x}")
}

/// The lab's directory.
pub(super) fn directory(id: &str) -> PathBuf {
    Path::new(DIRECTORIES).join(id)
}

/// Whether this process may make namespaces.
pub(super) fn require_root() -> Result<(), LabError> {
    let status = Path::new("/proc/self/status");
    let text = fs::read_to_string(status).map_err(|source| LabError::file(status, source))?;
    let effective = text.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().nth(1));
    if effective == Some("0") { Ok(()) } else { Err(LabError::NotRoot) }
}

/// Marks a lab as one that outlives its owner.
pub(super) fn keep(id: &str) -> Result<(), LabError> {
    let mark = directory(id).join(KEPT);
    fs::write(&mark, "").map_err(|source| LabError::file(&mark, source))
}

/// Takes down the labs of owners that are gone.
pub(super) fn sweep() {
    for id in labs().into_iter().filter(|id| !is_kept(id) && !has_owner(id)) {
        remove(&id);
    }
}

/// Takes down the labs that were kept; returns how many there were.
pub(super) fn remove_kept() -> usize {
    let kept = labs().into_iter().filter(|id| is_kept(id)).collect::<Vec<_>>();
    for id in &kept {
        remove(id);
    }
    kept.len()
}

/// Takes down a lab: processes, then namespaces and with them interfaces, then pins and files. Goes on after a
/// failure, for the rest still goes.
pub(super) fn remove(id: &str) {
    for namespace in names(NAMESPACES).into_iter().filter(|name| belongs(name, id)) {
        end_processes(&namespace);
        report(node::run(Command::new("ip").args(["netns", "delete", &namespace])));
    }
    for pins in names(PINS).into_iter().filter(|name| belongs(name, id)) {
        let path = Path::new(PINS).join(pins);
        report(fs::remove_dir_all(&path).map_err(|source| LabError::file(&path, source)));
    }
    let directory = directory(id);
    if directory.exists() {
        report(fs::remove_dir_all(&directory).map_err(|source| LabError::file(&directory, source)));
    }
}

/// Makes SIGINT, SIGTERM and SIGHUP take down the labs of this process before they end it.
pub(super) fn remove_on_signal() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        // Without this thread the next lab sweeps instead.
        let _ = thread::Builder::new().name("lab-signals".to_owned()).spawn(watch_signals);
    });
}

fn watch_signals() {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let signaled = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).ok()?;
        let mut terminate = signal(SignalKind::terminate()).ok()?;
        let mut hangup = signal(SignalKind::hangup()).ok()?;
        tokio::select! {
            _ = interrupt.recv() => Some(2),
            _ = terminate.recv() => Some(15),
            _ = hangup.recv() => Some(1),
        }
    });
    let Some(number) = signaled else { return };
    ENDING.store(true, Ordering::SeqCst);
    let own = format!("bp{:x}-", process::id());
    let standing =
        || labs().into_iter().filter(|id| id.starts_with(&own) && !is_kept(id)).collect::<Vec<_>>();
    // What another thread was just making comes up in a second look.
    let mut rounds = 0..5;
    while rounds.next().is_some() && !standing().is_empty() {
        standing().iter().for_each(|id| remove(id));
    }
    // As a shell reports a process that a signal ended.
    process::exit(128 + number);
}

/// Does not return once a signal is ending this process: what is being taken down must not be built on.
pub(super) fn halt_when_ending() {
    while ENDING.load(Ordering::SeqCst) {
        thread::park();
    }
}

/// Ends what runs in a namespace of ours, daemons that left their parent included.
fn end_processes(namespace: &str) {
    let gone = wait_until(Duration::from_secs(5), "end of the processes of a namespace", || {
        let pids = node::run(Command::new("ip").args(["netns", "pids", namespace])).unwrap_or_default();
        let others = pids.lines().filter_map(|pid| pid.trim().parse().ok()).collect::<Vec<u32>>();
        others.iter().for_each(|pid| signal("KILL", *pid));
        others.is_empty().then_some(())
    });
    report(gone);
}

fn labs() -> BTreeSet<String> {
    [NAMESPACES, DIRECTORIES, PINS].into_iter().flat_map(names).filter_map(|name| lab_of(&name)).collect()
}

/// The identifier that a name begins with.
fn lab_of(name: &str) -> Option<String> {
    let mut parts = name.splitn(3, '-');
    let owner = parts.next()?;
    let serial = parts.next()?;
    u32::from_str_radix(owner.strip_prefix("bp")?, 16).ok()?;
    u32::from_str_radix(serial, 16).ok()?;
    Some(format!("{owner}-{serial}"))
}

fn belongs(name: &str, id: &str) -> bool {
    lab_of(name).is_some_and(|lab| lab == id)
}

fn has_owner(id: &str) -> bool {
    let owner = id.strip_prefix("bp").and_then(|rest| rest.split('-').next());
    let owner = owner.and_then(|hexadecimal| u32::from_str_radix(hexadecimal, 16).ok());
    owner.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

fn is_kept(id: &str) -> bool {
    directory(id).join(KEPT).exists()
}

fn names(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Two processes may sweep the same lab: then one finds it gone.
fn report<T>(outcome: Result<T, LabError>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "taking down a lab");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_lab() {
        let id = id(0x1f);
        assert_eq!(lab_of(&id), Some(id.clone()));
        assert_eq!(lab_of(&format!("{id}-node1")), Some(id.clone()));
        assert_eq!(lab_of(&instance(&id, 3)), Some(id.clone()));
        assert!(has_owner(&id));
        assert!(!belongs(&format!("{id}0-node1"), &id));
        for foreign in ["default", "bp-x", "bpzz-1", "qrouter-1234", "bp12"] {
            assert_eq!(lab_of(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn an_instance_name_is_short_enough_for_an_interface() {
        // The largest process number of Linux is 2^22.
        assert!(instance(&format!("bp{:x}-{:x}", 1 << 22, 0xf), 0xf).len() <= 12);
    }
}
