//! Counters in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use super::Agent;
use crate::dataplane::Traffic;

impl Agent {
    pub(super) fn metrics(&self) -> String {
        let status = self.status();
        let mut page = Page::default();
        page.family("bagpipe_peers", "gauge", "Known BGP peers.").sample("", status.peers.total);
        page.family("bagpipe_peers_established", "gauge", "BGP peers with an established session.")
            .sample("", status.peers.established);
        page.family("bagpipe_routes", "gauge", "Routes received from peers.").sample("", status.routes);
        page.family("bagpipe_vpns", "gauge", "VPN instances.").sample("", status.vpns);
        page.family("bagpipe_ports", "gauge", "Attached ports.").sample("", status.ports);
        let counters = self.dataplane.counters();
        let drops = page.family("bagpipe_drops_total", "counter", "Packets dropped, by reason.");
        for drop in &counters.drops {
            drops.sample(&format!("{{reason=\"{}\"}}", drop.reason), drop.packets);
        }
        let vpns: BTreeMap<_, _> = self.engine.vpns().map(|vpn| (vpn.number, label(&vpn.name))).collect();
        let ports = self.engine.ports().filter_map(|port| {
            let labels = format!("{{vpn=\"{}\",port=\"{}\"}}", label(&port.vpn), label(&port.interface));
            Some((labels, *counters.ports.get(&port.number)?))
        });
        let vpns = vpns
            .iter()
            .filter_map(|(number, name)| Some((format!("{{vpn=\"{name}\"}}"), *counters.vpns.get(number)?)));
        page.traffic("port", &ports.collect::<Vec<_>>());
        page.traffic("vpn", &vpns.collect::<Vec<_>>());
        page.text
    }
}

#[derive(Default)]
struct Page {
    text: String,
    name: String,
}

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) -> &mut Self {
        self.name = name.to_owned();
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        self
    }

    /// What came from ports and went to them, of each thing of a kind.
    fn traffic(&mut self, kind: &str, counted: &[(String, Traffic)]) {
        type Field = fn(&Traffic) -> u64;
        let families: [(&str, &str, Field); 4] = [
            ("receive_packets", "Packets that came from ports", |traffic| traffic.rx_packets),
            ("receive_bytes", "Bytes that came from ports", |traffic| traffic.rx_bytes),
            ("transmit_packets", "Packets delivered to ports", |traffic| traffic.tx_packets),
            ("transmit_bytes", "Bytes delivered to ports", |traffic| traffic.tx_bytes),
        ];
        for (name, help, field) in families {
            let family = self.family(
                &format!("bagpipe_{kind}_{name}_total"),
                "counter",
                &format!("{help}, by {kind}."),
            );
            for (labels, traffic) in counted {
                family.sample(labels, field(traffic));
            }
        }
    }

    fn sample(&mut self, labels: &str, value: impl Display) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.text, "{line}");
    }
}

/// A label's value, in which three characters have another meaning.
fn label(text: &str) -> String {
    text.replace('\\', r"\\").replace('"', r#"\""#).replace('\n', r"\n")
}
