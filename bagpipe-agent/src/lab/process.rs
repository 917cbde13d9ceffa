//! A process that goes on running in a namespace.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{LabError, node, wait_until};

/// A running process. It is killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    left: bool,
}

impl Process {
    /// Starts it in a process group of its own, so that Ctrl-C in a terminal reaches only the owner of the lab,
    /// who then ends everything in order.
    pub(super) fn spawn(mut command: Command, directory: &Path, name: &str) -> Result<Self, LabError> {
        let (file, log) = new_log(directory, name)?;
        let errors = file.try_clone().map_err(|source| LabError::file(&log, source))?;
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .spawn()
            .map_err(|source| LabError::Missing { program: node::shown(&command), source })?;
        Ok(Self { child, log, left: false })
    }

    /// The process number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The file with what it printed.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What it printed so far.
    #[must_use]
    pub fn printed(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until `ready` gives a value; fails at once, with the end of the log, when the process ends before.
    ///
    /// # Errors
    /// When the process ended or the limit passed.
    pub fn wait_ready<T>(
        &mut self,
        limit: Duration,
        what: &str,
        mut ready: impl FnMut(&Self) -> Option<T>,
    ) -> Result<T, LabError> {
        let outcome = wait_until(limit, what, || match self.ended() {
            Some(status) => Some(Err(status)),
            None => ready(self).map(Ok),
        });
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(status)) => Err(LabError::Failed {
                command: what.to_owned(),
                status: status.to_string(),
                output: self.last_lines(),
            }),
            Err(_) => {
                let detail = format!("; its log ends with:\n{}", self.last_lines());
                Err(LabError::Timeout { what: what.to_owned(), limit, detail })
            }
        }
    }

    /// SIGKILL: no chance to tidy up. Returns when the process is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM, and SIGKILL for what has not ended within the limit.
    ///
    /// # Errors
    /// When the limit passed.
    pub fn terminate(self, limit: Duration) -> Result<ExitStatus, LabError> {
        signal("TERM", self.id());
        self.wait(limit)
    }

    /// SIGINT, as Ctrl-C sends it, and SIGKILL for what has not ended within the limit.
    ///
    /// # Errors
    /// When the limit passed.
    pub fn interrupt(self, limit: Duration) -> Result<ExitStatus, LabError> {
        signal("INT", self.id());
        self.wait(limit)
    }

    /// Waits for its end; SIGKILL for what has not ended within the limit.
    ///
    /// # Errors
    /// When the limit passed.
    pub fn wait(mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        wait_until(limit, "end of a process", || self.ended())
    }

    /// Leaves it running when this value is dropped.
    pub fn leave(mut self) {
        self.left = true;
    }

    fn last_lines(&self) -> String {
        let text = self.printed();
        let lines = text.lines().collect::<Vec<_>>();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    fn end(&mut self) {
        // Both fail only when the process is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.left {
            self.end();
        }
    }
}

/// A log of its own for each process, also for the second of the same name.
fn new_log(directory: &Path, name: &str) -> Result<(File, PathBuf), LabError> {
    let names = (1_u32..).map(|number| match number {
        1 => format!("{name}.log"),
        _ => format!("{name}.{number}.log"),
    });
    for log in names.map(|name| directory.join(name)) {
        match File::create_new(&log) {
            Ok(file) => return Ok((file, log)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(LabError::file(&log, source)),
        }
    }
    Err(LabError::file(directory, io::ErrorKind::AlreadyExists.into()))
}

/// Sends a signal by name to one process.
pub(super) fn signal(name: &str, process: u32) {
    // The process may be gone already.
    let _ = node::run(Command::new("kill").args(["-s", name, "--", &process.to_string()]));
}
