//! The connection to a BMP station: made again whenever it breaks, written to from a bounded queue.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Octets that wait for the station at most: more, and it is too slow.
const LIMIT: usize = 16 * 1024 * 1024;

/// With fewer octets than this there is room for more of what can wait.
const LOW: usize = 256 * 1024;

/// The time between attempts at first; it doubles up to the longest (RFC 7854 §3.2).
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(120);

/// A connection that lasted so long was no failed attempt.
const STABLE: Duration = Duration::from_secs(60);

/// How long an attempt to connect may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// What happens to the connection.
#[derive(Debug)]
pub(super) enum LinkEvent {
    /// It is there.
    Up(Link),
    /// It is gone, or was not to be had.
    Down(io::Error),
}

/// The owner's end of a connection; dropping it closes the connection, once all is written that was queued.
#[derive(Debug)]
pub(super) struct Link {
    messages: mpsc::UnboundedSender<Bytes>,
    queue: Arc<Queue>,
}

/// What both ends know of the queue.
#[derive(Debug, Default)]
struct Queue {
    octets: AtomicUsize,
    room: Notify,
    /// What is queued is not to be written any more.
    abandoned: Notify,
}

/// The station takes less than there is to tell.
#[derive(Debug)]
pub(super) struct TooSlow;

impl Link {
    /// Queues messages. If too many octets wait already, the connection is over, whatever is queued.
    pub(super) fn send(&self, messages: Bytes) -> Result<(), TooSlow> {
        let length = messages.len();
        if self.queue.octets.fetch_add(length, Ordering::Relaxed).saturating_add(length) > LIMIT {
            self.queue.abandoned.notify_one();
            return Err(TooSlow);
        }
        // If the task is gone, its event is on the way.
        drop(self.messages.send(messages));
        Ok(())
    }

    /// Waits until few octets wait.
    pub(super) async fn room(&self) {
        while self.queue.octets.load(Ordering::Relaxed) >= LOW {
            self.queue.room.notified().await;
        }
    }
}

/// Connects for ever, each time telling the owner.
pub(super) async fn run(address: SocketAddr, events: mpsc::Sender<LinkEvent>) {
    let mut delay = FIRST_DELAY;
    loop {
        let started = Instant::now();
        let error = match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => serve(stream, &events).await,
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        if events.send(LinkEvent::Down(error)).await.is_err() {
            return;
        }
        delay = if started.elapsed() >= STABLE { FIRST_DELAY } else { delay };
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(LONGEST_DELAY);
    }
}

/// Writes until the station or the owner ends it; gives the reason.
async fn serve(stream: TcpStream, events: &mpsc::Sender<LinkEvent>) -> io::Error {
    let (messages, mut batches) = mpsc::unbounded_channel::<Bytes>();
    let queue = Arc::new(Queue::default());
    if events.send(LinkEvent::Up(Link { messages, queue: Arc::clone(&queue) })).await.is_err() {
        return io::ErrorKind::Interrupted.into();
    }
    let (mut reader, mut writer) = stream.into_split();
    // A station says nothing (§3.2), but for its end.
    let listen = async {
        let mut ignored = [0; 512];
        loop {
            match reader.read(&mut ignored).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
    };
    let write = async {
        while let Some(batch) = batches.recv().await {
            if let Err(error) = writer.write_all(&batch).await {
                return error;
            }
            let before = queue.octets.fetch_sub(batch.len(), Ordering::Relaxed);
            if before.saturating_sub(batch.len()) < LOW {
                queue.room.notify_one();
            }
        }
        drop(writer.shutdown().await);
        io::ErrorKind::ConnectionAborted.into()
    };
    tokio::select! {
        error = listen => error,
        error = write => error,
        () = queue.abandoned.notified() => io::Error::other("it is too slow"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_station_that_falls_behind_is_left_and_tried_again() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (sender, mut events) = mpsc::channel(4);
        let task = tokio::spawn(run(listener.local_addr().unwrap(), sender));
        let (unread, _) = listener.accept().await.unwrap();
        let Some(LinkEvent::Up(link)) = events.recv().await else { panic!("a connection") };
        link.room().await;
        let message = Bytes::from(vec![0; 1024 * 1024]);
        let sent = (0..).take_while(|_| link.send(message.clone()).is_ok()).count();
        assert_eq!(sent, LIMIT / message.len());
        let Some(LinkEvent::Down(error)) = events.recv().await else { panic!("the end of it") };
        assert_eq!(error.to_string(), "it is too slow");
        drop((link, unread));
        assert!(matches!(events.recv().await, Some(LinkEvent::Up(_))));
        task.abort();
    }
}
