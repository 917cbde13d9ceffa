//! What the kernel does with connections that do not prove what they should, over loopback. The counters of the
//! network namespace tell what it has dropped.

use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::*;
use crate::config::{AoAlgorithm, Prefix, Secret, TcpAo};
use crate::sys::{get_option, set_option};

const LIMIT: Duration = Duration::from_secs(10);
const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

fn protected(prefix: &[(IpAddr, u8)], password: Option<&str>, ttl_security: Option<u8>) -> Protection {
    let proof = Proof { password: password.map(Secret::from), tcp_ao: None, ttl_security };
    Protection::new(prefix.iter().map(|&(address, length)| (Prefix { address, length }, proof.clone())))
}

/// Loopback addresses of both versions, in prefixes.
fn loopback(password: Option<&str>, ttl_security: Option<u8>) -> Protection {
    protected(&[("127.0.0.0".parse().unwrap(), 8), (V6, 128)], password, ttl_security)
}

async fn next(sockets: &mut Sockets) -> Event {
    tokio::time::timeout(LIMIT, sockets.next()).await.expect("an event in time").expect("an event")
}

/// A counter of /proc/net/netstat.
fn counter(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/netstat").unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("TcpExt:")).collect();
    let [names, values] = lines[..] else { panic!("{text}") };
    let found = names.split_whitespace().zip(values.split_whitespace()).find(|(found, _)| *found == name);
    found.unwrap_or_else(|| panic!("no {name} in {text}")).1.parse().unwrap()
}

/// Waits until one of the counters has grown.
async fn grown(counters: &[(&str, u64)]) {
    let wait = async {
        while counters.iter().all(|(name, before)| counter(name) == *before) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the kernel drops it");
}

#[tokio::test]
async fn both_ends_sign_or_there_is_no_connection() {
    for address in [V4, V6] {
        let mut server = Sockets::new(address, loopback(Some("secret"), None), None);
        let listening = server.listen(SocketAddr::new(address, 0)).unwrap();
        let mut client = Sockets::new(address, loopback(Some("secret"), None), None);
        client.connect(ConnId(1), listening);
        let Event::Accepted(mut stream, _) = next(&mut server).await else { panic!("not accepted") };
        assert!(matches!(next(&mut client).await, Event::Connected(ConnId(1), Some(_))));
        client.write(ConnId(1), Bytes::from_static(b"signed"));
        let mut read = [0; 6];
        stream.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"signed");

        for (protection, name) in
            [(loopback(Some("guess"), None), "TCPMD5Failure"), (Protection::default(), "TCPMD5NotFound")]
        {
            let before = counter(name);
            let mut stranger = Sockets::new(address, protection, None);
            stranger.connect(ConnId(2), listening);
            grown(&[(name, before)]).await;
            assert!(stranger.inbox.try_recv().is_err() && server.inbox.try_recv().is_err());
        }
    }
}

/// A listener on all addresses of both versions knows the keys of both.
#[tokio::test]
async fn a_listener_of_both_versions_has_the_keys_of_both() {
    let mut server = Sockets::new(V6, loopback(Some("secret"), None), None);
    let listening = server.listen("[::]:0".parse().unwrap()).unwrap();
    for address in [V4, V6] {
        let mut client = Sockets::new(address, loopback(Some("secret"), None), None);
        client.connect(ConnId(1), SocketAddr::new(address, listening.port()));
        let Event::Accepted(_, remote) = next(&mut server).await else { panic!("not accepted") };
        assert_eq!(remote.ip().to_canonical(), address);
    }
    let before = counter("TCPMD5NotFound");
    let mut stranger = Sockets::new(V4, Protection::default(), None);
    stranger.connect(ConnId(2), SocketAddr::new(V4, listening.port()));
    grown(&[("TCPMD5NotFound", before)]).await;
}

