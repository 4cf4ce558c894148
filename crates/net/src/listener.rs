//! Accepts connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::opening::{Accepted, Layers, Pool};

/// How long to wait before accepting again when the system has nothing left to give, file descriptors above all.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// An address that is taken; nobody can connect yet.
#[derive(Debug)]
pub struct Bound {
    name: Box<str>,
    socket: TcpSocket,
}

/// A listener that is open.
#[derive(Debug)]
pub struct Listener {
    name: Box<str>,
    listener: TcpListener,
    address: SocketAddr,
    layers: Arc<Layers>,
    pool: Pool,
}

/// What is spoken at a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MQTT over TCP.
    Mqtt,
    /// Over TLS.
    Mqtts,
    /// Over WebSocket.
    Ws,
    /// Over WebSocket and TLS.
    Wss,
}

impl Bound {
    /// As the listener is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets clients connect; the system holds up to `backlog` of them until they are accepted. What takes long before MQTT is
    /// done in `pool`.
    pub fn listen(self, backlog: u32, layers: Layers, pool: Pool) -> io::Result<Listener> {
        let listener = self.socket.listen(backlog)?;
        let address = listener.local_addr()?;
        Ok(Listener { name: self.name, listener, address, layers: Arc::new(layers), pool })
    }
}

impl Listener {
    /// Takes an address; port 0 lets the system choose. Outside of a tokio runtime it panics.
    pub fn bind(name: &str, address: SocketAddr) -> io::Result<Bound> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // Accepted sockets inherit it.
        socket.set_nodelay(true)?;
        socket.bind(address)?;
        Ok(Bound { name: name.into(), socket })
    }

    /// As it was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens, with the port the system chose if it was to choose.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What is spoken there.
    pub fn kind(&self) -> Kind {
        match (&self.layers.tls, &self.layers.web) {
            (None, None) => Kind::Mqtt,
            (Some(_), None) => Kind::Mqtts,
            (None, Some(_)) => Kind::Ws,
            (Some(_), Some(_)) => Kind::Wss,
        }
    }

    /// Accepts until told to stop. Each socket goes to `take`; `exhausted` is told when the system has no room for one.
    pub async fn accept(
        &self,
        take: impl Fn(Accepted, SocketAddr),
        exhausted: impl Fn(),
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                _ = stop.wait_for(|&stop| stop) => return,
            };
            match accepted {
                Ok((stream, peer)) => take(Accepted::new(stream, peer, &self.layers, &self.pool), peer),
                Err(error) if is_exhausted(&error) => {
                    tracing::error!(listener = &*self.name, %error, "cannot accept connections; trying again");
                    exhausted();
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
                // The peer was gone before it was accepted.
                Err(error) => tracing::debug!(listener = &*self.name, %error, "accept"),
            }
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOBUFS: i32 = 105;
    const ENOMEM: i32 = 12;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE | ENOBUFS | ENOMEM))
}
