//! `tcp_ao`: the key of the TCP Authentication Option (RFC 5925).

use serde::Serialize;

use super::peers::{Secret, secret};
use super::table::{Item, Section};

/// `tcp_ao`: a master key tuple (RFC 5925 §3.1), the same for both ways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TcpAo {
    /// SendID: the peer's `receive_id`.
    pub key_id: u8,
    /// RecvID: the peer's `key_id`.
    pub receive_id: u8,
    /// What makes the codes.
    pub algorithm: AoAlgorithm,
    /// The master key.
    pub key: Secret,
}

/// A key derivation function and message authentication code (RFC 5926 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AoAlgorithm {
    /// RFC 5926 §3.2.1.
    #[serde(rename = "hmac-sha-1-96")]
    HmacSha1,
    /// RFC 5926 §3.2.2.
    #[serde(rename = "aes-128-cmac-96")]
    Aes128Cmac,
    /// HMAC of SHA-256, of which 96 bits are sent as of the others. No RFC has it; routers do.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
}

impl AoAlgorithm {
    /// Its name in the kernel.
    #[must_use]
    pub const fn kernel_name(self) -> &'static str {
        match self {
            Self::HmacSha1 => "hmac(sha1)",
            Self::Aes128Cmac => "cmac(aes128)",
            Self::HmacSha256 => "hmac(sha256)",
        }
    }
}

pub(super) fn tcp_ao(mut section: Section<'_, '_>) -> Option<TcpAo> {
    let mut id = |key| {
        required(&mut section, key, "write a number from 0 to 255, as agreed on with the peer")?
            .integer(0..=255)
    };
    let (key_id, receive_id) = (id("key_id"), id("receive_id"));
    let algorithm = match section.get("algorithm") {
        Some(item) => algorithm(&item),
        None => Some(AoAlgorithm::HmacSha1),
    };
    let key = required(&mut section, "key", "write the key that was agreed on with the peer");
    let key = key.and_then(|item| secret(&item));
    section.finish();
    Some(TcpAo { key_id: key_id?, receive_id: receive_id?, algorithm: algorithm?, key: key? })
}

fn required<'r, 'a>(
    section: &mut Section<'r, 'a>,
    key: &'static str,
    remedy: &'static str,
) -> Option<Item<'r, 'a>> {
    let item = section.get(key);
    if item.is_none() && section.is_present() {
        section.missing(key, remedy);
    }
    item
}

fn algorithm(item: &Item<'_, '_>) -> Option<AoAlgorithm> {
    match item.string()? {
        "hmac-sha-1-96" => Some(AoAlgorithm::HmacSha1),
        "aes-128-cmac-96" => Some(AoAlgorithm::Aes128Cmac),
        "hmac-sha256" => Some(AoAlgorithm::HmacSha256),
        other => item.refuse(
            format!("'{other}' is not an algorithm"),
            "use \"hmac-sha-1-96\", \"aes-128-cmac-96\" or \"hmac-sha256\"",
        ),
    }
}
