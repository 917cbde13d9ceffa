//! Our OPEN, and what it agrees on with the peer's (RFC 4271 §6.2, RFC 5492).

use std::num::NonZeroU32;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;

use super::notification::open_error;
use crate::types::{Asn, Family, RouterId};
use crate::wire::error::code;
use crate::wire::message::{AddPathFamilies, Context, MAX_EXTENDED_LENGTH, MAX_LENGTH};
use crate::wire::{AddPath, Capability, ExtendedNextHop, LongLived, MessageError, Open};

/// The capability code of Multiprotocol Extensions (RFC 4760 §8).
const MULTIPROTOCOL: u8 = 1;

/// What a session says of us, and what it expects of the peer.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Our AS.
    pub local_asn: Asn,
    /// Our BGP identifier.
    pub router_id: RouterId,
    /// The peer's AS.
    pub remote_asn: Asn,
    /// Proposed hold time in seconds; 0 for none, else at least 3.
    pub hold_time: u16,
    /// Families offered.
    pub families: Vec<Family>,
    /// Seconds for which peers are asked to keep our routes when we restart; 0: no graceful restart (RFC 4724).
    pub restart_time: u16,
    /// We have restarted, and kept forwarding (R bit).
    pub restarting: bool,
    /// Seconds for which peers are asked to keep our routes after that, and we theirs at most; 0: not at all
    /// (RFC 9494).
    pub long_lived_time: u32,
    /// Several paths of a route, in the VPN families (RFC 7911).
    pub add_paths: AddPaths,
}

/// Whether several paths of a route are taken from a peer, and how many are sent to it (RFC 7911).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddPaths {
    /// Take as many as it sends.
    pub receive: bool,
    /// Send so many of the best; `None`: the best one, without an identifier.
    pub send: Option<NonZeroU32>,
}

/// What both sides agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Negotiated {
    /// The peer's AS.
    pub asn: Asn,
    /// The peer's BGP identifier.
    pub router_id: RouterId,
    /// Families that both offer, in our order.
    pub families: Vec<Family>,
    /// Hold time in seconds: the smaller proposal; 0 for none (RFC 4271 §4.2).
    pub hold_time: u16,
    /// AS numbers of four octets in AS_PATH (RFC 6793).
    pub four_octet_as: bool,
    /// The peer answers route refresh (RFC 2918).
    pub route_refresh: bool,
    /// The peer marks where a refresh begins and ends, and so do we (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// Messages to the peer may be longer than 4096 octets (RFC 8654).
    pub extended_message: bool,
    /// VPN-IPv4 routes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Graceful restart, if both sides do it.
    pub graceful_restart: Option<GracefulRestart>,
    /// How long routes of the peer are kept after its restart time: nothing unless both sides do it.
    pub long_lived: Vec<LongLived>,
    /// Families in which several paths of a route are taken and sent (RFC 7911).
    pub add_paths: AddPathFamilies,
    /// All that the peer has announced, also what we do not do.
    pub capabilities: Vec<Capability>,
}

/// The peer's side of graceful restart (RFC 4724 §3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GracefulRestart {
    /// The peer has restarted (R bit).
    pub restarting: bool,
    /// A NOTIFICATION keeps routes too (N bit, RFC 8538 §2).
    pub notification: bool,
    /// Seconds that the peer needs at most to come back.
    pub time: u16,
    /// Families, and whether the peer kept forwarding through its restart (F bit).
    pub families: Vec<(Family, bool)>,
}

impl SessionConfig {
    /// Our OPEN.
    #[must_use]
    pub fn open(&self) -> Open {
        let mut capabilities: Vec<_> = self.families.iter().copied().map(Capability::Multiprotocol).collect();
        capabilities.push(Capability::RouteRefresh);
        capabilities.push(Capability::EnhancedRouteRefresh);
        capabilities.push(Capability::ExtendedMessage);
        if self.families.contains(&Family::VPNV4) {
            capabilities.push(Capability::ExtendedNextHop(vec![ExtendedNextHop::VPNV4_OVER_IPV6]));
        }
        if self.restart_time > 0 {
            capabilities.push(Capability::GracefulRestart {
                restarting: self.restarting,
                notification: true,
                time: self.restart_time,
                // The data plane outlives the agent: forwarding state is always preserved.
                families: self.families.iter().map(|&family| (family, true)).collect(),
            });
        }
        if self.does_long_lived() {
            let entry = |&family| LongLived { family, forwarding: true, time: self.long_lived_time };
            capabilities.push(Capability::LongLived(self.families.iter().map(entry).collect()));
        }
        let add_paths = self.offered_add_paths();
        if !add_paths.is_empty() {
            capabilities.push(Capability::AddPath(add_paths));
        }
        capabilities.push(Capability::FourOctetAs(self.local_asn));
        Open { asn: self.local_asn, hold_time: self.hold_time, router_id: self.router_id, capabilities }
    }

