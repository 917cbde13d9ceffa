//! Calls of the API: attach, detach, and the answers to both.

use std::fmt;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::Agent;
use crate::api::{Answer, Call, LookRequest, MacRequest, PeerAction, PeerRequest, Refused, Request};
use crate::vpn::request::{AttachRequest, Detach, DetachRequest, LocalPort};

impl Agent {
    /// Answers a call, at once or when what it changed is stored. A client that has gone meanwhile does not change
    /// what was done.
    pub(super) fn call(&mut self, request: Request) {
        let answer = match request.call {
            Call::View(view) => return drop(request.reply.send(self.view(view))),
            Call::Routes(filter) => return drop(request.reply.send(self.filtered_routes(&filter))),
            Call::Look(look) => return drop(request.reply.send(self.answer_look(&look))),
            Call::Explain(explain) => return drop(request.reply.send(self.explain(&explain))),
            Call::ExplainRoute(question) => {
                return drop(request.reply.send(self.explain_route(&question)));
            }
            Call::Monitor(topic, feed) => {
                let added = self.observers.add(topic, feed);
                self.engine.watch_paths(self.observers.watch_paths());
                return drop(request.reply.send(added.map(|()| NULL).map_err(refused)));
            }
            Call::Reload => return drop(request.reply.send(self.reload())),
            Call::Peer(action, peer) => return drop(request.reply.send(self.peer(action, &peer))),
            Call::ReleaseMac(mac) => return drop(request.reply.send(self.release_mac(&mac))),
            Call::Network(action, network) => match self.network(action, &network) {
                Ok(answer) => return self.answer_when_stored(request.reply, answer),
                refused => return drop(request.reply.send(refused)),
            },
            Call::Attach(attach) => {
                let outcome = self.attach(&attach);
                log("attach", attach.iter().map(Endpoint::from), &outcome);
                outcome
            }
            Call::Detach(detach) => {
                let outcome = self.detach(&detach);
                log("detach", detach.iter().map(Endpoint::from), &outcome);
                outcome
            }
        };
        match answer {
            Ok(_) => self.answer_when_stored(request.reply, NULL),
            Err(refused) => drop(request.reply.send(Err(refused))),
        }
    }

    /// Answers when all that was changed so far outlives this process; at once when the store is out of order.
    fn answer_when_stored(&mut self, reply: oneshot::Sender<Answer>, answer: Bytes) {
        if self.saving.needed && self.saving.not_before.is_none() {
            self.saving.queued.push((reply, answer));
        } else if self.store.is_idle() {
            drop(reply.send(Ok(answer)));
        } else {
            self.saving.waiting.push((reply, answer));
        }
    }

    /// Answers who waited for a write.
    pub(super) fn answer_waiting(&mut self) {
        for (reply, answer) in self.saving.waiting.drain(..) {
            drop(reply.send(Ok(answer)));
        }
    }

    /// Attaches all or nothing, once the requests and the interface are found to be right. What has been answered
    /// forwards. Tells whether anything changed.
    fn attach(&mut self, requests: &[AttachRequest]) -> Result<bool, Refused> {
        let trunks = &self.config.ports.trunks;
        let requests: Vec<AttachRequest> = requests
            .iter()
            .map(|request| self.engine.in_network(&request.clone().on(trunks)).map_err(refused))
            .collect::<Result<_, _>>()?;
        for request in &requests {
            self.engine.check(request).map_err(refused)?;
            let attach = request.validate().map_err(refused)?;
            let fallback = attach.routed.as_ref().and_then(|routed| routed.fallback.as_ref());
            let leaves_by = fallback.map(|fallback| fallback.interface.as_str());
            for interface in attach.port.interface().into_iter().chain(leaves_by) {
                self.dataplane.interface(interface).map_err(refused)?;
            }
        }
        let mut added = Vec::new();
        let outcome = self.attach_each(&requests, &mut added);
        if outcome.is_err() {
            for request in added {
                self.take_back(request);
            }
            drop(self.settle());
        }
        outcome
    }

