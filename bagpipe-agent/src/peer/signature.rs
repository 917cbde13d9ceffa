//! Keys with which the kernel signs the segments of a connection, and drops those of others that are not signed so:
//! MD5 signatures (RFC 2385), or the TCP Authentication Option (RFC 5925).

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use crate::config::{Prefix, Secret, TcpAo};
use crate::sys::set_option;

use super::protection::Proof;

/// A key of one of both kinds: a segment has one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Md5(&'a Secret),
    Ao(&'a TcpAo),
}

/// `struct __kernel_sockaddr_storage`, with which all of the structures below begin.
const ADDRESS_OCTETS: usize = 128;

/// `struct tcp_md5sig` (linux/tcp.h): a socket address, flags, prefix length, key length, interface, key.
const MD5_OCTETS: usize = ADDRESS_OCTETS + 8 + 80;
/// TCP_MD5SIG_FLAG_PREFIX: the key is that of a prefix.
const MD5_FLAG_PREFIX: u8 = 1;

/// TCP_AO_ADD_KEY, TCP_AO_DEL_KEY (linux/tcp.h, since Linux 6.7).
const AO_ADD_KEY: libc::c_int = 38;
const AO_DELETE_KEY: libc::c_int = 39;

/// `struct tcp_ao_add`: a socket address, the algorithm's name, interface, flags, prefix length, identifiers, length of
/// the code (0: 12 octets, RFC 5926 §3.2), flags, key length, key.
mod ao_add {
    pub(super) const ALGORITHM: usize = super::ADDRESS_OCTETS;
    pub(super) const PREFIX_LENGTH: usize = ALGORITHM + 64 + 10;
    pub(super) const SEND_ID: usize = PREFIX_LENGTH + 1;
    pub(super) const RECEIVE_ID: usize = PREFIX_LENGTH + 2;
    pub(super) const KEY_LENGTH: usize = PREFIX_LENGTH + 5;
    pub(super) const KEY: usize = PREFIX_LENGTH + 6;
    pub(super) const OCTETS: usize = KEY + 80;
}

/// `struct tcp_ao_del`: a socket address, interface, flags, prefix length, identifiers, keys to use from then on, flags.
mod ao_delete {
    pub(super) const PREFIX_LENGTH: usize = super::ADDRESS_OCTETS + 10;
    pub(super) const SEND_ID: usize = PREFIX_LENGTH + 1;
    pub(super) const RECEIVE_ID: usize = PREFIX_LENGTH + 2;
    pub(super) const OCTETS: usize = PREFIX_LENGTH + 6;
}

impl<'a> Key<'a> {
    /// The key that connections have to prove that they know.
    pub(super) fn of(proof: &'a Proof) -> Option<Self> {
        proof.tcp_ao.as_ref().map(Self::Ao).or_else(|| proof.password.as_ref().map(Self::Md5))
    }

    /// Whether giving the kernel this key is enough for the other to be gone.
    pub(super) fn overwrites(self, other: Self) -> bool {
        self == other || matches!((self, other), (Self::Md5(_), Self::Md5(_)))
    }

    /// Gives the kernel the key for segments to and from a prefix; it may have it already. `family`: an address of the
    /// socket's version.
    ///
    /// # Errors
    /// What the kernel says, in words if it is about the key.
    pub(super) fn give(self, socket: &impl AsRawFd, family: IpAddr, prefix: Prefix) -> io::Result<()> {
        let given = match self {
            Self::Md5(password) => md5(socket, family, prefix, password.expose()),
            Self::Ao(key) => replace(socket, family, prefix, key),
        };
        given.map_err(|error| self.explain(error))
    }

