//! What the kernel is asked and told. Answers are there when the request returns: routing netlink handles a
//! request within the call that sends it.

use std::io;
use std::net::IpAddr;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::decode;
use super::message::{Builder, Message, messages};
use crate::dataplane::links::Link;
use crate::dataplane::underlay::{Neighbor, NeighborId, Route};

/// Larger than any datagram that the kernel makes of a dump.
pub(super) const DATAGRAM: usize = 1 << 16;

const IFLA_INFO_KIND: u16 = 1;

/// A socket for requests.
#[derive(Debug)]
pub(crate) struct Requests {
    socket: Socket,
    sequence: u32,
    /// Room for a datagram.
    datagram: Vec<u8>,
}

impl Requests {
    /// Opens the socket, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Those of socket(2).
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 0, datagram: Vec::with_capacity(DATAGRAM) })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn links(&mut self) -> io::Result<Vec<Link>> {
        self.dump(libc::RTM_GETLINK, &[0; 16], decode::link)
    }

    /// All neighbours that have a usable MAC address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn neighbors(&mut self) -> io::Result<Vec<(NeighborId, Neighbor)>> {
        self.dump(libc::RTM_GETNEIGH, &[0; 12], |message| {
            let (id, neighbor) = decode::neighbor(message)?;
            Some((id, neighbor?))
        })
    }

    /// All addresses that reach beyond their link, with the index of their interface, in the kernel's order.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn addresses(&mut self) -> io::Result<Vec<(u32, IpAddr)>> {
        self.dump(libc::RTM_GETADDR, &[0; 8], decode::address)
    }

    /// The unicast route to an address, if there is one.
    ///
    /// # Errors
    /// When the kernel could not be asked; not when it has no route.
    pub(crate) fn route(&mut self, destination: IpAddr) -> io::Result<Option<Route>> {
        let (family, octets) = family_and_octets(destination);
        let length = u8::try_from(octets.len() * 8).unwrap_or(0);
        let request = self
            .request(libc::RTM_GETROUTE, 0)
            .fixed(&[family, length, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
            .attribute(libc::RTA_DST, &octets);
        match self.exchange(request, decode::route) {
            Ok(routes) => Ok(routes.into_iter().next()),
            Err(error) if is_unreachable(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the kernel resolve a neighbour and keep it resolved, or ends that. Not to be used on one that was set
    /// by hand: the kernel would forget its address.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn keep_neighbor(&mut self, (ifindex, address): NeighborId, keep: bool) -> io::Result<()> {
        const NDA_FLAGS_EXT: u16 = 15;
        const NTF_EXT_MANAGED: u32 = 1;
        let (family, octets) = family_and_octets(address);
        let flags = libc::NLM_F_ACK | if keep { libc::NLM_F_CREATE } else { 0 };
        let mut fixed = [0; 12];
        fixed[0] = family;
        fixed[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        fixed[10] = libc::NTF_USE;
        let request = self
            .request(libc::RTM_NEWNEIGH, flags)
            .fixed(&fixed)
            .attribute(libc::NDA_DST, &octets)
            .attribute(NDA_FLAGS_EXT, &(if keep { NTF_EXT_MANAGED } else { 0 }).to_ne_bytes());
        self.exchange(request, |_| None::<()>).map(drop)
    }

    /// Creates a VXLAN device for all VNIs (`external`) on a UDP port. It is down.
    ///
    /// # Errors
    /// When the kernel refuses: `EEXIST` when the name or the port is taken.
    pub(crate) fn create_vxlan(&mut self, name: &str, port: u16) -> io::Result<()> {
        const IFLA_INFO_DATA: u16 = 2;
        const IFLA_VXLAN_LEARNING: u16 = 7;
        const IFLA_VXLAN_PORT: u16 = 15;
        const IFLA_VXLAN_UDP_ZERO_CSUM6_RX: u16 = 20;
        const IFLA_VXLAN_COLLECT_METADATA: u16 = 25;
        let request = self
            .request(libc::RTM_NEWLINK, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL)
            .fixed(&[0; 16])
            .attribute(libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat())
            .nested(libc::IFLA_LINKINFO, |info| {
                info.attribute(IFLA_INFO_KIND, b"vxlan").nested(IFLA_INFO_DATA, |data| {
                    data.attribute(IFLA_VXLAN_COLLECT_METADATA, &[1])
                        .attribute(IFLA_VXLAN_LEARNING, &[0])
                        .attribute(IFLA_VXLAN_PORT, &port.to_be_bytes())
                        .attribute(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, &[1])
                })
            });
        self.exchange(request, |_| None::<()>).map(drop)
    }

    /// Sets an interface up, without an IPv6 link-local address of the kernel's choice.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn set_up(&mut self, ifindex: u32) -> io::Result<()> {
        const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
        const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
        const AF_INET6: u16 = 10;
        let mut fixed = [0; 16];
        fixed[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        // The kernel sets the interface up before it looks at the rest of a request: so there are two.
        let request = self.request(libc::RTM_SETLINK, libc::NLM_F_ACK).fixed(&fixed).nested(
            libc::IFLA_AF_SPEC,
            |families| {
                families.nested(AF_INET6, |ipv6| {
                    ipv6.attribute(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE])
                })
            },
        );
        // Refused where there is no IPv6, and no address to be chosen.
        if let Err(error) = self.exchange(request, |_| None::<()>) {
            tracing::debug!(ifindex, %error, "the kernel chooses the IPv6 addresses");
        }
        let up = libc::IFF_UP.to_ne_bytes();
        fixed[8..12].copy_from_slice(&up);
        fixed[12..].copy_from_slice(&up);
        let request = self.request(libc::RTM_SETLINK, libc::NLM_F_ACK).fixed(&fixed);
        self.exchange(request, |_| None::<()>).map(drop)
    }

    /// Creates a bridge, which is down.
    ///
    /// # Errors
    /// When the kernel refuses: `EEXIST` when the name is taken, `EOPNOTSUPP` when it has no bridges.
    pub(crate) fn create_bridge(&mut self, name: &str) -> io::Result<()> {
        let request = self
            .request(libc::RTM_NEWLINK, libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL)
            .fixed(&[0; 16])
            .attribute(libc::IFLA_IFNAME, &[name.as_bytes(), &[0]].concat())
            .nested(libc::IFLA_LINKINFO, |info| info.attribute(IFLA_INFO_KIND, b"bridge"));
        self.exchange(request, |_| None::<()>).map(drop)
    }

    /// Puts an interface into a bridge, or takes it out of the one that it is in.
    ///
    /// # Errors
    /// When the kernel refuses: `EXFULL` when the bridge has as many ports as it can have.
    pub(crate) fn set_master(&mut self, ifindex: u32, master: Option<u32>) -> io::Result<()> {
        let mut fixed = [0; 16];
        fixed[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        let request = self
            .request(libc::RTM_SETLINK, libc::NLM_F_ACK)
            .fixed(&fixed)
            .attribute(libc::IFLA_MASTER, &master.unwrap_or(0).to_ne_bytes());
        self.exchange(request, |_| None::<()>).map(drop)
    }

    /// Deletes an interface.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub(crate) fn delete_link(&mut self, ifindex: u32) -> io::Result<()> {
        let mut fixed = [0; 16];
        fixed[4..8].copy_from_slice(&ifindex.to_ne_bytes());
        let request = self.request(libc::RTM_DELLINK, libc::NLM_F_ACK).fixed(&fixed);
        self.exchange(request, |_| None::<()>).map(drop)
    }

    fn dump<T>(
        &mut self,
        kind: u16,
        fixed: &[u8],
        decode: impl Fn(&Message<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let request = self.request(kind, libc::NLM_F_DUMP).fixed(fixed);
        self.exchange(request, decode)
    }

    pub(super) fn request(&mut self, kind: u16, flags: i32) -> Builder {
        self.sequence = self.sequence.wrapping_add(1);
        Builder::new(kind, libc::NLM_F_REQUEST | flags, self.sequence)
    }

    /// Sends a request and reads its answers: to the end of a dump, to the acknowledgement, or the one message.
    pub(super) fn exchange<T>(
        &mut self,
        request: Builder,
        decode: impl Fn(&Message<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let request = request.finish();
        self.socket.send_to(&request, &SocketAddr::new(0, 0), 0)?;
        let several = messages(&request).next().is_some_and(|message| message.kind != libc::RTM_GETROUTE);
        self.answers(self.sequence, several, decode)
    }

    /// Sends two requests at once, made one after the other: the kernel carries the second out whatever becomes of the
    /// first. How each went.
    ///
    /// # Errors
    /// When they can't be sent.
    pub(super) fn exchange_both(
        &mut self,
        first: Builder,
        second: Builder,
    ) -> io::Result<(io::Result<()>, io::Result<()>)> {
        let requests = [first.finish(), second.finish()].concat();
        self.socket.send_to(&requests, &SocketAddr::new(0, 0), 0)?;
        let first = self.answers(self.sequence.wrapping_sub(1), true, |_| None::<()>).map(drop);
        Ok((first, self.answers(self.sequence, true, |_| None::<()>).map(drop)))
    }

    /// Each answer is a datagram of its own, or several.
    fn answers<T>(
        &mut self,
        sequence: u32,
        several: bool,
        decode: impl Fn(&Message<'_>) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        let mut answers = Vec::new();
        loop {
            self.datagram.clear();
            self.socket.recv(&mut self.datagram, 0)?;
            for message in messages(&self.datagram).filter(|message| message.sequence == sequence) {
                match i32::from(message.kind) {
                    libc::NLMSG_DONE => return Ok(answers),
                    libc::NLMSG_ERROR => match message.error() {
                        Some(0) => return Ok(answers),
                        Some(number) => return Err(io::Error::from_raw_os_error(number)),
                        None => return Err(io::ErrorKind::InvalidData.into()),
                    },
                    _ => answers.extend(decode(&message)),
                }
                if !several {
                    return Ok(answers);
                }
            }
        }
    }
}

fn family_and_octets(address: IpAddr) -> (u8, Vec<u8>) {
    let (family, octets) = match address {
        IpAddr::V4(address) => (libc::AF_INET, address.octets().to_vec()),
        IpAddr::V6(address) => (libc::AF_INET6, address.octets().to_vec()),
    };
    (u8::try_from(family).unwrap_or(0), octets)
}

/// Answers that mean "no route": among them those of routes of type unreachable, prohibit and blackhole.
fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ENETUNREACH
                | libc::EHOSTUNREACH
                | libc::EACCES
                | libc::EINVAL
                | libc::ENETDOWN
                | libc::ESRCH
        )
    )
}
