//! Takes the eBPF object into the binary. Building it takes another target and linker: `cargo xtask build-ebpf`.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where `cargo xtask build-ebpf` leaves the object.
const BUILT: &str = "../target/bpf/bpfel-unknown-none/bpf/bagpipe-ebpf";
/// Names another object.
const OVERRIDE: &str = "BAGPIPE_EBPF_OBJECT";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={OVERRIDE}");
    let from = match env::var_os(OVERRIDE) {
        Some(path) => PathBuf::from(path),
        None => Path::new(&variable("CARGO_MANIFEST_DIR")?).join(BUILT),
    };
    println!("cargo::rerun-if-changed={}", from.display());
    let to = Path::new(&variable("OUT_DIR")?).join("bagpipe-ebpf");
    match fs::read(&from) {
        Ok(object) => fs::write(to, object),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            println!(
                "cargo::warning=no eBPF object at {}: the agent is built without its data plane; \
                 'cargo xtask build-ebpf' builds the object",
                from.display()
            );
            fs::write(to, [])
        }
        Err(error) => Err(error),
    }
}

fn variable(name: &str) -> io::Result<String> {
    env::var(name).map_err(|error| io::Error::other(format!("{name}: {error}")))
}