    /// Takes the key from the kernel, if it has it.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn take(self, socket: &impl AsRawFd, family: IpAddr, prefix: Prefix) -> io::Result<()> {
        let taken = match self {
            // A key without octets takes away what is there.
            Self::Md5(_) => md5(socket, family, prefix, &[]),
            Self::Ao(key) => delete(socket, family, prefix, key),
        };
        match taken {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            taken => taken,
        }
    }

    /// The cause and the remedy, where it is known what the kernel means.
    fn explain(self, error: io::Error) -> io::Error {
        let text = match (self, error.raw_os_error()) {
            (Self::Md5(_), Some(libc::ENOPROTOOPT)) => {
                "this kernel cannot sign TCP segments (it is built without CONFIG_TCP_MD5SIG); remove the password"
                    .to_owned()
            }
            (Self::Ao(_), Some(libc::ENOPROTOOPT)) => {
                "this kernel has no TCP-AO (it is older than Linux 6.7, or built without CONFIG_TCP_AO); use a kernel \
                 that has it, or at both ends a password in place of tcp_ao"
                    .to_owned()
            }
            (Self::Ao(key), Some(libc::ENOENT)) => format!(
                "this kernel does not know {0}, the algorithm of tcp_ao; load the module that brings {0}, or agree on \
                 another algorithm",
                key.algorithm.kernel_name()
            ),
            (Self::Ao(_), Some(libc::EEXIST)) => {
                "there is another key with the same key_id or receive_id for some of its addresses; give each key \
                 numbers of its own (RFC 5925 §3.1)"
                    .to_owned()
            }
            (_, Some(libc::EKEYREJECTED)) => {
                "there is a password and a tcp_ao for the same addresses; use one of them for all".to_owned()
            }
            _ => return error,
        };
        io::Error::new(io::ErrorKind::Unsupported, text)
    }
}

fn md5(socket: &impl AsRawFd, family: IpAddr, prefix: Prefix, key: &[u8]) -> io::Result<()> {
    let length = u16::try_from(key.len()).unwrap_or(0).to_ne_bytes();
    let flags = [MD5_FLAG_PREFIX, prefix.length];
    let fields = [(ADDRESS_OCTETS, &flags[..]), (ADDRESS_OCTETS + 2, &length), (ADDRESS_OCTETS + 8, key)];
    let request = request::<MD5_OCTETS>(family, prefix, &fields);
    set_option(socket, libc::SOL_TCP, libc::TCP_MD5SIG_EXT, &request)
}

fn add(socket: &impl AsRawFd, family: IpAddr, prefix: Prefix, key: &TcpAo) -> io::Result<()> {
    set_option(socket, libc::SOL_TCP, AO_ADD_KEY, &add_request(family, prefix, key))
}

/// Adds a key. The same identifiers may stand for another secret of the same prefix; of another one they may not.
fn replace(socket: &impl AsRawFd, family: IpAddr, prefix: Prefix, key: &TcpAo) -> io::Result<()> {
    match add(socket, family, prefix, key) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {
            delete(socket, family, prefix, key).map_err(|_| error)?;
            add(socket, family, prefix, key)
        }
        added => added,
    }
}

fn add_request(family: IpAddr, prefix: Prefix, key: &TcpAo) -> [u8; ao_add::OCTETS] {
    let secret = key.key.expose();
    request(
        family,
        prefix,
        &[
            (ao_add::ALGORITHM, key.algorithm.kernel_name().as_bytes()),
            (ao_add::PREFIX_LENGTH, &[prefix.length]),
            (ao_add::SEND_ID, &[key.key_id]),
            (ao_add::RECEIVE_ID, &[key.receive_id]),
            (ao_add::KEY_LENGTH, &[u8::try_from(secret.len()).unwrap_or(0)]),
            (ao_add::KEY, secret),
        ],
    )
}

fn delete(socket: &impl AsRawFd, family: IpAddr, prefix: Prefix, key: &TcpAo) -> io::Result<()> {
    set_option(socket, libc::SOL_TCP, AO_DELETE_KEY, &delete_request(family, prefix, key))
}

fn delete_request(family: IpAddr, prefix: Prefix, key: &TcpAo) -> [u8; ao_delete::OCTETS] {
    request(
        family,
        prefix,
        &[
            (ao_delete::PREFIX_LENGTH, &[prefix.length]),
            (ao_delete::SEND_ID, &[key.key_id]),
            (ao_delete::RECEIVE_ID, &[key.receive_id]),
        ],
    )
}

