//! What proves that a TCP connection is the peer's: signed segments (RFC 2385, RFC 5925), and packets that no router
//! has passed on (RFC 5082).
//!
//! Both are the kernel's work: it drops what is not right before anybody hears of it. Options of the listener hold
//! for all, so what it can't know, how far away the one is that connects, is looked at when it has connected: the
//! kernel keeps the first packet of a connection, and its TTL tells.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use socket2::{Domain, Socket, Type};

use super::signature::Key;
use crate::config::{Prefix, Secret, TcpAo};
use crate::sys::{get_option, set_option};

/// What the connections of one peer, or of all in a prefix, have to prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Key of the signature of every segment.
    pub password: Option<Secret>,
    /// Key of the authentication of every segment; takes the place of a password.
    pub tcp_ao: Option<TcpAo>,
    /// Hops that the peer is away at most.
    pub ttl_security: Option<u8>,
}

/// What connections have to prove, by the address that they come from.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    proofs: Vec<(Prefix, Proof)>,
}

/// The TTL of packets to peers: that of who is not far away, so that peers can tell (RFC 5082 §3).
const TTL: u8 = 255;

/// Room for the headers of a SYN.
const SYN_OCTETS: usize = 256;

/// Why connections cannot prove what they should.
#[derive(Debug, thiserror::Error)]
#[error("peer {peer} cannot be protected: {source}")]
pub struct ProtectionError {
    /// The peer, or the prefix of clients.
    pub peer: Prefix,
    /// What the system said.
    pub source: io::Error,
}

impl Protection {
    /// Protection by addresses and prefixes; the longest prefix that contains an address counts.
    pub fn new(proofs: impl IntoIterator<Item = (Prefix, Proof)>) -> Self {
        Self { proofs: proofs.into_iter().collect() }
    }

    /// Looks whether this kernel can do what is asked of it: an attempt to connect would tell only later, again and
    /// again, and a peer without protection is never an alternative.
    ///
    /// # Errors
    /// The first peer for which it can't.
    pub fn check(&self) -> Result<(), ProtectionError> {
        for (peer, proof) in &self.proofs {
            let Some(key) = Key::of(proof) else { continue };
            let domain = if peer.address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
            let socket = Socket::new(domain, Type::STREAM, None);
            let given = socket.and_then(|socket| key.give(&socket, peer.address, *peer));
            given.map_err(|source| ProtectionError { peer: *peer, source })?;
        }
        Ok(())
    }

    /// Prepares a socket that is to listen. The keys have to be there before the first SYN.
    pub(super) fn prepare_listener(&self, socket: &impl AsRawFd, local: IpAddr) -> io::Result<()> {
        send_far(socket, local)?;
        for (prefix, key) in self.keys(local) {
            key.give(socket, local, prefix).map_err(|error| about(prefix, &error))?;
        }
        self.save_syn(socket)
    }

    /// Prepares a socket again that listens already with the keys of another protection. Keys of both stay in force all
    /// the time.
    pub(super) fn replace_on_listener(
        &self,
        socket: &impl AsRawFd,
        local: IpAddr,
        before: &Self,
    ) -> io::Result<()> {
        let (old, new): (Vec<_>, Vec<_>) = (before.keys(local).collect(), self.keys(local).collect());
        let stays = |(prefix, key): &(Prefix, Key<'_>)| {
            new.iter().any(|(kept, after)| kept == prefix && after.overwrites(*key))
        };
        for (prefix, key) in old.iter().filter(|old| !stays(old)) {
            key.take(socket, local, *prefix).map_err(|error| about(*prefix, &error))?;
        }
        for (prefix, key) in new.iter().filter(|new| !old.contains(new)) {
            key.give(socket, local, *prefix).map_err(|error| about(*prefix, &error))?;
        }
        self.save_syn(socket)
    }

    /// Has the kernel keep first packets, if anybody looks at them.
    fn save_syn(&self, socket: &impl AsRawFd) -> io::Result<()> {
        if self.proofs.iter().any(|(_, proof)| proof.ttl_security.is_some()) {
            set_int(socket, libc::SOL_TCP, libc::TCP_SAVE_SYN, 1)?;
        }
        Ok(())
    }

    /// The keys for a listening socket of this address.
    fn keys(&self, local: IpAddr) -> impl Iterator<Item = (Prefix, Key<'_>)> {
        // A socket of one version hears nothing of the other, but for [::], which hears both.
        let hears = move |prefix: &Prefix| {
            prefix.address.is_ipv4() == local.is_ipv4() || local.is_unspecified() && local.is_ipv6()
        };
        let proofs = self.proofs.iter().filter(move |(prefix, _)| hears(prefix));
        let keys = proofs.filter_map(|(prefix, proof)| Some((*prefix, Key::of(proof)?)));
        keys.filter(|(prefix, key)| !self.is_given_already(*prefix, *key))
    }

