//! UPDATE (RFC 4271 §4.3, RFC 4760 §3 and §4, RFC 7606).

use std::iter::FusedIterator;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use serde::Serialize;

use super::nlri::Framing;
use super::text::hex;
use super::{Action, Attributes, Nlri, UpdateError, nlri};
use crate::types::Family;

mod decode;
mod writer;

pub use writer::{UpdateWriter, end_of_rib};

/// Tells the paths of a route from one speaker apart (RFC 7911 §3); zero without add-path.
pub type PathId = u32;

const PATH_ID_LENGTH: usize = 4;

/// NLRI of one family, still as received; [`NlriBlock::iter`] decodes them one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NlriBlock {
    /// The family.
    pub family: Family,
    /// Each NLRI stands behind its path identifier of four octets (RFC 7911 §3).
    pub path_ids: bool,
    /// The encoded NLRI, one after another.
    #[serde(serialize_with = "hex")]
    pub bytes: Bytes,
}

/// An UPDATE after RFC 7606: routes under "treat-as-withdraw" are in `withdrawn`, discarded attributes are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Update {
    /// Attributes of the announced routes.
    pub attributes: Arc<Attributes>,
    /// Announced routes.
    pub announced: Vec<NlriBlock>,
    /// Withdrawn routes.
    pub withdrawn: Vec<NlriBlock>,
    /// This UPDATE is the End-of-RIB marker of a family (RFC 4724 §2).
    pub end_of_rib: Option<Family>,
    /// What was wrong, for the log and the counters: nothing here asks for more than "treat-as-withdraw".
    pub errors: Vec<UpdateError>,
}

impl NlriBlock {
    /// The routes, decoded one by one. A route that is wrong in itself is an error that asks to discard it;
    /// the next one follows. If the next one cannot be found, which does not happen in a decoded [`Update`],
    /// the error asks to reset the session and is the last item. [`Iterator::for_each`] is the fastest way through.
    pub fn iter(&self) -> impl Iterator<Item = Result<Nlri, UpdateError>> + '_ {
        NlriIter::new(self)
    }

    /// The same, each with its path identifier; zero where there are none.
    pub fn paths(&self) -> impl Iterator<Item = Result<(PathId, Nlri), UpdateError>> + '_ {
        let mut routes = NlriIter::new(self);
        std::iter::from_fn(move || Some(routes.next()?.map(|nlri| (routes.id, nlri))))
    }

    /// The routes as they are encoded, one by one, with their path identifiers. Ends where the next one cannot be
    /// found.
    pub fn encoded(&self) -> impl Iterator<Item = (PathId, Bytes)> + '_ {
        let (mut rest, framing) = (self.bytes.clone(), Framing::of(self.family));
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (id, _) = take_path_id(self.path_ids, &rest).ok()?;
            if self.path_ids {
                rest.advance(PATH_ID_LENGTH);
            }
            let length = framing.split(&rest).ok()?;
            Some((id, rest.split_to(length)))
        })
    }
}

impl NlriBlock {
    /// Gives each route in the one form that this codec writes it in, with its path identifier, for those who pass it
    /// on or use it as a key; or what is wrong with it, as [`Self::iter`] does. Most come in that form already.
    pub fn for_each_canonical(&self, mut action: impl FnMut(Result<(PathId, &[u8]), UpdateError>)) {
        let mut written = BytesMut::new();
        let mut routes = NlriIter::new(self);
        loop {
            if let Ok((id, rest)) = take_path_id(self.path_ids, routes.rest)
                && let Some(length) = nlri::canonical(self.family, rest)
                && let Some((nlri, rest)) = rest.split_at_checked(length)
            {
                routes.rest = rest;
                action(Ok((id, nlri)));
                continue;
            }
            match routes.next() {
                Some(Ok(nlri)) => {
                    written.clear();
                    nlri.encode(&mut written);
                    action(Ok((routes.id, &written)));
                }
                Some(Err(error)) => action(Err(error)),
                None => return,
            }
        }
    }
}

