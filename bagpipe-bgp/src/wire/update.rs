//! UPDATE (RFC 4271 §4.3, RFC 4760 §3 and §4, RFC 7606).

use std::sync::Arc;

use bytes::Bytes;

use super::{Attributes, UpdateError};
use crate::types::Family;

/// NLRI of one family, still as received; [`NlriBlock::iter`] decodes them one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NlriBlock {
    /// The family.
    pub family: Family,
    /// The encoded NLRI, one after another.
    pub bytes: Bytes,
}

/// An UPDATE after RFC 7606: routes under "treat-as-withdraw" are in `withdrawn`, discarded attributes are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
