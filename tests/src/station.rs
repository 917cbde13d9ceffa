//! A BMP station that takes all that comes and says nothing, as stations do.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use bagpipe_agent::lab::Node;

use crate::speaker::within;

/// A listening station. It ends when this is dropped.
#[derive(Debug)]
pub struct Station {
    node: Node,
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Station {
    /// Listens on an address of a node.
    ///
    /// # Panics
    /// When it can't.
    #[must_use]
    pub fn start(node: &Node, address: SocketAddr) -> Self {
        let listener = within(node, || TcpListener::bind(address)).expect("a free port");
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let thread = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept()
                && !ends.load(Ordering::Relaxed)
            {
                swallow(stream);
            }
        });
        Self { node: node.clone(), address, over, thread: Some(thread) }
    }
}

/// Reads to the end on a thread of its own, which ends with the connection.
fn swallow(mut stream: TcpStream) {
    thread::spawn(move || {
        let mut octets = [0; 4096];
        while stream.read(&mut octets).is_ok_and(|length| length > 0) {}
    });
}

impl Drop for Station {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Somebody has to connect for the thread to see that it is over.
        let woken = within(&self.node, || TcpStream::connect(self.address)).is_ok();
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            drop(thread.join());
        }
    }
}
