//! Accepts connections.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

use crate::opening::{Accepted, Layers, Pool, Stream};
use crate::tls::Certificates;
use crate::{Address, unix};

/// How long to wait before accepting again when the system has nothing left to give, file descriptors above all.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// An address that is taken; nobody can connect yet.
#[derive(Debug)]
pub struct Bound {
    name: Box<str>,
    address: Address,
    socket: BoundSocket,
}

#[derive(Debug)]
enum BoundSocket {
    Tcp(TcpSocket),
    Unix(unix::Bound),
}

#[derive(Debug)]
enum Accepting {
    Tcp(TcpListener),
    Unix(unix::Listening),
}

/// A listener. It may be closed and opened again while it [accepts](Self::accept).
#[derive(Debug)]
pub struct Listener {
    name: Box<str>,
    socket: Mutex<Socket>,
    address: Address,
    backlog: u32,
    layers: ArcSwap<Layers>,
    pool: Pool,
}

#[derive(Debug)]
struct Socket {
    /// `None`: closed.
    open: Option<Accepting>,
    /// It is not opened again.
    is_retired: bool,
    /// Who accepts; what wakes it otherwise goes with the socket that is closed.
    accepting: Waker,
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
        let Self { name, address, socket } = self;
        let (open, address) = socket.listen(backlog, address)?;
        let listener = Listener::closed(&name, address, backlog, layers, pool);
        listener.socket.lock().open = Some(open);
        Ok(listener)
    }
}

impl BoundSocket {
    /// With the address, in which the port is now the one that the system has chosen.
    fn listen(self, backlog: u32, address: Address) -> io::Result<(Accepting, Address)> {
        match self {
            Self::Tcp(socket) => {
                let listener = socket.listen(backlog)?;
                let address = listener.local_addr()?.into();
                Ok((Accepting::Tcp(listener), address))
            }
            Self::Unix(socket) => Ok((Accepting::Unix(socket.listen(backlog)?), address)),
        }
    }
}

impl Accepting {
    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        match self {
            Self::Tcp(listener) => listener.poll_accept(context).map_ok(|(stream, peer)| (Stream::Tcp(stream), peer)),
            Self::Unix(unix::Listening { listener, .. }) => {
                let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                listener.poll_accept(context).map_ok(|(stream, _)| (Stream::Unix(stream), peer))
            }
        }
    }
}

