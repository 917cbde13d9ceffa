//! Headroom: room before a frame, so that outer headers can be put there without moving the frame to a larger buffer.
//!
//! A veth or tap reserves room for whoever will add headers to what it receives, but only a bridge (and Open vSwitch)
//! asks it to, on behalf of the tunnel devices beside it; there is no request for it in netlink. So there is a bridge
//! for the agent's VXLAN device and the ports. It is down, and the programs leave no frame to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::links::Link;
use super::netlink::request::Requests;
use super::tables::Tables;

/// How long a new port is without headroom, which makes it slower and nothing else: when many are attached one after the
/// other, all of them forward first.
const JOIN: Duration = Duration::from_millis(200);

/// How long an interface that is no port any more stays: mostly it is deleted, or attached again. To leave a bridge takes
/// an RCU grace period under the kernel's one lock for all network configuration.
const LEAVE: Duration = Duration::from_secs(1);

/// How many are let in or out at a time: whoever wants to attach meanwhile waits for no more than these.
const PORTION: usize = 4;

/// Keeps the bridge, its VXLAN device and its ports together. Without them everything works, only slower: what the
/// kernel refuses is no failure.
#[derive(Debug)]
pub(crate) struct Headroom {
    /// Name of the bridge.
    bridge: String,
    /// Name of the VXLAN device, whose headroom the others get.
    device: String,
    /// The kernel can't make the bridge.
    unavailable: bool,
    /// Interfaces to let in or out, and when.
    waiting: BTreeMap<u32, Instant>,
    /// The same, by time.
    times: BTreeSet<(Instant, u32)>,
}

impl Headroom {
    pub(crate) const fn new(bridge: String, device: String) -> Self {
        Self { bridge, device, unavailable: false, waiting: BTreeMap::new(), times: BTreeSet::new() }
    }

    /// When to follow again although nothing changed.
    pub(crate) fn timeout(&self) -> Option<Instant> {
        self.times.first().map(|(time, _)| *time)
    }

    /// Lets interfaces in that became ports, and out that are no longer, each in its time. Makes the bridge when it is
    /// not there, with all that are ports already.
    pub(crate) fn follow(
        &mut self,
        netlink: &mut Requests,
        tables: &mut Tables,
        changed: Vec<u32>,
        now: Instant,
    ) {
        for index in changed {
            self.wait(index, now + if tables.attached.contains(&index) { JOIN } else { LEAVE });
        }
        let known = tables.links().of_name(&self.bridge).filter(|link| is_bridge(link) && !link.up);
        let (bridge, changed) = match known.map(|link| link.index) {
            Some(bridge) => (bridge, self.take_due(now)),
            None if self.unavailable => return self.forget(),
            None => match self.make(netlink, tables) {
                Ok(bridge) => (bridge, tables.links().iter().map(|link| link.index).collect()),
                Err(error) => {
                    tracing::debug!(bridge = self.bridge, %error, "no headroom for ports");
                    self.unavailable = true;
                    return;
                }
            },
        };
        let device = tables.links().of_name(&self.device).map(|link| link.index);
        for index in device.into_iter().chain(changed) {
            let Some(link) = tables.links().get(index).cloned() else { continue };
            let is_member = Some(index) == device || tables.attached.contains(&index) && reserves(&link);
            let master = match link.master {
                None if is_member => Some(bridge),
                Some(master) if master == bridge && !is_member => None,
                // It is where it should be, or in a bridge of somebody else's.
                _ => continue,
            };
            match netlink.set_master(index, master) {
                Ok(()) => tables.set_link(Link { master, ..link }),
                Err(error) => tracing::debug!(interface = link.name, %error, "no headroom"),
            }
        }
    }

    fn wait(&mut self, index: u32, time: Instant) {
        if let Some(before) = self.waiting.insert(index, time) {
            self.times.remove(&(before, index));
        }
        self.times.insert((time, index));
    }

    fn forget(&mut self) {
        self.waiting.clear();
        self.times.clear();
    }

    fn take_due(&mut self, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        while due.len() < PORTION
            && let Some((time, index)) = self.times.first().copied()
            && time <= now
        {
            self.times.pop_first();
            self.waiting.remove(&index);
            due.push(index);
        }
        due
    }

    /// Makes the bridge anew, also in place of one that somebody has set up: that would forward.
    fn make(&self, netlink: &mut Requests, tables: &mut Tables) -> std::io::Result<u32> {
        if let Some(link) = tables.links().of_name(&self.bridge).filter(|link| is_bridge(link)) {
            netlink.delete_link(link.index)?;
        }
        netlink.create_bridge(&self.bridge)?;
        let links = netlink.links()?;
        let index = links.iter().find(|link| link.name == self.bridge).map(|link| link.index);
        links.into_iter().for_each(|link| tables.set_link(link));
        index.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }
}

fn is_bridge(link: &Link) -> bool {
    link.kind.as_deref() == Some("bridge")
}

/// Whether an interface reserves room when it is asked to.
fn reserves(link: &Link) -> bool {
    matches!(link.kind.as_deref(), Some("veth" | "tun"))
}
