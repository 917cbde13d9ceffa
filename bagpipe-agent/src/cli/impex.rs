//! `bagpipe impex`: who exports to whom, as a graph.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use clap::{Args, ValueEnum};
use serde_json::Value;

use super::client::Client;
use super::rows::members;
use super::table::cell;
use super::{Failure, print};

#[derive(Debug, Args)]
pub(super) struct ImpexArgs {
    /// What to print [default: svg if Graphviz is there, else dot]
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<Picture>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Picture {
    /// The graph, for Graphviz
    Dot,
    /// A picture of it, which Graphviz draws
    Svg,
}

pub(super) fn run(args: &ImpexArgs, client: &Client) -> Result<(), Failure> {
    let (vpns, ports) = (client.view("vpns")?, client.view("ports")?);
    let graph = graph(members(&vpns, ""), members(&ports, ""));
    match (args.format, args.format == Some(Picture::Dot)) {
        (_, true) => print(&graph),
        (format, false) => match drawn(&graph) {
            Ok(picture) => print(&picture),
            Err(cause) if format.is_some() => Err(Failure::Failed(format!(
                "cannot run dot: {cause}; install graphviz, or use --format dot"
            ))),
            Err(_) => print(&graph),
        },
    }
}

fn drawn(graph: &str) -> std::io::Result<String> {
    let mut dot = Command::new("dot").arg("-Tsvg").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    // Graphviz reads all of it before it draws, so that it never waits for us to read.
    if let Some(mut input) = dot.stdin.take() {
        input.write_all(graph.as_bytes())?;
    }
    let output = dot.wait_with_output()?;
    if !output.status.success() {
        return Err(std::io::Error::other(output.status.to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Instances are boxes, route targets are circles: an arrow goes from what exports to what imports.
pub(super) fn graph(vpns: &[Value], ports: &[Value]) -> String {
    let mut text =
        "digraph import_export {\n  rankdir = LR;\n  node [fontname = \"Helvetica\"];\n".to_owned();
    let mut targets = BTreeSet::new();
    // Writing to a string does not fail.
    for vpn in vpns {
        let name = cell(vpn.get("name"));
        let label = format!("{}\\n{}", cell(vpn.get("type")), escaped(&name));
        let _ = writeln!(text, "  {} [shape = box, label = \"{label}\"];", node("vpn", &name));
        for target in members(vpn, "/import_rt").iter().filter_map(Value::as_str) {
            let _ = writeln!(text, "  {} -> {} [color = orange];", node("rt", target), node("vpn", &name));
            targets.insert(target);
        }
        for target in members(vpn, "/export_rt").iter().filter_map(Value::as_str) {
            let _ = writeln!(text, "  {} -> {} [color = orange];", node("vpn", &name), node("rt", target));
            targets.insert(target);
        }
        if let Some(ipvpn) = vpn.get("plugged_into").and_then(Value::as_str) {
            let _ = writeln!(text, "  {} -> {} [dir = none];", node("vpn", &name), node("vpn", ipvpn));
        }
    }
    for target in targets {
        let _ = writeln!(
            text,
            "  {} [shape = ellipse, color = orange, label = \"{}\"];",
            node("rt", target),
            escaped(target)
        );
    }
    for port in ports {
        let interface = cell(port.get("interface"));
        let _ = writeln!(
            text,
            "  {} [shape = plaintext, label = \"{}\"];",
            node("port", &interface),
            escaped(&interface)
        );
        let vpn = node("vpn", &cell(port.get("vpn")));
        let _ = writeln!(text, "  {vpn} -> {} [style = dashed, dir = none];", node("port", &interface));
    }
    text.push_str("}\n");
    text
}

fn node(kind: &str, name: &str) -> String {
    format!("\"{kind} {}\"", escaped(name))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
