//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mqtt_hooks::Listener;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::arrival::Origin;
use crate::broker::Broker;
use crate::pipe::Pipe;
use crate::serve::Task;
use crate::transport::Transport;

/// How long to wait before accepting again when the system has nothing left to give, file descriptors above all.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Binds `address`; nobody can connect before it [listens](TcpSocket::listen).
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit it.
    socket.set_nodelay(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// A listener that is open, and known to the broker.
#[derive(Debug)]
pub(crate) struct Open {
    listener: TcpListener,
    origin: Arc<Listener>,
    address: SocketAddr,
}

impl Open {
    /// With the port the system chose, if it was to choose.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Gives a listener its name.
pub(crate) fn open(broker: &Broker, listener: TcpListener, name: &str) -> io::Result<Arc<Open>> {
    let address = listener.local_addr()?;
    let origin = Arc::new(Listener { name: name.into(), port: address.port() });
    broker.listeners.lock().push((Arc::clone(&origin), address));
    Ok(Arc::new(Open { listener, origin, address }))
}

/// Accepts until told to stop.
pub(crate) async fn accept(broker: Arc<Broker>, open: Arc<Open>, mut stop: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = open.listener.accept() => accepted,
            _ = stop.wait_for(|&stop| stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let origin = Origin { peer, listener: Arc::clone(&open.origin) };
                take(&broker, Transport::Tcp(stream), origin);
            }
            Err(error) if is_exhausted(&error) => {
                tracing::error!(%error, "cannot accept connections; trying again");
                broker.note_accept_failed();
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
            // The peer was gone before it was accepted.
            Err(error) => tracing::debug!(%error, "accept"),
        }
    }
}

/// The other end is served like an accepted socket, from no port.
pub(crate) fn connect_in_memory(broker: &Arc<Broker>, peer: SocketAddr) -> Pipe {
    static MEMORY: LazyLock<Arc<Listener>> = LazyLock::new(|| Arc::new(Listener { name: "memory".into(), port: 0 }));
    let (ours, theirs) = Pipe::pair();
    take(broker, Transport::Memory(ours), Origin { peer, listener: Arc::clone(&MEMORY) });
    theirs
}

fn take(broker: &Arc<Broker>, transport: Transport, origin: Origin) {
    // Sockets that have not sent CONNECT yet are bounded as well: they may be as many as clients.
    let limit = broker.config.mqtt.max_connections.saturating_mul(2);
    if broker.sockets.load(Relaxed) >= limit {
        tracing::warn!(peer = %origin.peer, "not accepted: twice mqtt.max_connections sockets are open");
        return;
    }
    tokio::spawn(Task::new(broker, transport, origin));
}

fn is_exhausted(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ENOMEM: i32 = 12;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}
