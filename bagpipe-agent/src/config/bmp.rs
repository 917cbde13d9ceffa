//! `[bgp.bmp]`: who is told of sessions and routes.

use std::net::SocketAddr;

use serde::Serialize;

use super::table::Section;

/// `[bgp.bmp]` (RFC 7854)
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bmp {
    /// Where the station listens.
    pub station: SocketAddr,
    /// Seconds between reports of statistics; 0: none.
    pub statistics_interval: u32,
}

pub(super) fn bmp(mut section: Section<'_, '_>) -> Option<Bmp> {
    if section.is_present() && section.get("station").is_none() {
        section.missing("station", "write station = \"ADDRESS:PORT\" in [bgp.bmp]");
    }
    let station = section.get("station").and_then(|item| item.socket_address());
    let statistics_interval = section.get("statistics_interval").and_then(|item| item.integer(0..=86_400));
    section.finish();
    Some(Bmp { station: station?, statistics_interval: statistics_interval.unwrap_or(60) })
}
