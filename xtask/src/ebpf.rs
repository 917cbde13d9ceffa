//! The eBPF programs: a compiler for them, the linker, the build.
//!
//! A compiler is needed that has, or builds, `core` for BPF. Two do: Debian's `rustc-web` beside
//! `libstd-rust-web-dev-bpf`, and a rustup nightly with `rust-src`. The linker reads the compiler's bitcode, so
//! it is built with the same LLVM.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use crate::command::{TaskError, answer, cargo, find, run, say};
use crate::setup;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/bpfel-unknown-none/lib";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev-bpf", "llvm-22-dev"];

const LINKER: &str = "bpf-linker";
const LINKER_VERSION: &str = "0.13.0";

const TARGET: &str = "bpfel-unknown-none";

/// A compiler for BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compiler {
    /// Debian's, with a compiled `core`.
    Debian,
    /// A rustup nightly, with the source of `core`.
    Nightly,
}

/// Makes sure that there is a compiler and a linker.
pub(crate) fn ensure_toolchain() -> Result<(), TaskError> {
    let compiler = match Compiler::find() {
        Some(compiler) => compiler,
        None => Compiler::install()?,
    };
    if find(LINKER).is_none() {
        say("bpf-linker is missing: it links the eBPF programs (about a minute)");
        install_linker(compiler)?;
    }
    Ok(())
}

/// What the programs tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Counters.
    Counters,
    /// Counters, and a line in the agent's log for each drop: slow, for debugging.
    Log,
}

impl Telling {
    /// Where cargo builds, and so that neither build undoes the other, each has its own place.
    const fn directory(self) -> &'static str {
        match self {
            Self::Counters => "target/bpf",
            Self::Log => "target/bpf-log",
        }
    }

    /// The object that is built.
    pub(crate) fn object(self) -> PathBuf {
        [self.directory(), TARGET, "bpf", "bagpipe-ebpf"].iter().collect()
    }
}

/// Builds the programs.
pub(crate) fn build(telling: Telling) -> Result<(), TaskError> {
    let compiler = Compiler::find().ok_or_else(Compiler::missing)?;
    let mut command = match compiler {
        Compiler::Debian => {
            let mut command = cargo();
            // `core` was compiled by this compiler, and only this one can use it.
            command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("build");
            command
        }
        Compiler::Nightly => {
            let mut command = Command::new("rustup");
            command.env_remove("CARGO").env_remove("RUSTC");
            command.args(["run", "nightly", "cargo", "build", "-Z", "build-std=core"]);
            command
        }
    };
    // Flags for this machine's processor are not for BPF; those for BPF are in `.cargo/config.toml`.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    command.env("PATH", path_with_linker()?);
    let features: &[&str] = if telling == Telling::Log { &["--features", "log"] } else { &[] };
    run(command
        .args(["--package", "bagpipe-ebpf", "--target", TARGET, "--profile", "bpf"])
        .args(["--target-dir", telling.directory()])
        .args(features))
}

impl Compiler {
    fn find() -> Option<Self> {
        if Path::new(DEBIAN_RUSTC).exists() && Path::new(DEBIAN_CORE).exists() {
            return Some(Self::Debian);
        }
        let sysroot = answer("rustup", &["run", "nightly", "rustc", "--print", "sysroot"])?;
        let source = Path::new(&sysroot).join("lib/rustlib/src/rust/library/core/Cargo.toml");
        source.exists().then_some(Self::Nightly)
    }

    fn install() -> Result<Self, TaskError> {
        say("a compiler for BPF is missing: it builds the eBPF programs");
        let debian = DEBIAN_PACKAGES.iter().all(|package| is_installable(package));
        if debian {
            setup::install(&DEBIAN_PACKAGES)?;
        } else if find("rustup").is_some() {
            run(Command::new("rustup")
                .args(["toolchain", "install", "nightly", "--profile", "minimal"])
                .args(["--component", "rust-src"]))?;
        }
        Self::find().ok_or_else(Self::missing)
    }

    fn missing() -> TaskError {
        TaskError::Missing {
            what: "no compiler for BPF: neither Debian's rustc-web nor a rustup nightly with rust-src"
                .to_owned(),
            remedy: format!(
                "    sudo apt-get install --no-install-recommends {}    # Debian\n    \
                 rustup toolchain install nightly --profile minimal --component rust-src    # others",
                DEBIAN_PACKAGES.join(" ")
            ),
        }
    }

    /// The major version of its LLVM.
    fn llvm(self) -> Option<u32> {
        let version = match self {
            Self::Debian => answer(DEBIAN_RUSTC, &["-vV"]),
            Self::Nightly => answer("rustup", &["run", "nightly", "rustc", "-vV"]),
        }?;
        let line = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?;
        line.split('.').next()?.parse().ok()
    }
}

fn install_linker(compiler: Compiler) -> Result<(), TaskError> {
    let llvm = compiler.llvm().ok_or_else(Compiler::missing)?;
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    let package = format!("llvm-{llvm}-dev");
    // It links the C++ library that LLVM is written with.
    let complete = prefix.join("bin/llvm-config").exists() && find("c++").is_some();
    if !complete && is_installable(&package) {
        setup::install(&[&package, "g++"])?;
    }
    let feature = format!("llvm-{llvm}");
    let mut command = cargo();
    command.args(["install", LINKER, "--version", LINKER_VERSION, "--locked", "--no-default-features"]);
    command.args(["--features", &feature]);
    if prefix.exists() {
        command.env("LLVM_PREFIX", &prefix);
    }
    run(&mut command).map_err(|error| TaskError::Missing {
        what: format!("bpf-linker could not be built: {error}"),
        remedy: format!(
            "    sudo apt-get install --no-install-recommends {package} g++    # or LLVM {llvm} from your distribution\n    \
             LLVM_PREFIX=/usr/lib/llvm-{llvm} cargo install {LINKER} --version {LINKER_VERSION} --locked \
             --no-default-features --features {feature}"
        ),
    })
}

/// The linker need not be in the user's `PATH`, but rustc looks for it there.
fn path_with_linker() -> Result<std::ffi::OsString, TaskError> {
    let linker = find(LINKER).and_then(|linker| fs::canonicalize(linker).ok());
    let directory = linker.and_then(|linker| Some(linker.parent()?.to_owned()));
    let directory = directory.ok_or_else(|| TaskError::Missing {
        what: format!("{LINKER} is missing"),
        remedy: "    cargo xtask setup".to_owned(),
    })?;
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = std::iter::once(directory).chain(env::split_paths(&path));
    env::join_paths(directories).map_err(|error| TaskError::File {
        path: PathBuf::from("PATH"),
        source: std::io::Error::other(error),
    })
}

/// Whether apt knows a version of a package that it could install.
fn is_installable(package: &str) -> bool {
    let policy = answer("apt-cache", &["policy", package]).unwrap_or_default();
    policy.lines().any(|line| line.trim().starts_with("Candidate:") && !line.contains("(none)"))
}