    /// Checks the peer's OPEN and takes the common ground.
    ///
    /// # Errors
    ///
    /// What RFC 4271 §6.2 and RFC 5492 §5 answer with a NOTIFICATION.
    pub fn negotiate(&self, open: &Open) -> Result<Negotiated, MessageError> {
        self.check(open)?;
        let offered: Vec<Family> = open
            .capabilities
            .iter()
            .filter_map(|capability| match capability {
                Capability::Multiprotocol(family) => Some(*family),
                _ => None,
            })
            .collect();
        let families: Vec<_> =
            self.families.iter().copied().filter(|family| offered.contains(family)).collect();
        if families.is_empty() {
            return Err(self.no_common_family());
        }
        let has = |wanted: &Capability| open.capabilities.contains(wanted);
        Ok(Negotiated {
            asn: open.asn,
            router_id: open.router_id,
            hold_time: self.hold_time.min(open.hold_time),
            four_octet_as: open.capabilities.iter().any(|it| matches!(it, Capability::FourOctetAs(_))),
            route_refresh: has(&Capability::RouteRefresh),
            enhanced_route_refresh: has(&Capability::EnhancedRouteRefresh),
            extended_message: has(&Capability::ExtendedMessage),
            extended_next_hop: families.contains(&Family::VPNV4) && takes_ipv6_next_hops(open),
            add_paths: self.add_paths(open, &families),
            families,
            graceful_restart: self.graceful_restart(open),
            long_lived: self.long_lived(open),
            capabilities: open.capabilities.clone(),
        })
    }

    fn check(&self, open: &Open) -> Result<(), MessageError> {
        if open.asn != self.remote_asn {
            let reason = format!("peer is in AS {}, expected AS {}", open.asn, self.remote_asn);
            return Err(refuse(open_error::BAD_PEER_AS, reason, Bytes::new()));
        }
        // RFC 6286 §2.1: within an AS the identifier is unique. Zero has been refused by the decoder.
        if open.asn == self.local_asn && open.router_id == self.router_id {
            let reason = format!("peer's BGP identifier {} is the same as ours", open.router_id);
            return Err(refuse(open_error::BAD_IDENTIFIER, reason, Bytes::new()));
        }
        Ok(())
    }

    /// RFC 5492 §5: the data lists the capabilities that were missed.
    fn no_common_family(&self) -> MessageError {
        let mut data = BytesMut::new();
        for family in &self.families {
            data.put_slice(&[MULTIPROTOCOL, 4]);
            data.put_u16(family.afi);
            data.put_slice(&[0, family.safi]);
        }
        let reason = format!("peer offers none of the families {:?}", self.families);
        refuse(open_error::UNSUPPORTED_CAPABILITY, reason, data.freeze())
    }

    /// RFC 4724 §3: of several capabilities the last one counts.
    fn graceful_restart(&self, open: &Open) -> Option<GracefulRestart> {
        open.capabilities.iter().rev().filter(|_| self.restart_time > 0).find_map(|capability| {
            match capability {
                Capability::GracefulRestart { restarting, notification, time, families } => {
                    Some(GracefulRestart {
                        restarting: *restarting,
                        notification: *notification,
                        time: *time,
                        families: families.clone(),
                    })
                }
                _ => None,
            }
        })
    }
}

/// RFC 9494
impl SessionConfig {
    /// Nobody does it who does not do graceful restart (§3.1).
    fn does_long_lived(&self) -> bool {
        self.restart_time > 0 && self.long_lived_time > 0
    }

    /// The peer says how long, and we for how long at most (§4.2); of several capabilities the last one counts.
    fn long_lived(&self, open: &Open) -> Vec<LongLived> {
        if !self.does_long_lived() || self.graceful_restart(open).is_none() {
            return Vec::new();
        }
        let entries = open.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::LongLived(entries) => Some(entries.as_slice()),
            _ => None,
        });
        let entries = entries.unwrap_or_default().iter();
        entries.map(|entry| LongLived { time: entry.time.min(self.long_lived_time), ..*entry }).collect()
    }
}

/// RFC 7911 §4
impl SessionConfig {
    /// Not for memberships: they lead nowhere, and one path of them says all.
    fn offered_add_paths(&self) -> Vec<AddPath> {
        let AddPaths { receive, send } = self.add_paths;
        let send = send.is_some();
        let families = self.families.iter().filter(|_| receive || send);
        families
            .filter(|family| [Family::EVPN, Family::VPNV4, Family::VPNV6].contains(family))
            .map(|&family| AddPath { family, receive, send })
            .collect()
    }

    /// What one side sends and the other takes. Of several capabilities the last one counts.
    fn add_paths(&self, open: &Open, families: &[Family]) -> AddPathFamilies {
        let theirs = open.capabilities.iter().rev().find_map(|capability| match capability {
            Capability::AddPath(entries) => Some(entries.as_slice()),
            _ => None,
        });
        let theirs = theirs.unwrap_or_default();
        let mut agreed = AddPathFamilies::default();
        for ours in self.offered_add_paths().iter().filter(|ours| families.contains(&ours.family)) {
            let Some(theirs) = theirs.iter().find(|theirs| theirs.family == ours.family) else { continue };
            if ours.receive && theirs.send {
                agreed.receive.push(ours.family);
            }
            if ours.send && theirs.receive {
                agreed.send.push(ours.family);
            }
        }
        agreed
    }
}

impl Negotiated {
    pub(super) fn context(&self, config: &SessionConfig) -> Context {
        Context {
            four_octet_as: self.four_octet_as,
            max_length: if self.extended_message { MAX_EXTENDED_LENGTH } else { MAX_LENGTH },
            internal: self.asn == config.local_asn,
            families: self.families.clone(),
            extended_next_hop: self.extended_next_hop,
            add_paths: self.add_paths.clone(),
        }
    }
}

/// RFC 8950 §4; the entries of several capabilities add up (RFC 5492 §4).
fn takes_ipv6_next_hops(open: &Open) -> bool {
    open.capabilities.iter().any(|capability| match capability {
        Capability::ExtendedNextHop(entries) => entries.contains(&ExtendedNextHop::VPNV4_OVER_IPV6),
        _ => false,
    })
}

fn refuse(subcode: u8, reason: String, data: Bytes) -> MessageError {
    MessageError { code: code::OPEN, subcode, data, reason }
}
