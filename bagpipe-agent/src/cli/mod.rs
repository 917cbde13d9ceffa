//! The command line: the daemon, and a client of its API.

mod agent;
mod attract;
mod client;
mod configuration;
pub mod demo;
mod explain;
mod explain_route;
mod fallback;
mod impex;
mod mac;
mod map;
mod monitor;
mod netns;
mod network;
mod peer;
mod peer_view;
mod port;
mod reload;
mod rows;
mod show;
mod table;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::{self, DEFAULT_INSTANCE};
use client::{CallError, Client};

/// BGP E-VPN in eBPF: one daemon per node, and the commands that talk to it.
#[derive(Debug, Parser)]
#[command(name = "bagpipe", version, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Args)]
struct Global {
    /// Name of the agent, when several run on one kernel
    #[arg(long, global = true, value_name = "NAME", default_value = DEFAULT_INSTANCE, value_parser = instance_name)]
    instance: String,
    /// Unix socket of the agent's API [default: /run/bagpipe/bagpipe.sock, or that of the instance]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon
    Agent(agent::AgentArgs),
    /// Show it all in network namespaces of its own, step by step
    Demo(demo::DemoArgs),
    /// Read configuration files
    Config {
        #[command(subcommand)]
        command: configuration::ConfigCommand,
    },
    /// Attach a port to a VPN instance, which the first attach creates
    Attach(Box<port::AttachArgs>),
    /// Detach a port from a VPN instance, which the last detach removes
    Detach(port::DetachArgs),
    /// Name networks, each with a route target of its own
    Network {
        #[command(subcommand)]
        command: network::NetworkCommand,
    },
    /// Print the graph of imports and exports of the VPN instances
    Impex(impex::ImpexArgs),
    /// Say how the agent is; exit code 4 if it is degraded
    Status(Output),
    /// Show what the agent knows
    Show {
        /// What to show
        what: show::What,
        /// Routes: where the IP prefixes of this VPN instance are
        #[arg(long, value_name = "NAME")]
        vpn: Option<String>,
        #[command(flatten)]
        routes: show::RouteArgs,
        #[command(flatten)]
        output: Output,
    },
    /// Say why packets of a VPN instance for an address go where they go, and where they stop; or what became of a route
    Explain {
        /// Name of the VPN instance that packets come from
        #[arg(long, value_name = "NAME", requires = "ip", required_unless_present = "route")]
        vpn: Option<String>,
        /// Where they go
        #[arg(long, value_name = "ADDRESS", requires = "vpn")]
        ip: Option<std::net::IpAddr>,
        /// A route as `show routes -o json` has it in `route`, or what that begins with
        #[arg(long, conflicts_with_all = ["vpn", "ip"])]
        route: Option<String>,
        #[command(flatten)]
        output: Output,
    },
    /// Print what happens, as it happens, a line for each event
    Monitor {
        /// What to watch
        what: monitor::What,
        #[command(flatten)]
        output: Output,
    },
    /// End sessions with BGP peers, and let them begin again
    Peer {
        #[command(subcommand)]
        command: peer::PeerCommand,
    },
    /// Have the agent read its configuration file again; sessions that nothing has changed for go on
    Reload(Output),
    /// Let MAC addresses move again that moved too often
    Mac {
        #[command(subcommand)]
        command: mac::MacCommand,
    },
    /// Read the pinned BPF maps, with or without a running agent
    Map {
        #[command(subcommand)]
        command: map::MapCommand,
    },
    /// Remove programs, maps and devices that a stopped agent left forwarding
    Cleanup(Output),
    /// Print completions for a shell
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Print the version
    Version(Output),
}

#[derive(Clone, Copy, Debug, Args)]
struct Output {
    /// How to print
    #[arg(short = 'o', long = "output", value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Exit code 2.
    #[error("{0}")]
    Invalid(String),
    /// Exit code 3.
    #[error("{0}")]
    Unreachable(String),
    /// Exit code 4: what there is to say has been printed.
    #[error("degraded")]
    Degraded,
}

impl Failure {
    /// For [`Result::map_err`], of errors that name thing, cause and remedy themselves.
    pub(crate) fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_) => 1,
            Self::Invalid(_) => 2,
            Self::Unreachable(_) => 3,
            Self::Degraded => 4,
        })
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable { .. } => Self::Unreachable(error.to_string()),
            CallError::Refused(_) | CallError::Broken(_) => Self::Failed(error.to_string()),
        }
    }
}

/// Reads the command line, does what it says, and gives the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let Cli { global, command } = Cli::parse();
    match run(&global, command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::Degraded) {
                eprintln!("bagpipe: {failure}");
            }
            failure.code()
        }
    }
}

fn run(global: &Global, command: Command) -> Result<(), Failure> {
    match command {
        Command::Agent(args) => agent::run(&args, &global.instance),
        Command::Demo(args) => demo::run(args).map_err(Failure::failed),
        Command::Config { command } => configuration::run(&command, &global.instance),
        Command::Attach(args) => port::attach(*args, &global.client()),
        Command::Detach(args) => port::detach(args, &global.client()),
        Command::Network { command } => network::run(&command, &global.client()),
        Command::Impex(args) => impex::run(&args, &global.client()),
        Command::Status(output) => show::status(&global.client(), output.format),
        Command::Show { what: show::What::Peers, vpn: None, routes, output }
            if let Some(peer) = routes.only_peer() =>
        {
            peer_view::show(peer, &global.client(), output.format)
        }
        Command::Show { what, vpn, routes, output } => match routes.request() {
            Some(_) if what != show::What::Routes || vpn.is_some() => {
                Err(Failure::Invalid(show::RouteArgs::MISPLACED.to_owned()))
            }
            Some(request) => show::routes(&request, &global.client(), output.format),
            None => show::show(what, vpn.as_deref(), &global.client(), output.format),
        },
        Command::Explain { vpn, ip, route, output } => match (vpn, ip, route) {
            (_, _, Some(route)) => explain_route::explain(&route, &global.client(), output.format),
            (Some(vpn), Some(ip), None) => explain::explain(&vpn, ip, &global.client(), output.format),
            _ => Err(Failure::Invalid("give --vpn and --ip, or --route".to_owned())),
        },
        Command::Monitor { what, output } => monitor::run(what, &global.client(), output.format),
        Command::Peer { command } => peer::run(&command, &global.client()),
        Command::Reload(output) => reload::run(&global.client(), output.format),
        Command::Mac { command } => mac::run(&command, &global.client()),
        Command::Map { command } => map::run(&command, global),
        Command::Cleanup(output) => map::cleanup(global, output.format),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "bagpipe", &mut std::io::stdout());
            Ok(())
        }
        Command::Man => print_manual(),
        Command::Version(output) => print_version(output.format),
    }
}

impl Global {
    fn client(&self) -> Client {
        let socket = self.socket.clone().unwrap_or_else(|| config::default_socket(&self.instance));
        Client::new(socket, &self.instance)
    }
}

fn print_manual() -> Result<(), Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page).map_err(Failure::failed)?;
    print(&String::from_utf8_lossy(&page))
}

fn print_version(format: Format) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match format {
        Format::Table => print(&format!("bagpipe {version}\n")),
        Format::Json => print_json(&serde_json::json!({ "version": version })),
    }
}

/// Writes to standard output; a reader that has gone (`| head`) is no failure.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}

fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print(&format!("{value:#}\n"))
}

fn instance_name(text: &str) -> Result<String, &'static str> {
    if config::is_instance_name(text) {
        return Ok(text.to_owned());
    }
    Err("use 1 to 12 letters, digits, '-' and '_', not starting with '-'")
}