/// Works on slices: the reference count of the buffer is touched only by routes that keep a part of it.
struct NlriIter<'a> {
    block: &'a NlriBlock,
    framing: Framing,
    rest: &'a [u8],
    /// The path identifier of the last route: beside it, so that who does not ask for it gets the route where it is made.
    id: PathId,
}

impl<'a> NlriIter<'a> {
    fn new(block: &'a NlriBlock) -> Self {
        Self { block, framing: Framing::of(block.family), rest: &block.bytes, id: 0 }
    }
}

impl Iterator for NlriIter<'_> {
    type Item = Result<Nlri, UpdateError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let family = self.block.family;
        let rest = match take_path_id(self.block.path_ids, std::mem::take(&mut self.rest)) {
            Ok((id, rest)) => {
                self.id = id;
                rest
            }
            Err(what) => return Some(Err(nlri_error(Action::ResetSession, family, &[], what))),
        };
        let length = match self.framing.split(rest) {
            Ok(length) => length,
            Err(what) => return Some(Err(nlri_error(Action::ResetSession, family, rest, what))),
        };
        self.rest = rest.get(length..).unwrap_or_default();
        Some(Nlri::decode(family, rest, length, &self.block.bytes).map_err(|what| {
            let nlri = rest.get(..length).unwrap_or(rest);
            nlri_error(Action::Discard, family, nlri, what)
        }))
    }

    #[inline]
    fn fold<B, F: FnMut(B, Self::Item) -> B>(self, init: B, take: F) -> B {
        match self.block.family {
            _ if self.block.path_ids => self.give(init, |_| None, take),
            Family::EVPN => self.give(init, Nlri::usual_evpn, take),
            Family::VPNV4 => self.give(init, Nlri::usual_vpnv4, take),
            _ => self.give(init, |_| None, take),
        }
    }
}

/// The path identifier in front of an NLRI, and the rest. One that is cut off leaves no route to be found
/// (RFC 7606 §5.3).
#[inline]
fn take_path_id(path_ids: bool, bytes: &[u8]) -> Result<(PathId, &[u8]), &'static str> {
    if !path_ids {
        return Ok((0, bytes));
    }
    let (id, rest) = bytes.split_first_chunk::<PATH_ID_LENGTH>().ok_or("NLRI ends in its path identifier")?;
    Ok((u32::from_be_bytes(*id), rest))
}

impl NlriIter<'_> {
    /// Gives all routes; those that `usual` tells at a glance where they are made, without a way through [`Self::next`].
    #[inline]
    fn give<B>(
        mut self,
        init: B,
        usual: impl Fn(&[u8]) -> Option<(Nlri, usize)>,
        mut take: impl FnMut(B, Result<Nlri, UpdateError>) -> B,
    ) -> B {
        let mut taken = init;
        loop {
            while let Some((nlri, length)) = usual(self.rest) {
                self.rest = self.rest.get(length..).unwrap_or_default();
                taken = take(taken, Ok(nlri));
            }
            match self.next() {
                Some(route) => taken = take(taken, route),
                None => return taken,
            }
        }
    }
}

impl FusedIterator for NlriIter<'_> {}

/// Subcode 10, Invalid Network Field, is of the NLRI field; of the multiprotocol attributes, 9, Optional
/// Attribute Error (RFC 4271 §6.3, RFC 4760 §7).
pub(crate) fn nlri_error(action: Action, family: Family, data: &[u8], what: &str) -> UpdateError {
    let subcode = if family == Family::IPV4_UNICAST { 10 } else { 9 };
    let data = Bytes::copy_from_slice(data);
    UpdateError { action, attribute: None, subcode, data, reason: format!("{family} NLRI: {what}") }
}

/// Whether next hops of the family stand behind a route distinguisher (RFC 4364 §4.3.2, RFC 4659 §3.2.1).
const fn is_vpn(family: Family) -> bool {
    family.safi == Family::VPNV4.safi
}
