//! Calls of the API: attach, detach, and the answers to both.

use std::time::Instant;

use bytes::Bytes;

use super::Agent;
use crate::api::{Answer, Call, Refused, Request};
use crate::vpn::request::{AttachRequest, DetachRequest};

impl Agent {
    /// Answers a call. A client that has gone meanwhile does not change what was done.
    pub(super) fn call(&mut self, request: Request) {
        let answer = match request.call {
            Call::Attach(attach) => self.attach(&attach),
            Call::Detach(detach) => self.detach(&detach),
            Call::View(view) => self.view(view),
            Call::Explain(request) => self.explain(&request),
        };
        drop(request.reply.send(answer));
    }

    /// Attaches all or nothing, once the requests and the interface are found to be right. What has been answered
    /// forwards.
    fn attach(&mut self, requests: &[AttachRequest]) -> Answer {
        for request in requests {
            self.engine.check(request).map_err(refused)?;
            if let Some(interface) = request.validate().map_err(refused)?.port.interface() {
                self.dataplane.interface(interface).map_err(refused)?;
            }
        }
        let mut added = Vec::new();
        let outcome = self.attach_each(requests, &mut added);
        if outcome.is_err() {
            for request in added {
                self.take_back(request);
            }
            drop(self.settle());
        }
        outcome.map(|()| NULL)
    }

    /// Attaches one after the other, and says which of them were not attached before.
    fn attach_each<'a>(
        &mut self,
        requests: &'a [AttachRequest],
        added: &mut Vec<&'a AttachRequest>,
    ) -> Result<(), Refused> {
        let mut changed = false;
        for request in requests {
            let attached = self.engine.attach(request, Instant::now()).map_err(refused)?;
            changed |= attached.changed;
            added.extend(attached.added.then_some(request));
        }
        match self.settle() {
            Err(error) if changed => Err(refused(error)),
            _ => Ok(()),
        }
    }

    fn detach(&mut self, request: &DetachRequest) -> Answer {
        self.engine.detach(request, Instant::now()).map_err(refused)?;
        // What cannot be removed now is removed later; there is nothing that the client could do.
        drop(self.settle());
        Ok(NULL)
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

fn refused(error: impl std::fmt::Display) -> Refused {
    Refused(error.to_string())
}
