//! Calls of the API, and their answers. Those that came together are taken together.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use super::Agent;
use super::attachments::Taken;
use crate::api::{Answer, Call, LookRequest, MacRequest, PeerAction, PeerRequest, Refused, Request};

impl Agent {
    /// Answers calls that came together, in their order. What they attach and detach is written at once.
    pub(super) fn answer(&mut self, requests: Vec<Request>) {
        if requests.iter().any(|request| matches!(request.call, Call::Attach(_))) {
            // An interface is often attached at once after it was made.
            self.dataplane.catch_up();
        }
        let mut taken = Vec::new();
        for request in requests {
            let goes_along = match &request.call {
                Call::Attach(_) => true,
                // What is detached again can't be taken back.
                Call::Detach(_) => !taken.iter().any(Taken::has_added),
                _ => false,
            };
            if !goes_along {
                self.conclude(std::mem::take(&mut taken));
            }
            self.call(request, &mut taken);
        }
        self.conclude(taken);
    }

    /// Answers a call at once, or takes it. A client that has gone meanwhile does not change what was done.
    fn call(&mut self, Request { call, reply }: Request, taken: &mut Vec<Taken>) {
        let answer = match call {
            Call::Attach(asked) => return taken.extend(self.take_attach(asked, reply)),
            Call::Detach(asked) => return taken.extend(self.take_detach(&asked, reply)),
            Call::View(view) => self.view(view),
            Call::Routes(filter) => self.filtered_routes(&filter),
            Call::Look(look) => self.answer_look(&look),
            Call::Explain(explain) => self.explain(&explain),
            Call::ExplainRoute(question) => self.explain_route(&question),
            Call::Monitor(topic, feed) => {
                let added = self.observers.add(topic, feed);
                self.engine.watch_paths(self.observers.watch_paths());
                added.map(|()| NULL).map_err(refused)
            }
            Call::Reload => self.reload(),
            Call::Peer(action, peer) => self.peer(action, &peer),
            Call::ReleaseMac(mac) => self.release_mac(&mac),
            Call::Network(action, network) => self.network(action, &network),
        };
        drop(reply.send(answer));
    }

    fn answer_look(&self, request: &LookRequest) -> Answer {
        let found = self.look(&request.path, &request.root);
        found.map(|value| Bytes::from(value.to_string())).ok_or_else(|| {
            let place = request.path.join("/");
            Refused(format!("No such looking glass object: {place} at {}", request.root))
        })
    }

    fn peer(&mut self, action: PeerAction, request: &PeerRequest) -> Answer {
        let PeerRequest { address, message } = request;
        let unknown = || Refused(format!("{address} is not a peer; `bagpipe show peers` lists them"));
        let peer = self.engine.peer_at(*address).ok_or_else(unknown)?;
        let now = Instant::now();
        match action {
            PeerAction::Shutdown => self.engine.shut_down_peer(peer, message, now),
            PeerAction::Reset => self.engine.reset_peer(peer, message, now),
            PeerAction::Enable => self.engine.enable_peer(peer, now),
        }
        drop(self.settle());
        Ok(NULL)
    }

    fn release_mac(&mut self, request: &MacRequest) -> Answer {
        let MacRequest { vpn_instance_id: vpn, mac_address: mac } = request;
        let released = self.engine.release_mac(vpn, *mac, Instant::now());
        drop(self.settle());
        match released {
            Some(true) => Ok(NULL),
            Some(false) => {
                Err(Refused(format!("{mac} is not frozen; `bagpipe status` names those that are")))
            }
            None => Err(Refused(format!("VPN instance '{vpn}' could not be found"))),
        }
    }
}

/// What bagpipe-bgp answers.
pub(super) const NULL: Bytes = Bytes::from_static(b"null");

pub(super) fn refused(error: impl fmt::Display) -> Refused {
    Refused(error.to_string())
}
