//! `bagpipe agent`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Failure, configuration, print};
use crate::config::DEFAULT_FILE;
use crate::{log, run};

#[derive(Debug, Args)]
pub(super) struct AgentArgs {
    /// Configuration file; one of bagpipe-bgp if it ends in .conf
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    /// Check the configuration and exit: 0 if it is valid, 2 if not
    #[arg(long)]
    check: bool,
}

pub(super) fn run(args: &AgentArgs, instance: &str) -> Result<(), Failure> {
    let (config, ignored) = configuration::load(&args.config, instance)?;
    let exposed = config.has_password() && is_open_to_others(&args.config);
    let exposure =
        format!("{} has a password and can be read by others; chmod 600 {0}", args.config.display());
    if args.check {
        let warnings = ignored.iter().chain(exposed.then_some(&exposure));
        let warnings: String = warnings.map(|warning| format!("warning: {warning}\n")).collect();
        return print(&format!("{warnings}{}: valid\n", args.config.display()));
    }
    log::init();
    ignored.iter().for_each(|ignored| tracing::warn!("{ignored}"));
    if exposed {
        tracing::warn!("{exposure}");
    }
    // One thread owns all state; a second would only wait for it.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::failed)?;
    runtime.block_on(run::run(config, args.config.clone())).map_err(Failure::failed)
}

/// Whether the mode of a file lets others than its owner and its group read it.
fn is_open_to_others(path: &Path) -> bool {
    const READ_BY_OTHERS: u32 = 0o004;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & READ_BY_OTHERS != 0)
}