/// A structure that begins with the socket address of a prefix and has these octets at these offsets.
fn request<const OCTETS: usize>(family: IpAddr, prefix: Prefix, fields: &[(usize, &[u8])]) -> [u8; OCTETS] {
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
    let version = u16::try_from(version).unwrap_or(0).to_ne_bytes();
    let address = [(0, &version[..]), (2, &address)];
    let mut request = [0; OCTETS];
    for (offset, value) in address.iter().chain(fields) {
        for (octet, value) in request.iter_mut().skip(*offset).zip(*value) {
            *octet = *value;
        }
    }
    request
}

#[cfg(test)]
mod tests {
    use std::ffi::{c_char, c_int};
    use std::mem::offset_of;

    use super::*;
    use crate::config::AoAlgorithm;

    /// As linux/tcp.h has it; the bit fields are one word.
    #[repr(C, align(8))]
    struct TcpAoAdd {
        addr: [u8; 128],
        alg_name: [c_char; 64],
        ifindex: c_int,
        set_current_set_rnext_reserved: u32,
        reserved2: u16,
        prefix: u8,
        sndid: u8,
        rcvid: u8,
        maclen: u8,
        keyflags: u8,
        keylen: u8,
        key: [u8; 80],
    }

    #[repr(C, align(8))]
    struct TcpAoDel {
        addr: [u8; 128],
        ifindex: c_int,
        set_current_set_rnext_del_async_reserved: u32,
        reserved2: u16,
        prefix: u8,
        sndid: u8,
        rcvid: u8,
        current_key: u8,
        rnext: u8,
        keyflags: u8,
    }

    #[test]
    fn structures_are_those_of_the_kernel() {
        assert_eq!(offset_of!(TcpAoAdd, addr), 0);
        assert_eq!(offset_of!(TcpAoAdd, alg_name), ao_add::ALGORITHM);
        assert_eq!(offset_of!(TcpAoAdd, prefix), ao_add::PREFIX_LENGTH);
        assert_eq!(offset_of!(TcpAoAdd, sndid), ao_add::SEND_ID);
        assert_eq!(offset_of!(TcpAoAdd, rcvid), ao_add::RECEIVE_ID);
        assert_eq!(offset_of!(TcpAoAdd, keylen), ao_add::KEY_LENGTH);
        assert_eq!(offset_of!(TcpAoAdd, key), ao_add::KEY);
        assert_eq!((size_of::<TcpAoAdd>(), ao_add::OCTETS), (288, 288));
        assert_eq!(offset_of!(TcpAoDel, prefix), ao_delete::PREFIX_LENGTH);
        assert_eq!(offset_of!(TcpAoDel, sndid), ao_delete::SEND_ID);
        assert_eq!(offset_of!(TcpAoDel, rcvid), ao_delete::RECEIVE_ID);
        assert_eq!((size_of::<TcpAoDel>(), ao_delete::OCTETS), (144, 144));
        assert_eq!(MD5_OCTETS, 216);
    }

    #[test]
    fn requests_say_what_the_key_is() {
        let key =
            TcpAo { key_id: 7, receive_id: 9, algorithm: AoAlgorithm::Aes128Cmac, key: "secret".into() };
        let prefix = Prefix { address: "10.1.0.0".parse().unwrap(), length: 16 };
        let add = add_request(prefix.address, prefix, &key);
        assert_eq!((&add[..2], &add[2..8]), (&2_u16.to_ne_bytes()[..], &[0, 0, 10, 1, 0, 0][..]));
        assert_eq!((&add[128..141], &add[202..205]), (&b"cmac(aes128)\0"[..], &[16, 7, 9][..]));
        assert_eq!((add[207], &add[208..215]), (6, &b"secret\0"[..]));
        let delete = delete_request("::".parse().unwrap(), prefix, &key);
        assert_eq!(
            (&delete[..2], &delete[18..24]),
            (&10_u16.to_ne_bytes()[..], &[0xff, 0xff, 10, 1, 0, 0][..])
        );
        assert_eq!(delete[138..141], [16, 7, 9]);
    }
}
