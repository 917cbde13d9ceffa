//! What the programs have counted, summed over the processors.

use std::path::Path;

use aya::maps::{MapData, PerCpuArray};
use bagpipe_common::{Counters, Drop, DropReason};
use serde::Serialize;

use super::maps::{MapsError, chain, open_checked};

/// The counter maps.
pub(crate) struct CounterMaps {
    ports: PerCpuArray<MapData, Counters>,
    vpns: PerCpuArray<MapData, Counters>,
    drops: PerCpuArray<MapData, Drop>,
}

/// Packets and bytes of a port or an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Packets that came from ports.
    pub rx_packets: u64,
    /// Bytes of them, from the Ethernet header on.
    pub rx_bytes: u64,
    /// Packets delivered to ports.
    pub tx_packets: u64,
    /// Bytes of them, from the Ethernet header on.
    pub tx_bytes: u64,
}

/// What was dropped for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Name of the reason.
    pub reason: &'static str,
    /// What was wrong with the packets.
    pub explanation: &'static str,
    /// Packets.
    pub packets: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl CounterMaps {
    /// Opens the counter maps that are pinned in a directory.
    ///
    /// # Errors
    /// When one is missing or not of this version.
    pub(crate) fn open(directory: &Path) -> Result<Self, MapsError> {
        let open = |name, value| open_checked(directory, name, size_of::<u32>(), value);
        Ok(Self {
            ports: per_cpu("PORT_STATS", open("PORT_STATS", size_of::<Counters>())?)?,
            vpns: per_cpu("VPN_STATS", open("VPN_STATS", size_of::<Counters>())?)?,
            drops: per_cpu("DROPS", open("DROPS", size_of::<Drop>())?)?,
        })
    }

    /// Counters of a port, by its number.
    #[must_use]
    pub(crate) fn port(&self, number: u32) -> Traffic {
        sum(&self.ports, number)
    }

    /// Counters of an instance, by its number.
    #[must_use]
    pub(crate) fn vpn(&self, number: u16) -> Traffic {
        sum(&self.vpns, number.into())
    }

    /// What was dropped, for every reason.
    #[must_use]
    pub(crate) fn drops(&self) -> Vec<Dropped> {
        DropReason::ALL.iter().map(|reason| self.dropped(*reason)).collect()
    }

    fn dropped(&self, reason: DropReason) -> Dropped {
        let (mut packets, mut bytes) = (0_u64, 0_u64);
        if let Ok(values) = self.drops.get(&(reason as u32), 0) {
            for value in values.iter() {
                packets = packets.wrapping_add(value.packets);
                bytes = bytes.wrapping_add(value.bytes);
            }
        }
        Dropped { reason: reason.name(), explanation: reason.explanation(), packets, bytes }
    }
}

fn per_cpu<T: aya::Pod>(name: &'static str, data: MapData) -> Result<PerCpuArray<MapData, T>, MapsError> {
    aya::maps::Map::from_map_data(data)
        .and_then(PerCpuArray::try_from)
        .map_err(|error| MapsError::Read { map: name, error: std::io::Error::other(chain(&error)) })
}

fn sum(map: &PerCpuArray<MapData, Counters>, number: u32) -> Traffic {
    let mut traffic = Traffic::default();
    if let Ok(values) = map.get(&number, 0) {
        for value in values.iter() {
            traffic.rx_packets = traffic.rx_packets.wrapping_add(value.rx_packets);
            traffic.rx_bytes = traffic.rx_bytes.wrapping_add(value.rx_bytes);
            traffic.tx_packets = traffic.tx_packets.wrapping_add(value.tx_packets);
            traffic.tx_bytes = traffic.tx_bytes.wrapping_add(value.tx_bytes);
        }
    }
    traffic
}
