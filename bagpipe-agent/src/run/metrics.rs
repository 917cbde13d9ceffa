//! Counters in the text format of Prometheus.

use std::fmt::{Display, Write};

use super::Agent;

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
        page.text
    }
}

#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> &mut Self {
        self.name = name;
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        self
    }

    fn sample(&mut self, labels: &str, value: impl Display) {
        let name = self.name;
        self.line(format_args!("{name}{labels} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{line}");
    }
}