    /// Whether the same key is that of a larger prefix: what has the same identifiers must not overlap (RFC 5925 §3.1).
    fn is_given_already(&self, prefix: Prefix, key: Key<'_>) -> bool {
        let encloses = |outer: &Prefix| outer.length < prefix.length && outer.contains(prefix.address);
        let outer = self.proofs.iter().filter(|(outer, _)| encloses(outer));
        matches!(key, Key::Ao(_)) && outer.filter_map(|(_, proof)| Key::of(proof)).any(|outer| outer == key)
    }

    /// What connections from an address have to prove.
    #[must_use]
    pub fn proof(&self, address: IpAddr) -> Proof {
        self.of(address).cloned().unwrap_or_default()
    }

    /// Prepares a socket that is to connect to a peer.
    pub(super) fn prepare_attempt(&self, socket: &impl AsRawFd, remote: IpAddr) -> io::Result<()> {
        send_far(socket, remote)?;
        let Some(proof) = self.of(remote) else { return Ok(()) };
        if let Some(key) = Key::of(proof) {
            key.give(socket, remote, Prefix::host(remote))?;
        }
        match proof.ttl_security {
            Some(hops) => require_near(socket, remote, hops),
            None => Ok(()),
        }
    }

    /// Checks a connection that has been accepted, and whatever follows on it.
    pub(super) fn check_accepted(&self, socket: &impl AsRawFd, remote: IpAddr) -> io::Result<()> {
        let Some(hops) = self.of(remote).and_then(|proof| proof.ttl_security) else { return Ok(()) };
        require_near(socket, remote, hops)?;
        let mut syn = [0; SYN_OCTETS];
        let length = get_option(socket, libc::SOL_TCP, libc::TCP_SAVED_SYN, &mut syn)?;
        match syn.get(..length).and_then(ttl_of) {
            Some(ttl) if ttl >= least_ttl(hops) => Ok(()),
            ttl => Err(io::Error::other(format!(
                "TTL of the first packet is {}, not {} at least: further away than ttl_security says",
                ttl.unwrap_or_default(),
                least_ttl(hops)
            ))),
        }
    }

    fn of(&self, address: IpAddr) -> Option<&Proof> {
        let address = address.to_canonical();
        let matching = self.proofs.iter().filter(|(prefix, _)| prefix.contains(address));
        matching.max_by_key(|(prefix, _)| prefix.length).map(|(_, proof)| proof)
    }
}

/// The TTL that is left when so many routers have passed a packet on, itself being the first hop (RFC 5082 §3).
const fn least_ttl(hops: u8) -> u8 {
    TTL - hops.saturating_sub(1)
}

/// The TTL in an IPv4 header, or the hop limit in an IPv6 header.
fn ttl_of(packet: &[u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => packet.get(8).copied(),
        6 => packet.get(7).copied(),
        _ => None,
    }
}

fn send_far(socket: &impl AsRawFd, address: IpAddr) -> io::Result<()> {
    if address.is_ipv6() {
        set_int(socket, libc::SOL_IPV6, libc::IPV6_UNICAST_HOPS, TTL.into())?;
    }
    // Those of [::] that turn out to be IPv4 too.
    set_int(socket, libc::SOL_IP, libc::IP_TTL, TTL.into())
}

fn require_near(socket: &impl AsRawFd, remote: IpAddr, hops: u8) -> io::Result<()> {
    let ttl = least_ttl(hops).into();
    match remote.to_canonical() {
        IpAddr::V4(_) => set_int(socket, libc::SOL_IP, libc::IP_MINTTL, ttl),
        IpAddr::V6(_) => set_int(socket, libc::SOL_IPV6, libc::IPV6_MINHOPCOUNT, ttl),
    }
}

/// An error that says whose key it is about.
fn about(prefix: Prefix, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("peer {prefix}: {error}"))
}

fn set_int(
    socket: &impl AsRawFd,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    set_option(socket, level, option, &value.to_ne_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts() {
        let proof = |hops| Proof { ttl_security: Some(hops), ..Proof::default() };
        let prefix = |address: &str, length| Prefix { address: address.parse().unwrap(), length };
        let protection = Protection::new([
            (prefix("10.0.0.0", 8), proof(3)),
            (prefix("10.0.0.7", 32), proof(1)),
            (prefix("10.0.0.0", 24), proof(2)),
            (prefix("2001:db8::", 64), proof(4)),
        ]);
        for (address, hops) in [
            ("10.0.0.7", Some(1)),
            ("10.0.0.8", Some(2)),
            ("::ffff:10.0.0.8", Some(2)),
            ("10.1.0.8", Some(3)),
            ("2001:db8::9", Some(4)),
            ("192.0.2.1", None),
        ] {
            let found = protection.of(address.parse().unwrap()).and_then(|proof| proof.ttl_security);
            assert_eq!(found, hops, "{address}");
        }
    }

    #[test]
    fn hops_are_counted_from_one() {
        assert_eq!((least_ttl(1), least_ttl(2), least_ttl(254)), (255, 254, 2));
        let mut packet = [0x45; 20];
        packet[8] = 254;
        assert_eq!(ttl_of(&packet), Some(254));
        let mut packet = [0x60; 40];
        packet[7] = 253;
        assert_eq!(ttl_of(&packet), Some(253));
        assert_eq!(ttl_of(&[]), None);
    }
}
