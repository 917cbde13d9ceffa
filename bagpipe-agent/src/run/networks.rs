//! Calls about named networks.

use bytes::Bytes;
use serde::Serialize;

use super::Agent;
use crate::api::{Answer, NetworkAction, NetworkRequest, Refused};
use crate::vpn::networks::{Network, NetworkError};

/// A network, and who uses it.
#[derive(Debug, Serialize)]
pub(super) struct NetworkView {
    #[serde(flatten)]
    network: Network,
    /// VPN instances that import or export its route target.
    used_by: Vec<String>,
}

impl Agent {
    /// Makes or removes a network; the answer is the network.
    pub(super) fn network(&mut self, action: NetworkAction, request: &NetworkRequest) -> Answer {
        let NetworkRequest { name, vni } = request;
        let outcome = match action {
            NetworkAction::Create => self.engine.create_network(name, *vni, &self.config.route_targets),
            NetworkAction::Delete => {
                let view = self.networks().find(|view| view.network.name == *name);
                match view.map(|view| view.used_by).filter(|users| !users.is_empty()) {
                    Some(users) => Err(NetworkError::Used { name: name.clone(), vpn: users.join("', '") }),
                    None => self.engine.delete_network(name),
                }
            }
        };
        let network = outcome.map_err(|error| Refused(error.to_string()))?;
        let done = if action == NetworkAction::Create { "created" } else { "deleted" };
        tracing::info!("network {}, route target {}: {done}", name.escape_debug(), network.route_target);
        drop(self.settle());
        serde_json::to_vec(&network).map(Bytes::from).map_err(|error| Refused(error.to_string()))
    }

    pub(super) fn networks(&self) -> impl Iterator<Item = NetworkView> + '_ {
        self.engine.networks().map(|network| {
            let target = network.route_target;
            let users = self.engine.vpns();
            let users =
                users.filter(|vpn| vpn.import_rt.contains(&target) || vpn.export_rt.contains(&target));
            NetworkView { network: network.clone(), used_by: users.map(|vpn| vpn.name).collect() }
        })
    }
}