impl Listener {
    /// Takes an address. Outside of a tokio runtime it panics.
    pub fn bind(name: &str, address: &Address) -> io::Result<Bound> {
        let socket = match address {
            Address::Ip(address) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.set_reuseaddr(true)?;
                // Accepted sockets inherit it.
                socket.set_nodelay(true)?;
                socket.bind(*address)?;
                BoundSocket::Tcp(socket)
            }
            Address::Unix { path, mode } => BoundSocket::Unix(unix::Bound::new(path, *mode)?),
        };
        Ok(Bound { name: name.into(), address: address.clone(), socket })
    }

    /// One that is closed, at an address that is somebody's maybe. What else it is told is as for [`Bound::listen`].
    pub fn closed(name: &str, address: Address, backlog: u32, layers: Layers, pool: Pool) -> Self {
        let socket = Mutex::new(Socket { open: None, is_retired: false, accepting: Waker::noop().clone() });
        Self { name: name.into(), socket, address, backlog, layers: ArcSwap::from_pointee(layers), pool }
    }

    /// As it was called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens when it is open, with the port the system chose if it was to choose.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// What is spoken there.
    pub fn kind(&self) -> Kind {
        let layers = self.layers.load();
        match (&layers.tls, &layers.web) {
            (None, None) => Kind::Mqtt,
            (Some(_), None) => Kind::Mqtts,
            (None, Some(_)) => Kind::Ws,
            (Some(_), Some(_)) => Kind::Wss,
        }
    }

    /// Those that it shows to clients.
    pub fn certificates(&self) -> Option<Arc<Certificates>> {
        self.layers.load().tls.clone()
    }

    /// Who is accepted from now on finds these before MQTT.
    pub fn set_layers(&self, layers: Layers) {
        self.layers.store(Arc::new(layers));
    }

    /// Closes it for good: [`Self::accept`] returns.
    pub fn retire(&self) {
        let mut socket = self.socket.lock();
        socket.open = None;
        socket.is_retired = true;
        socket.accepting.wake_by_ref();
    }

    /// False while it is closed.
    pub fn is_open(&self) -> bool {
        self.socket.lock().open.is_some()
    }

    /// Closes its socket: when this returns, the system refuses who connects. False if it was closed.
    pub fn close(&self) -> bool {
        self.socket.lock().open.take().is_some()
    }

    /// Takes [its address](Self::address) again; content if it is open. Outside of a tokio runtime it panics.
    ///
    /// # Errors
    /// Those of the system: another program has the address.
    pub fn open(&self) -> io::Result<()> {
        let mut socket = self.socket.lock();
        if socket.open.is_none() && !socket.is_retired {
            let bound = Self::bind(&self.name, &self.address)?;
            socket.open = Some(bound.socket.listen(self.backlog, bound.address)?.0);
            socket.accepting.wake_by_ref();
        }
        Ok(())
    }

    /// Accepts until told to stop, or until it is [retired](Self::retire), and waits while it is closed. Only one may do so at a time.
    /// Each socket goes to `take`; `exhausted` is told when the system has no room for one.
    pub async fn accept(
        &self,
        take: impl Fn(Accepted, SocketAddr),
        exhausted: impl Fn(),
        mut stop: watch::Receiver<bool>,
    ) {
        loop {
            let accepted = tokio::select! {
                accepted = poll_fn(|context| self.poll_accept(context)) => accepted,
                () = poll_fn(|context| self.poll_retired(context)) => return,
                _ = stop.wait_for(|&stop| stop) => return,
            };
            match accepted {
                Ok((stream, peer)) => take(Accepted::new(stream, peer, &self.layers.load(), &self.pool), peer),
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

    fn poll_retired(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut socket = self.socket.lock();
        socket.accepting.clone_from(context.waker());
        if socket.is_retired { Poll::Ready(()) } else { Poll::Pending }
    }

    fn poll_accept(&self, context: &mut Context<'_>) -> Poll<io::Result<(Stream, SocketAddr)>> {
        let mut socket = self.socket.lock();
        socket.accepting.clone_from(context.waker());
        match &socket.open {
            Some(open) => open.poll_accept(context),
            None => Poll::Pending,
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

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn who_connects_is_refused_while_it_is_closed_and_accepted_when_it_is_open_again() {
        let bound = Listener::bind("it", &Address::Ip(([127, 0, 0, 1], 0).into())).unwrap();
        let listener = Arc::new(bound.listen(16, Layers::default(), Pool::default()).unwrap());
        let address = listener.address().ip().unwrap();
        let (taken, mut peers) = mpsc::unbounded_channel();
        let (stop, stopping) = watch::channel(false);
        let accepting = tokio::spawn({
            let listener = Arc::clone(&listener);
            async move { listener.accept(|_, peer| taken.send(peer).unwrap(), || (), stopping).await }
        });
        for _ in 0..3 {
            let stream = TcpStream::connect(address).await.unwrap();
            assert_eq!(peers.recv().await, stream.local_addr().ok());
            listener.open().unwrap();
            assert!(listener.close() && !listener.close() && !listener.is_open());
            assert_eq!(TcpStream::connect(address).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            let other = std::net::TcpListener::bind(address).unwrap();
            assert_eq!(listener.open().unwrap_err().kind(), ErrorKind::AddrInUse);
            drop(other);
            listener.open().unwrap();
            assert!(listener.is_open());
        }
        listener.close();
        stop.send_replace(true);
        accepting.await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_retired_accepts_nobody_ever_again() {
        let bound = Listener::bind("it", &Address::Ip(([127, 0, 0, 1], 0).into())).unwrap();
        let listener = Arc::new(bound.listen(16, Layers::default(), Pool::default()).unwrap());
        let (_stop, stopping) = watch::channel(false);
        let accepting = tokio::spawn({
            let listener = Arc::clone(&listener);
            async move { listener.accept(|_, _| (), || (), stopping).await }
        });
        listener.retire();
        accepting.await.unwrap();
        listener.open().unwrap();
        assert!(!listener.is_open());
    }
}
