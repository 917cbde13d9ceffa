//! Installs what is missing, or says how to. Looks first: when all is there, nothing is run as root and nothing
//! is fetched.

use crate::command::{TaskError, as_root, cargo, find, run, say};
use crate::ebpf;
use crate::need::{NEEDS, Need, Purpose};

const CARGO_DENY: &str = "0.20.2";
const CARGO_FUZZ: &str = "0.13.2";

/// Installs packages without starting the services in them: they are for namespaces of the tests' own. Debian's
/// way to say so is a file, which is taken away again also after an interrupt.
const INSTALL: &str = r#"
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
"#;

/// Makes sure that everything for these purposes is there.
pub(crate) fn ensure(purposes: &[Purpose]) -> Result<(), TaskError> {
    let missing =
        NEEDS.iter().filter(|need| purposes.contains(&need.purpose) && !need.is_there()).collect::<Vec<_>>();
    install_programs(&missing)?;
    if purposes.contains(&Purpose::Build) {
        ebpf::ensure_toolchain()?;
    }
    if purposes.contains(&Purpose::Check) {
        ensure_components()?;
        ensure_tool("cargo-deny", CARGO_DENY, "it checks the licences and sources of dependencies")?;
    }
    if purposes.contains(&Purpose::Fuzz) {
        ensure_tool("cargo-fuzz", CARGO_FUZZ, "it builds and runs the fuzz targets")?;
    }
    Ok(())
}

/// Installs Debian packages, as root.
pub(crate) fn install(packages: &[&str]) -> Result<(), TaskError> {
    say(&format!("installing packages as root, without starting their services: {}", packages.join(" ")));
    let mut command = as_root("sh");
    let status = command.args(["-c", INSTALL, "xtask-setup"]).args(packages).status();
    let failed = |status: String| TaskError::Missing {
        what: format!("the packages could not be installed: {status}"),
        remedy: format!("    sudo apt-get install --no-install-recommends {}", packages.join(" ")),
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(status.to_string())),
        Err(error) => Err(failed(format!("cannot start sudo: {error}"))),
    }
}

/// Whether this machine installs Debian packages.
pub(crate) fn has_apt() -> bool {
    find("apt-get").is_some()
}

fn install_programs(missing: &[&Need]) -> Result<(), TaskError> {
    if missing.is_empty() {
        return Ok(());
    }
    for need in missing {
        say(&format!("{} is missing: it {}", need.program, need.reason));
    }
    if has_apt() {
        return install(&packages(missing, |need| need.debian));
    }
    let programs = missing.iter().map(|need| need.program).collect::<Vec<_>>().join(", ");
    Err(TaskError::Missing {
        what: format!("missing programs: {programs}"),
        remedy: format!(
            "    sudo dnf install {}    # Fedora and relatives\n    the packages that bring {programs}    # others",
            packages(missing, |need| need.fedora).join(" "),
        ),
    })
}

fn packages(missing: &[&Need], name: fn(&Need) -> &'static str) -> Vec<&'static str> {
    let mut names = missing.iter().map(|need| name(need)).collect::<Vec<_>>();
    names.sort_unstable();
    names.dedup();
    names
}

fn ensure_components() -> Result<(), TaskError> {
    for component in ["rustfmt", "clippy"] {
        let program = format!("cargo-{}", component.trim_start_matches("rust"));
        if find(&program).is_none() {
            return Err(TaskError::Missing {
                what: format!("cargo's {component} is missing"),
                remedy: format!("    rustup component add {component}"),
            });
        }
    }
    Ok(())
}

/// Installs a tool of cargo's in a version that is known to do.
fn ensure_tool(name: &str, version: &str, reason: &str) -> Result<(), TaskError> {
    if find(name).is_some() {
        return Ok(());
    }
    say(&format!("{name} is missing: {reason}"));
    run(cargo().args(["install", name, "--locked", "--version", version]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_package_is_installed_once() {
        let all = NEEDS.iter().collect::<Vec<_>>();
        let names = packages(&all, |need| need.debian);
        assert_eq!(names.iter().filter(|name| **name == "procps").count(), 1);
        assert!(names.contains(&"frr"));
    }
}
