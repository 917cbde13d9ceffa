//! What the kernel counts of a process.

use std::fs;

/// Resident memory in octets.
pub fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().expect("a number") * 1024.0
}

/// Seconds that all threads of a process have run.
pub fn processor_time(process: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("the process runs");
    tasks.filter_map(|task| running_time(&task.ok()?.path().join("schedstat").to_string_lossy())).sum()
}

/// Seconds that this thread has run.
pub fn own_time() -> f64 {
    running_time("/proc/thread-self/schedstat").expect("the kernel counts")
}

/// The first field: nanoseconds on a processor.
fn running_time(file: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e9)
}
