//! `bagpipe agent`.

use std::path::PathBuf;

use clap::Args;

use super::{Failure, print};
use crate::config::{Config, DEFAULT_FILE};
use crate::{log, run};

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Check the configuration and exit: 0 if it is valid, 2 if not
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &AgentArgs, instance: &str) -> Result<(), Failure> {
    let config = Config::load(&args.config, instance).map_err(|error| Failure::Invalid(error.to_string()))?;
    if args.check {
        return print(&format!("{}: valid\n", args.config.display()));
    }
    log::init();
    // One thread owns all state; a second would only wait for it.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(run::run(config)).map_err(Failure::failed)
}
