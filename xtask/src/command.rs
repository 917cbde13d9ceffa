//! Running programs: what runs is printed, and a failure names it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why a task failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TaskError {
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start { command: String, source: io::Error },
    /// A program failed; it has said why.
    #[error("`{command}` failed: {status}")]
    Failed { command: String, status: String },
    /// Something is missing that only the user can install.
    #[error("{what}\n\nInstall it with:\n{remedy}")]
    Missing { what: String, remedy: String },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File { path: PathBuf, source: io::Error },
}

/// All tasks work from the top of the workspace.
pub(crate) fn enter_workspace() -> Result<(), TaskError> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = manifest.parent().unwrap_or(manifest);
    env::set_current_dir(top).map_err(|source| TaskError::File { path: top.to_owned(), source })
}

/// The cargo that runs this.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A line of progress.
pub(crate) fn say(text: &str) {
    eprintln!("==> {text}");
}

/// Runs a program to its end; what it prints is seen.
pub(crate) fn run(command: &mut Command) -> Result<(), TaskError> {
    say(&shown(command));
    let status = command.status().map_err(|source| TaskError::Start { command: shown(command), source })?;
    if status.success() {
        return Ok(());
    }
    Err(TaskError::Failed { command: shown(command), status: status.to_string() })
}

/// Becomes a program; returns only if it can't be started.
pub(crate) fn become_program(mut command: Command) -> TaskError {
    say(&shown(&command));
    let source = command.exec();
    TaskError::Start { command: shown(&command), source }
}

/// The standard output of a program that succeeds.
pub(crate) fn answer(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A command that runs as root: by sudo, if need be.
pub(crate) fn as_root(program: impl AsRef<OsStr>) -> Command {
    if is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.arg("-E").arg(program);
    command
}

pub(crate) fn is_root() -> bool {
    answer("id", &["-u"]).is_some_and(|user| user == "0")
}

/// Where a program is: in `PATH`, where a user's `PATH` often does not lead, or where cargo installs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/lib/frr"].map(PathBuf::from);
    let mut directories = env::split_paths(&path).chain(usual).chain(cargo_bin());
    directories.find_map(|directory| Some(directory.join(program)).filter(|path| path.is_file()))
}

fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))?;
    Some(home.join("bin"))
}

/// The command line as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
