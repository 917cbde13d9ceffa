//! One TCP connection: a reader and a writer in one task.

use std::io;
use std::time::Duration;

use bagpipe_bgp::speaker::ConnId;
use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;

use super::Event;

/// Octets taken from the kernel at once: a few of the largest messages (RFC 8654).
const READ: usize = 128 * 1024;

/// Serves a connection until the peer or the owner closes it; the owner does so by dropping the sender.
pub(super) async fn run(
    conn: ConnId,
    stream: TcpStream,
    unacknowledged: Option<Duration>,
    events: &mpsc::Sender<Event>,
    mut batches: mpsc::UnboundedReceiver<Bytes>,
) {
    // Messages are packed by the speaker: waiting for more would only delay them (RFC 896).
    drop(stream.set_nodelay(true));
    // The hold timer does not see a peer whose bytes arrive while ours do not (RFC 5482). No TCP keep-alives: BGP
    // sends its own, so there is always something to be acknowledged within the hold time.
    drop(SockRef::from(&stream).set_tcp_user_timeout(unacknowledged));
    let (reader, mut writer) = stream.into_split();
    let outcome = tokio::select! {
        outcome = read(conn, &reader, events) => Some(outcome),
        outcome = write(conn, &mut writer, events, &mut batches) => outcome.err().map(Err),
    };
    match outcome {
        Some(outcome) => drop(events.send(Event::Closed(conn, outcome.err())).await),
        None => drop(writer.shutdown().await),
    }
}

/// Reads to the end of the stream.
async fn read(conn: ConnId, reader: &OwnedReadHalf, events: &mpsc::Sender<Event>) -> io::Result<()> {
    loop {
        // No buffer while nothing comes: a reflector has many quiet clients.
        reader.readable().await?;
        let mut buffer = BytesMut::with_capacity(READ);
        match reader.try_read_buf(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {
                if events.send(Event::Received(conn, buffer.freeze())).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes batches until the owner drops the sender.
async fn write(
    conn: ConnId,
    writer: &mut OwnedWriteHalf,
    events: &mpsc::Sender<Event>,
    batches: &mut mpsc::UnboundedReceiver<Bytes>,
) -> io::Result<()> {
    while let Some(batch) = batches.recv().await {
        writer.write_all(&batch).await?;
        drop(events.send(Event::Written(conn)).await);
    }
    Ok(())
}
