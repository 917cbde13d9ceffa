//! UPDATE (RFC 4271 §4.3, RFC 4760 §3 and §4, RFC 7606).

use std::iter::FusedIterator;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::text::hex;
use super::{Action, Attributes, Nlri, UpdateError, nlri};
use crate::types::Family;

mod decode;
mod writer;

pub use writer::{UpdateWriter, end_of_rib};

/// NLRI of one family, still as received; [`NlriBlock::iter`] decodes them one by one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NlriBlock {
    /// The family.
    pub family: Family,
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
    /// the error asks to reset the session and is the last item.
    pub fn iter(&self) -> impl Iterator<Item = Result<Nlri, UpdateError>> + '_ {
        NlriIter { block: self, rest: &self.bytes }
    }

    /// The routes as they are encoded, one by one: for those who pass them on or use them as keys. Ends where
    /// the next one cannot be found.
    pub fn encoded(&self) -> impl Iterator<Item = Bytes> + '_ {
        let mut rest = self.bytes.clone();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let length = nlri::split(self.family, &rest).ok()?;
            Some(rest.split_to(length))
        })
    }
}

/// Works on slices: the reference count of the buffer is touched only by routes that keep a part of it.
struct NlriIter<'a> {
    block: &'a NlriBlock,
    rest: &'a [u8],
}

impl Iterator for NlriIter<'_> {
    type Item = Result<Nlri, UpdateError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let family = self.block.family;
        let rest = std::mem::take(&mut self.rest);
        let (nlri, rest) = match nlri::split(family, rest) {
            Ok(length) => rest.split_at_checked(length).unwrap_or((rest, &[])),
            Err(what) => return Some(Err(nlri_error(Action::ResetSession, family, rest, what))),
        };
        self.rest = rest;
        Some(
            Nlri::decode(family, nlri, &self.block.bytes)
                .map_err(|what| nlri_error(Action::Discard, family, nlri, what)),
        )
    }
}

impl FusedIterator for NlriIter<'_> {}

/// Subcode 10, Invalid Network Field, is of the NLRI field; of the multiprotocol attributes, 9, Optional
/// Attribute Error (RFC 4271 §6.3, RFC 4760 §7).
fn nlri_error(action: Action, family: Family, data: &[u8], what: &str) -> UpdateError {
    let subcode = if family == Family::IPV4_UNICAST { 10 } else { 9 };
    let data = Bytes::copy_from_slice(data);
    UpdateError { action, attribute: None, subcode, data, reason: format!("{family} NLRI: {what}") }
}

/// Whether next hops of the family stand behind a route distinguisher (RFC 4364 §4.3.2, RFC 4659 §3.2.1).
const fn is_vpn(family: Family) -> bool {
    family.safi == Family::VPNV4.safi
}
