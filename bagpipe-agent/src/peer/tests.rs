use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LIMIT: Duration = Duration::from_secs(10);
const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn next(sockets: &mut Sockets) -> Event {
    tokio::time::timeout(LIMIT, sockets.next()).await.expect("an event in time").expect("an event")
}

/// A connection from our sockets to a plain listener.
async fn connected() -> (Sockets, TcpStream) {
    let mut sockets = Sockets::new(LOCAL, Protection::default(), None);
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    sockets.connect(ConnId(7), listener.local_addr().unwrap());
    let (stream, _) = listener.accept().await.unwrap();
    assert!(matches!(next(&mut sockets).await, Event::Connected(ConnId(7), Some(_))));
    (sockets, stream)
}

#[tokio::test]
async fn bytes_go_both_ways() {
    let (mut sockets, mut stream) = connected().await;
    assert!(sockets.is_writable(ConnId(7)));
    sockets.write(ConnId(7), Bytes::from_static(b"open"));
    assert!(!sockets.is_writable(ConnId(7)));
    assert!(matches!(next(&mut sockets).await, Event::Written(ConnId(7))));
    let mut buffer = [0; 4];
    stream.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"open");
    stream.write_all(b"keepalive").await.unwrap();
    assert!(
        matches!(next(&mut sockets).await, Event::Received(ConnId(7), bytes) if &bytes[..] == b"keepalive")
    );
    drop(stream);
    assert!(matches!(next(&mut sockets).await, Event::Closed(ConnId(7), None)));
}

#[tokio::test]
async fn last_words_arrive_before_the_end() {
    let (mut sockets, mut stream) = connected().await;
    sockets.close(ConnId(7), Bytes::from_static(b"notification"));
    sockets.finish().await;
    let mut words = Vec::new();
    stream.read_to_end(&mut words).await.unwrap();
    assert_eq!(words, b"notification");
}

#[tokio::test]
async fn nothing_is_told_of_a_closed_connection() {
    let (mut sockets, mut stream) = connected().await;
    stream.write_all(b"late").await.unwrap();
    sockets.close(ConnId(7), Bytes::new());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    let bound = sockets.listen(SocketAddr::new(LOCAL, 0)).unwrap();
    let _other = TcpStream::connect(bound).await.unwrap();
    assert!(matches!(next(&mut sockets).await, Event::Accepted(..)));
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_back_only_itself() {
    let (mut sockets, stuck) = connected().await;
    let bound = sockets.listen(SocketAddr::new(LOCAL, 0)).unwrap();
    let mut reading = TcpStream::connect(bound).await.unwrap();
    let Event::Accepted(accepted, _) = next(&mut sockets).await else { panic!("not accepted") };
    sockets.adopt(ConnId(8), accepted);

    // Far more than the kernel buffers: this batch stays on its way.
    sockets.write(ConnId(7), Bytes::from(vec![0; 64 << 20]));
    for _ in 0..100 {
        sockets.write(ConnId(8), Bytes::from_static(b"x"));
        assert!(matches!(next(&mut sockets).await, Event::Written(ConnId(8))));
    }
    let mut buffer = [0; 100];
    reading.read_exact(&mut buffer).await.unwrap();
    assert!(!sockets.is_writable(ConnId(7)));
    drop(stuck);
}

#[tokio::test]
async fn a_refused_connection_is_told() {
    let mut sockets = Sockets::new(LOCAL, Protection::default(), None);
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    sockets.connect(ConnId(1), gone);
    assert!(matches!(next(&mut sockets).await, Event::ConnectFailed(ConnId(1), _)));
}

#[tokio::test]
async fn a_taken_port_is_an_error_with_a_remedy() {
    let mut sockets = Sockets::new(LOCAL, Protection::default(), None);
    let bound = sockets.listen(SocketAddr::new(LOCAL, 0)).unwrap();
    let text = sockets.listen(bound).unwrap_err().to_string();
    assert!(text.contains(&bound.to_string()) && text.contains("ss -ltnp"), "{text}");
    let elsewhere: SocketAddr = "192.0.2.1:1179".parse().unwrap();
    let text = sockets.listen(elsewhere).unwrap_err().to_string();
    assert!(text.contains("give an interface of this node that address"), "{text}");
}

#[tokio::test]
async fn connections_do_not_delay_and_do_not_wait_for_ever() {
    let limit = Duration::from_secs(9);
    let mut sockets = Sockets::new(LOCAL, Protection::default(), Some(limit));
    let bound = sockets.listen(SocketAddr::new(LOCAL, 0)).unwrap();
    let _client = TcpStream::connect(bound).await.unwrap();
    let Event::Accepted(stream, _) = next(&mut sockets).await else { panic!("not accepted") };
    let stream = stream.into_std().unwrap();
    let same = stream.try_clone().unwrap();
    sockets.adopt(ConnId(1), TcpStream::from_std(stream).unwrap());
    sockets.write(ConnId(1), Bytes::from_static(b"open"));
    assert!(matches!(next(&mut sockets).await, Event::Written(ConnId(1))));
    assert!(same.nodelay().unwrap());
    assert_eq!(socket2::SockRef::from(&same).tcp_user_timeout().unwrap(), Some(limit));
}
