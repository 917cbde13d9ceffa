//! Attaching and detaching. Each call is checked and taken by itself, all or nothing; what comes of those that came
//! together is written to the maps at once, and stored at once, and then they are answered.

use std::fmt;
use std::time::Instant;

use tokio::sync::oneshot;

use super::Agent;
use super::calls::{NULL, refused};
use crate::api::{Answer, Refused};
use crate::vpn::request::{AttachRequest, Detach, DetachRequest, LocalPort};

/// A call that the engine has taken: what comes of it is to be written before it is answered.
pub(super) struct Taken {
    verb: Verb,
    /// What it is about, for the log.
    what: String,
    changed: bool,
    /// What was not attached before.
    added: Vec<AttachRequest>,
    reply: oneshot::Sender<Answer>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Attach,
    Detach,
}

impl Taken {
    /// Whether there is something to take back if it can't be written.
    pub(super) fn has_added(&self) -> bool {
        !self.added.is_empty()
    }

    /// Whether it fails when something can't be written. What cannot be removed now is removed later; there is nothing
    /// that the client could do.
    fn needs_writing(&self) -> bool {
        self.verb == Verb::Attach && self.changed
    }
}

impl Agent {
    /// Attaches what a call asks for; answers it if something is wrong with it.
    pub(super) fn take_attach(
        &mut self,
        asked: Vec<AttachRequest>,
        reply: oneshot::Sender<Answer>,
    ) -> Option<Taken> {
        let what = what(asked.iter().map(Endpoint::from));
        let mut added = Vec::new();
        match self.attach(asked, &mut added) {
            Ok(changed) => Some(Taken { verb: Verb::Attach, what, changed, added, reply }),
            Err(refused) => {
                self.take_back(added);
                refuse(Verb::Attach, &what, refused, reply);
                None
            }
        }
    }

    /// Detaches what a call names; answers it if something is wrong with it.
    pub(super) fn take_detach(
        &mut self,
        asked: &[DetachRequest],
        reply: oneshot::Sender<Answer>,
    ) -> Option<Taken> {
        let what = what(asked.iter().map(Endpoint::from));
        match self.detach(asked) {
            Ok(changed) => Some(Taken { verb: Verb::Detach, what, changed, added: Vec::new(), reply }),
            Err(refused) => {
                refuse(Verb::Detach, &what, refused, reply);
                None
            }
        }
    }

    /// Writes what comes of calls, and answers them.
    pub(super) fn conclude(&mut self, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        match self.settle() {
            Err(error) if taken.iter().any(Taken::needs_writing) => self.sort_out(taken, &refused(error)),
            _ => taken.into_iter().for_each(Self::succeed),
        }
    }

    /// Finds out which of the calls can't be written: they are taken back, and those that attached something anew are
    /// tried one after the other.
    fn sort_out(&mut self, mut taken: Vec<Taken>, error: &Refused) {
        let is_alone = taken.iter().filter(|taken| taken.needs_writing()).count() == 1;
        let added: Vec<_> = taken.iter_mut().map(|taken| std::mem::take(&mut taken.added)).collect();
        self.take_back(added.iter().flatten().cloned().collect());
        drop(self.settle());
        for (taken, added) in taken.into_iter().zip(added) {
            let outcome = match (taken.needs_writing(), is_alone || added.is_empty()) {
                (false, _) => Ok(()),
                // What it has changed of what was there before can't be told from what others have.
                (true, true) => Err(error.clone()),
                (true, false) => self.attach_again(added),
            };
            match outcome {
                Ok(()) => Self::succeed(taken),
                Err(refused) => {
                    tracing::warn!("{} {} failed: {refused}", taken.verb, taken.what);
                    drop(taken.reply.send(Err(refused)));
                }
            }
        }
    }

    fn attach_again(&mut self, requests: Vec<AttachRequest>) -> Result<(), Refused> {
        let attached = requests
            .iter()
            .try_for_each(|request| self.engine.attach(request, Instant::now()).map(drop).map_err(refused));
        let outcome = attached.and_then(|()| self.settle().map_err(refused));
        if outcome.is_err() {
            self.take_back(requests);
            drop(self.settle());
        }
        outcome
    }

    fn succeed(Taken { verb, what, changed, reply, .. }: Taken) {
        if changed {
            tracing::info!("{verb} {what}");
        } else {
            tracing::debug!("{verb} {what}: nothing to change");
        }
        drop(reply.send(Ok(NULL)));
    }

    /// Attaches all, once the requests and the interfaces are found to be right, and says which of them were not
    /// attached before. Tells whether anything changed.
    fn attach(&mut self, asked: Vec<AttachRequest>, added: &mut Vec<AttachRequest>) -> Result<bool, Refused> {
        let mut valid = Vec::with_capacity(asked.len());
        for request in asked {
            let request = self.engine.in_network(request.on(&self.config.ports.trunks)).map_err(refused)?;
            let attach = self.engine.check(&request).map_err(refused)?;
            let fallback = attach.routed.as_ref().and_then(|routed| routed.fallback.as_ref());
            let leaves_by = fallback.map(|fallback| fallback.interface.as_str());
            for interface in attach.port.interface().into_iter().chain(leaves_by) {
                self.dataplane.interface(interface).map_err(refused)?;
            }
            valid.push((request, attach));
        }
        let mut changed = false;
        for (request, attach) in valid {
            let attached = self.engine.attach_valid(attach, Instant::now()).map_err(refused)?;
            changed |= attached.changed;
            added.extend(attached.added.then_some(request));
        }
        Ok(changed)
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
        Ok(changed)
    }

    /// Undoes attaches that cannot forward, the last one first: who was told that it failed will not detach it.
    fn take_back(&mut self, requests: Vec<AttachRequest>) {
        for request in requests.into_iter().rev() {
            let undo = DetachRequest {
                vpn_type: request.vpn_type,
                vpn_instance_id: request.vpn_instance_id,
                mac_address: request.mac_address,
                ip_address: request.ip_address,
                local_port: request.local_port,
            };
            if let Err(error) = self.engine.detach(&undo, Instant::now()) {
                tracing::error!("cannot take back an attach that failed: {error}");
            }
        }
    }
}

/// Tells a client what is wrong with its call. That is its own affair: a warning would be one of this agent.
fn refuse(verb: Verb, what: &str, refused: Refused, reply: oneshot::Sender<Answer>) {
    tracing::info!("{verb} {what} refused: {refused}");
    drop(reply.send(Err(refused)));
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attach => "attach",
            Self::Detach => "detach",
        })
    }
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

/// What a call is about, in a line.
fn what<'a>(endpoints: impl ExactSizeIterator<Item = Endpoint<'a>> + Clone) -> String {
    let Endpoint { vpn, port, mac, .. } = endpoints.clone().next().unwrap_or_default();
    let [vpn, port, mac] = [vpn, port, mac].map(|text| text.unwrap_or("-").escape_debug());
    let ips = endpoints.filter_map(|endpoint| endpoint.ip).collect::<Vec<_>>().join(",");
    let ips = if ips.is_empty() { "any" } else { &ips }.escape_debug();
    format!("vpn={vpn} port={port} mac={mac} ips={ips}")
}
