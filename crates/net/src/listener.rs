//! Accepts connections.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
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

/// What the system holds for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// Connections until they are accepted.
    pub backlog: u32,
    /// Bytes of each connection until they are read; a socket of this machine has what it has. `None`: as many as the system likes.
    pub receive_buffer: Option<u32>,
}

/// A listener. It may be closed and opened again while it [accepts](Self::accept).
#[derive(Debug)]
pub struct Listener {
    name: Box<str>,
    socket: Mutex<Socket>,
    address: Address,
    queues: Queues,
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

    /// Lets clients connect. What takes long before MQTT is done in `pool`.
    pub fn listen(self, queues: Queues, layers: Layers, pool: Pool) -> io::Result<Listener> {
        let Self { name, address, socket } = self;
        let (open, address) = socket.listen(queues, address)?;
        let listener = Listener::closed(&name, address, queues, layers, pool);
        listener.socket.lock().open = Some(open);
        Ok(listener)
    }
}

impl BoundSocket {
    /// With the address, in which the port is now the one that the system has chosen.
    fn listen(self, queues: Queues, address: Address) -> io::Result<(Accepting, Address)> {
        match self {
            Self::Tcp(socket) => {
                if let Some(bytes) = queues.receive_buffer {
                    // Before it listens, for what a client may send at once is told to it as it connects.
                    socket.set_recv_buffer_size(bytes)?;
                }
                let listener = socket.listen(queues.backlog)?;
                let address = listener.local_addr()?.into();
                Ok((Accepting::Tcp(listener), address))
            }
            Self::Unix(socket) => Ok((Accepting::Unix(socket.listen(queues.backlog)?), address)),
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
    pub fn closed(name: &str, address: Address, queues: Queues, layers: Layers, pool: Pool) -> Self {
        let socket = Mutex::new(Socket { open: None, is_retired: false, accepting: Waker::noop().clone() });
        Self { name: name.into(), socket, address, queues, layers: ArcSwap::from_pointee(layers), pool }
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
            socket.open = Some(bound.socket.listen(self.queues, bound.address)?.0);
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
            let error = tokio::select! {
                error = poll_fn(|context| self.poll_take(&take, context)) => error,
                () = poll_fn(|context| self.poll_retired(context)) => return,
                _ = stop.wait_for(|&stop| stop) => return,
            };
            if is_exhausted(&error) {
                tracing::error!(listener = &*self.name, %error, "cannot accept connections; trying again");
                exhausted();
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            } else {
                // The peer was gone before it was accepted.
                tracing::debug!(listener = &*self.name, %error, "accept");
            }
        }
    }

    /// Hands all to `take` who are there, or as many as the runtime lets a task do in one go; ready when the system refuses one.
    fn poll_take(&self, take: &impl Fn(Accepted, SocketAddr), context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            match ready!(self.poll_accept(context)) {
                Ok((stream, peer)) => take(Accepted::new(stream, peer, &self.layers.load(), &self.pool), peer),
                Err(error) => return Poll::Ready(error),
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

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;
    use tokio::sync::mpsc;

    use super::*;

    const QUEUES: Queues = Queues { backlog: 16, receive_buffer: None };

    #[tokio::test]
    async fn who_connects_is_refused_while_it_is_closed_and_accepted_when_it_is_open_again() {
        let bound = Listener::bind("it", &Address::Ip(([127, 0, 0, 1], 0).into())).unwrap();
        let listener = Arc::new(bound.listen(QUEUES, Layers::default(), Pool::default()).unwrap());
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
        let listener = Arc::new(bound.listen(QUEUES, Layers::default(), Pool::default()).unwrap());
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

    /// Who is not read from would else have the system hold 32 MiB and more, and all sockets of a machine share one pot.
    #[tokio::test]
    async fn who_is_not_read_from_gets_rid_of_little() {
        let held = async |receive_buffer| {
            let bound = Listener::bind("it", &Address::Ip(([127, 0, 0, 1], 0).into())).unwrap();
            let queues = Queues { receive_buffer, ..QUEUES };
            let listener = Arc::new(bound.listen(queues, Layers::default(), Pool::default()).unwrap());
            let address = listener.address().ip().unwrap();
            let (taken, mut accepted) = mpsc::unbounded_channel();
            let (_stop, stopping) = watch::channel(false);
            let accepting =
                tokio::spawn(async move { listener.accept(|one, _| taken.send(one).unwrap(), || (), stopping).await });
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_send_buffer_size(16 << 10).unwrap();
            let mut stream = socket.connect(address).await.unwrap();
            let _unread = accepted.recv().await.unwrap();
            let mut sent = 0;
            let patience = Duration::from_millis(300);
            while let Ok(written) = tokio::time::timeout(patience, stream.write(&[0; 4096])).await {
                sent += written.unwrap();
            }
            accepting.abort();
            sent
        };
        let (little, much) = (held(Some(64 << 10)).await, held(Some(1 << 20)).await);
        assert!(little < much / 2, "{little} of {much}");
    }
}