    /// Attaches one after the other, and says which of them were not attached before.
    fn attach_each<'a>(
        &mut self,
        requests: &'a [AttachRequest],
        added: &mut Vec<&'a AttachRequest>,
    ) -> Result<bool, Refused> {
        let mut changed = false;
        for request in requests {
            let attached = self.engine.attach(request, Instant::now()).map_err(refused)?;
            changed |= attached.changed;
            added.extend(attached.added.then_some(request));
        }
        match self.settle() {
            Err(error) if changed => Err(refused(error)),
            _ => Ok(changed),
        }
    }

    /// Detaches all or nothing. Tells whether anything changed.
    fn detach(&mut self, requests: &[DetachRequest]) -> Result<bool, Refused> {
        let mut detached: Vec<Detach> = Vec::new();
        let mut distinct = Vec::new();
        for request in requests {
            self.engine.check_detach(request).map_err(refused)?;
            let detach = request.validate().map_err(refused)?;
            // An address may be written in more than one way; the second would not be found any more.
            if !detached.contains(&detach) {
                detached.push(detach);
                distinct.push(request);
            }
        }
        let mut changed = false;
        for request in distinct {
            changed |= self.engine.detach(request, Instant::now()).map_err(refused)?.changed;
        }
        // What cannot be removed now is removed later; there is nothing that the client could do.
        drop(self.settle());
        Ok(changed)
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

    /// Undoes an attach that cannot forward: who was told that it failed will not detach it.
    fn take_back(&mut self, request: &AttachRequest) {
        let undo = DetachRequest {
            vpn_type: request.vpn_type.clone(),
            vpn_instance_id: request.vpn_instance_id.clone(),
            mac_address: request.mac_address.clone(),
            ip_address: request.ip_address.clone(),
            local_port: request.local_port.clone(),
        };
        if let Err(error) = self.engine.detach(&undo, Instant::now()) {
            tracing::error!("cannot take back an attach that failed: {error}");
        }
    }
}

/// What bagpipe-bgp answers.
const NULL: Bytes = Bytes::from_static(b"null");

fn refused(error: impl fmt::Display) -> Refused {
    Refused(error.to_string())
}

/// What a call is about, as the client named it.
#[derive(Default)]
struct Endpoint<'a> {
    vpn: Option<&'a str>,
    port: Option<&'a str>,
    mac: Option<&'a str>,
    ip: Option<&'a str>,
}

impl<'a> From<&'a AttachRequest> for Endpoint<'a> {
    fn from(request: &'a AttachRequest) -> Self {
        Self {
            vpn: request.vpn_instance_id.as_deref(),
            port: request.local_port.as_ref().and_then(LocalPort::name),
            mac: request.mac_address.as_deref(),
            ip: request.ip_address.as_deref(),
        }
    }
}

impl<'a> From<&'a DetachRequest> for Endpoint<'a> {
    fn from(request: &'a DetachRequest) -> Self {
        Self {
            vpn: request.vpn_instance_id.as_deref(),
            port: request.local_port.as_ref().and_then(LocalPort::name),
            mac: request.mac_address.as_deref(),
            ip: request.ip_address.as_deref(),
        }
    }
}

/// One line per call: a refused one as a warning, one that changed nothing for the curious only.
fn log<'a>(
    verb: &str,
    endpoints: impl ExactSizeIterator<Item = Endpoint<'a>> + Clone,
    outcome: &Result<bool, Refused>,
) {
    let Endpoint { vpn, port, mac, .. } = endpoints.clone().next().unwrap_or_default();
    let [vpn, port, mac] = [vpn, port, mac].map(|text| text.unwrap_or("-").escape_debug());
    let ips = endpoints.filter_map(|endpoint| endpoint.ip).collect::<Vec<_>>().join(",");
    let ips = if ips.is_empty() { "any" } else { &ips }.escape_debug();
    let what = format_args!("vpn={vpn} port={port} mac={mac} ips={ips}");
    match outcome {
        Ok(true) => tracing::info!("{verb} {what}"),
        Ok(false) => tracing::debug!("{verb} {what}: nothing to change"),
        Err(refused) => tracing::warn!("{verb} {what} refused: {refused}"),
    }
}