#[tokio::test]
async fn who_is_too_far_away_is_not_heard() {
    for address in [V4, V6] {
        let mut server = Sockets::new(address, loopback(None, Some(2)), None);
        let listening = server.listen(SocketAddr::new(address, 0)).unwrap();
        // One whose first packet has come over two routers.
        let mut far = from_afar(address, 253, listening).await;
        let end = tokio::time::timeout(LIMIT, far.read(&mut [0; 1])).await.expect("closed");
        assert!(matches!(end, Ok(0) | Err(_)));
        assert!(server.inbox.try_recv().is_err());

        // One router is as it should be; packets that come over more of them later are dropped.
        let mut near = from_afar(address, 254, listening).await;
        let Event::Accepted(mut stream, _) = next(&mut server).await else { panic!("not accepted") };
        near.write_all(b"near").await.unwrap();
        let mut read = [0; 4];
        stream.read_exact(&mut read).await.unwrap();
        let before = counter("TCPMinTTLDrop");
        set_ttl(&near, address, 253);
        near.write_all(b"far").await.unwrap();
        grown(&[("TCPMinTTLDrop", before)]).await;
        assert_eq!(stream.try_read(&mut [0; 4]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}

/// Peers can tell that we are near, whatever we ask of them; and an answer from afar is no answer.
#[tokio::test]
async fn attempts_are_made_from_near_and_answered_from_near() {
    for address in [V4, V6] {
        let mut server = Sockets::new(address, loopback(None, Some(1)), None);
        let listening = server.listen(SocketAddr::new(address, 0)).unwrap();
        let mut client = Sockets::new(address, Protection::default(), None);
        client.connect(ConnId(1), listening);
        assert!(matches!(next(&mut server).await, Event::Accepted(..)));

        let plain = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
        let before = counter("TCPMinTTLDrop");
        let mut client = Sockets::new(address, loopback(None, Some(1)), None);
        client.connect(ConnId(1), plain.local_addr().unwrap());
        grown(&[("TCPMinTTLDrop", before)]).await;
        assert!(client.inbox.try_recv().is_err());
    }
}

/// A connection of packets with a TTL.
async fn from_afar(address: IpAddr, ttl: i32, listening: SocketAddr) -> TcpStream {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
    set_ttl(&socket, address, ttl);
    socket.connect(listening).await.unwrap()
}

fn set_ttl(socket: &impl AsRawFd, address: IpAddr, ttl: i32) {
    let (level, option) = match address {
        IpAddr::V4(_) => (libc::SOL_IP, libc::IP_TTL),
        IpAddr::V6(_) => (libc::SOL_IPV6, libc::IPV6_UNICAST_HOPS),
    };
    set_option(socket, level, option, &ttl.to_ne_bytes()).unwrap();
}

fn authenticated(key: &str, algorithm: AoAlgorithm, ids: (u8, u8)) -> Protection {
    let tcp_ao = Some(TcpAo { key_id: ids.0, receive_id: ids.1, algorithm, key: key.into() });
    let proof = Proof { tcp_ao, ..Proof::default() };
    let prefixes = [("127.0.0.0".parse().unwrap(), 8), (V6, 128)];
    Protection::new(prefixes.map(|(address, length)| (Prefix { address, length }, proof.clone())))
}

/// What the kernel itself says: TCP_AO_INFO (linux/tcp.h) is no option of one that has no TCP-AO.
fn kernel_has_tcp_ao() -> bool {
    const TCP_AO_INFO: libc::c_int = 40;
    let socket = TcpSocket::new_v4().unwrap();
    let info = get_option(&socket, libc::SOL_TCP, TCP_AO_INFO, &mut [0; 48]);
    info.err().and_then(|error| error.raw_os_error()) != Some(libc::ENOPROTOOPT)
}

/// Where the kernel has TCP-AO (RFC 5925), who has another key is not heard; where it has not, nobody is left without
/// protection.
#[tokio::test]
async fn both_ends_authenticate_or_are_told_that_the_kernel_cannot() {
    for algorithm in [AoAlgorithm::HmacSha1, AoAlgorithm::Aes128Cmac, AoAlgorithm::HmacSha256] {
        for address in [V4, V6] {
            let protection = authenticated("secret", algorithm, (1, 2));
            let mut server = Sockets::new(address, protection.clone(), None);
            let listening = server.listen(SocketAddr::new(address, 0));
            if !kernel_has_tcp_ao() {
                let errors =
                    [protection.check().unwrap_err().to_string(), listening.unwrap_err().to_string()];
                for error in errors {
                    for word in ["peer 127.0.0.0/8", "CONFIG_TCP_AO", "a password in place of tcp_ao"] {
                        let word = if address == V6 { word.replace("127.0.0.0/8", "") } else { word.into() };
                        assert!(error.contains(&word), "no {word:?} in {error:?}");
                    }
                }
                let plain = tokio::net::TcpListener::bind((address, 0)).await.unwrap();
                let mut client = Sockets::new(address, protection, None);
                client.connect(ConnId(1), plain.local_addr().unwrap());
                let Event::ConnectFailed(_, error) = next(&mut client).await else { panic!("unprotected") };
                assert!(error.to_string().contains("CONFIG_TCP_AO"), "{error}");
                continue;
            }
            protection.check().unwrap();
            let listening = listening.unwrap();
            let mut client = Sockets::new(address, authenticated("secret", algorithm, (2, 1)), None);
            client.connect(ConnId(1), listening);
            let Event::Accepted(mut stream, _) = next(&mut server).await else { panic!("not accepted") };
            assert!(matches!(next(&mut client).await, Event::Connected(ConnId(1), _)));
            client.write(ConnId(1), Bytes::from_static(b"signed"));
            let mut read = [0; 6];
            stream.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"signed");

            let guess = authenticated("guess", algorithm, (2, 1));
            for (protection, name) in [(guess, "TCPAOBad"), (Protection::default(), "TCPAORequired")] {
                let before = counter(name);
                let mut stranger = Sockets::new(address, protection, None);
                stranger.connect(ConnId(2), listening);
                grown(&[(name, before)]).await;
                assert!(stranger.inbox.try_recv().is_err() && server.inbox.try_recv().is_err());
            }
            // Another secret with the same numbers takes the place of the first.
            server.protect(authenticated("another", algorithm, (1, 2)), None).unwrap();
            let mut client = Sockets::new(address, authenticated("another", algorithm, (2, 1)), None);
            client.connect(ConnId(3), listening);
            assert!(matches!(next(&mut server).await, Event::Accepted(..)));
        }
    }
}
