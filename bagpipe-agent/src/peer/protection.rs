//! What proves that a TCP connection is the peer's: signed segments (RFC 2385), and packets that no router has
//! passed on (RFC 5082).
//!
//! Both are the kernel's work: it drops what is not right before anybody hears of it. Options of the listener hold
//! for all, so what it can't know, how far away the one is that connects, is looked at when it has connected: the
//! kernel keeps the first packet of a connection, and its TTL tells.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use crate::config::{Prefix, Secret};
use crate::sys::{get_option, set_option};

/// What the connections of one peer, or of all in a prefix, have to prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// Key of the signature of every segment.
    pub password: Option<Secret>,
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

/// `struct tcp_md5sig` (linux/tcp.h): a socket address, flags, prefix length, key length, interface, key.
const MD5_OCTETS: usize = 128 + 8 + 80;
/// TCP_MD5SIG_FLAG_PREFIX: the key is that of a prefix.
const MD5_FLAG_PREFIX: u8 = 1;

/// Room for the headers of a SYN.
const SYN_OCTETS: usize = 256;

impl Protection {
    /// Protection by addresses and prefixes; the longest prefix that contains an address counts.
    pub fn new(proofs: impl IntoIterator<Item = (Prefix, Proof)>) -> Self {
        Self { proofs: proofs.into_iter().collect() }
    }

    /// Prepares a socket that is to listen. The keys have to be there before the first SYN.
    pub(super) fn prepare_listener(&self, socket: &impl AsRawFd, local: IpAddr) -> io::Result<()> {
        send_far(socket, local)?;
        for (prefix, password) in self.keys(local) {
            sign(socket, local, prefix, password.expose())?;
        }
        if self.proofs.iter().any(|(_, proof)| proof.ttl_security.is_some()) {
            set_int(socket, libc::SOL_TCP, libc::TCP_SAVE_SYN, 1)?;
        }
        Ok(())
    }

    /// Prepares a socket again that listens already with the keys of another protection.
    pub(super) fn replace_on_listener(
        &self,
        socket: &impl AsRawFd,
        local: IpAddr,
        before: &Self,
    ) -> io::Result<()> {
        for (prefix, _) in before.keys(local) {
            let kept = self.keys(local).any(|(kept, _)| kept == prefix);
            // A key without octets takes away what is there; there may be none after an attempt that failed.
            if !kept
                && let Err(error) = sign(socket, local, prefix, &[])
                && !is_absent(&error)
            {
                return Err(error);
            }
        }
        self.prepare_listener(socket, local)
    }

    /// The keys for a listening socket of this address.
    fn keys(&self, local: IpAddr) -> impl Iterator<Item = (Prefix, &Secret)> {
        // A socket of one version hears nothing of the other, but for [::], which hears both.
        let hears = move |prefix: &Prefix| {
            prefix.address.is_ipv4() == local.is_ipv4() || local.is_unspecified() && local.is_ipv6()
        };
        let proofs = self.proofs.iter().filter(move |(prefix, _)| hears(prefix));
        proofs.filter_map(|(prefix, proof)| Some((*prefix, proof.password.as_ref()?)))
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
        if let Some(password) = &proof.password {
            sign(socket, remote, Prefix::host(remote), password.expose())?;
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

/// Whether the kernel had no such key to take away.
fn is_absent(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

/// Gives the kernel the key for segments to and from a prefix. `family`: an address of the socket's version.
fn sign(socket: &impl AsRawFd, family: IpAddr, prefix: Prefix, key: &[u8]) -> io::Result<()> {
    let request = md5_request(family, prefix, key);
    set_option(socket, libc::SOL_TCP, libc::TCP_MD5SIG_EXT, &request).map_err(|error| {
        match error.raw_os_error() {
            Some(libc::ENOPROTOOPT) => io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel cannot sign TCP segments (it is built without CONFIG_TCP_MD5SIG); remove the password",
            ),
            _ => error,
        }
    })
}

fn md5_request(family: IpAddr, prefix: Prefix, key: &[u8]) -> [u8; MD5_OCTETS] {
    let (version, address) = match (family, prefix.address) {
        (IpAddr::V4(_), IpAddr::V4(address)) => (libc::AF_INET, [&[0; 2][..], &address.octets()].concat()),
        // Port and flow label come before an IPv6 address; an IPv4 address stands in its mapped form.
        (_, address) => {
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            (libc::AF_INET6, [&[0; 6][..], &address.octets()].concat())
        }
    };
    let length = u16::try_from(key.len()).unwrap_or(0);
    let fields = [
        (0, &u16::try_from(version).unwrap_or(0).to_ne_bytes()[..]),
        (2, &address),
        (128, &[MD5_FLAG_PREFIX, prefix.length]),
        (130, &length.to_ne_bytes()),
        (136, key),
    ];
    let mut request = [0; MD5_OCTETS];
    for (offset, value) in fields {
        for (octet, value) in request.iter_mut().skip(offset).zip(value) {
            *octet = *value;
        }
    }
    request
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
        let proof = |hops| Proof { password: None, ttl_security: Some(hops) };
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
