//! Ports that packets only leave by, by their interface: an interface may be that of several, and of a port that frames
//! come in by besides.

use std::collections::BTreeSet;

use crate::fib::{Port, PortId, on_trunk};

/// All such ports.
#[derive(Debug, Default)]
pub(crate) struct Egress(BTreeSet<(String, PortId)>);

impl Egress {
    /// A port came, changed or went.
    pub(crate) fn replace(&mut self, port: PortId, before: Option<&Port>, after: Option<&Port>) {
        let place = |value: &Port| (on_trunk(&value.interface).0.to_owned(), port);
        if let Some(before) = before.filter(|before| before.egress) {
            self.0.remove(&place(before));
        }
        self.0.extend(after.filter(|after| after.egress).map(place));
    }

    /// Those on an interface.
    pub(crate) fn on(&self, interface: &str) -> impl Iterator<Item = PortId> {
        let first = (interface.to_owned(), PortId::MIN);
        let last = (interface.to_owned(), PortId::MAX);
        self.0.range(first..=last).map(|(_, port)| *port)
    }
}
