//! Reading the configuration, whichever of the two kinds it is, and `bagpipe config`.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::{Failure, print};
use crate::config::{Config, ConfigError, Converted, System, convert, is_predecessors};
use crate::dataplane;

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a configuration file of bagpipe-bgp as one of this agent
    Convert {
        /// The file, such as /etc/bagpipe-bgp/bgp.conf
        file: PathBuf,
    },
}

pub(super) fn run(command: &ConfigCommand, instance: &str) -> Result<(), Failure> {
    let ConfigCommand::Convert { file } = command;
    let converted = read_predecessors(file).map_err(invalid)?;
    Config::parse(&converted.toml, file, instance).map_err(invalid)?;
    let notes: String = converted.ignored.iter().map(|ignored| format!("# {ignored}\n")).collect();
    print(&format!("{}{notes}", converted.toml))
}

/// A configuration, and what of its file is ignored.
pub(super) fn load(path: &Path, instance: &str) -> Result<(Config, Vec<String>), Failure> {
    if !is_predecessors(path) {
        return Config::load(path, instance).map(|config| (config, Vec::new())).map_err(invalid);
    }
    let converted = read_predecessors(path).map_err(invalid)?;
    let config = Config::parse(&converted.toml, path, instance).map_err(invalid)?;
    Ok((config, converted.ignored))
}

fn read_predecessors(path: &Path) -> Result<Converted, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    convert(&text, path, &System { address_of: &address_of, interface_of: &interface_of })
}

fn address_of(interface: &str) -> Option<IpAddr> {
    dataplane::address_of(interface).ok().flatten()
}

fn interface_of(address: IpAddr) -> Option<String> {
    dataplane::interface_of(address).ok().flatten()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn invalid(error: ConfigError) -> Failure {
    Failure::Invalid(error.to_string())
}
