//! Between accept and the first byte for whoever is above: TLS, WebSocket, the PROXY protocol.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;

use crate::proxy::Proxies;
use crate::tls::{Certificates, Named, name_of, shake_hands};
use crate::web::{Upgrade, upgrade};
use crate::{Transport, proxy};

/// What stands between a socket and MQTT at a listener.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// TLS, with these.
    pub tls: Option<Arc<Certificates>>,
    /// WebSocket, for these requests.
    pub web: Option<Arc<Upgrade>>,
    /// The PROXY protocol, from these peers.
    pub proxy: Option<Arc<Proxies>>,
    /// What clients are called that show a certificate.
    pub naming: Naming,
}

/// Which names of a client's certificate are its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Naming {
    /// Its user name.
    pub username: Option<Named>,
    /// Its client id.
    pub client_id: Option<Named>,
}

/// What a client's certificate says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its user name, if that is to be said there.
    pub username: Option<String>,
    /// Its client id, if that is to be said there.
    pub client_id: Option<String>,
    /// All of it, DER, which was found good.
    pub certificate: Vec<u8>,
}

/// Threads that do what takes longer than a turn; as many at a time as the machine has.
#[derive(Clone, Debug)]
pub struct Pool(Arc<Semaphore>);

/// A socket that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// For MQTT at once.
    Open(Transport),
    /// There is something before MQTT.
    Closed(Opening),
}

/// What a listener has accepted.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// What goes before MQTT at a socket.
#[derive(Debug)]
pub struct Opening {
    stream: TcpStream,
    peer: SocketAddr,
    layers: Arc<Layers>,
    pool: Pool,
}

/// Who is let through to MQTT.
#[derive(Debug)]
pub struct Opened {
    /// For MQTT.
    pub transport: Transport,
    /// Where it comes from: as a trusted proxy says, or the socket.
    pub peer: SocketAddr,
    /// What its certificate says, if it has shown one: it is good then.
    pub identity: Option<Identity>,
}

/// Why nobody came through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer has gone.
    #[error("closed before MQTT")]
    Closed,
    /// An error of the socket.
    #[error("{0}")]
    Socket(io::Error),
    /// Something else is spoken.
    #[error("no TLS on a port for TLS")]
    NotTls,
    /// TLS is refused, by us or by the peer.
    #[error("TLS: {0}")]
    Tls(rustls::Error),
    /// The certificate has no such name as clients of this listener are known by.
    #[error("its certificate has no name of the kind that the listener's {0} wants")]
    Nameless(&'static str),
    /// More than a greeting may be.
    #[error("a greeting that is too long")]
    TooLong,
    /// There is no room for more of it.
    #[error("limits.memory leaves no room for more of a greeting that is not whole")]
    Crowded,
    /// A request that is none for WebSocket.
    #[error("WebSocket: {0}")]
    Web(&'static str),
    /// The header of the PROXY protocol is missing or wrong.
    #[error("PROXY: {0}")]
    Proxy(&'static str),
    /// The process ends.
    #[error("the broker stops")]
    Stopping,
}

impl OpenError {
    /// It says nothing about the peer that would be worth a line in a log.
    pub const fn is_silent(&self) -> bool {
        matches!(self, Self::Closed | Self::Socket(_) | Self::Stopping)
    }
}

impl Default for Pool {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(threads)))
    }
}

impl Pool {
    /// Runs what takes long, in order of asking.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, OpenError> {
        let place = self.0.acquire().await.map_err(|_| OpenError::Stopping)?;
        let done = tokio::task::spawn_blocking(work).await.map_err(|_| OpenError::Stopping);
        drop(place);
        done
    }
}

impl Layers {
    /// Nothing stands between.
    const fn is_bare(&self) -> bool {
        self.tls.is_none() && self.web.is_none() && self.proxy.is_none()
    }
}

impl Naming {
    fn read(self, certificate: &[u8]) -> Result<Identity, OpenError> {
        let read = |named: Option<Named>, key| {
            let name = named.map(|named| name_of(certificate, named).ok_or(OpenError::Nameless(key)));
            name.transpose()
        };
        Ok(Identity {
            username: read(self.username, "username_from")?,
            client_id: read(self.client_id, "clientid_from")?,
            certificate: certificate.to_vec(),
        })
    }
}

impl Accepted {
    pub(crate) fn new(stream: Stream, peer: SocketAddr, layers: &Arc<Layers>, pool: &Pool) -> Self {
        let stream = match stream {
            Stream::Tcp(stream) => stream,
            // Nothing stands before MQTT on a socket of this machine.
            Stream::Unix(stream) => return Self::Open(Transport::Unix(Box::new(stream))),
        };
        if layers.is_bare() {
            return Self::Open(Transport::Tcp(stream));
        }
        Self::Closed(Opening { stream, peer, layers: Arc::clone(layers), pool: pool.clone() })
    }

    /// There is TLS before MQTT, which costs more than all that stands there otherwise.
    pub fn has_tls(&self) -> bool {
        matches!(self, Self::Closed(opening) if opening.has_tls())
    }

    /// It comes from a trusted proxy, which tells later whose connection it is.
    pub fn is_of_proxy(&self) -> bool {
        let Self::Closed(Opening { layers, peer, .. }) = self else { return false };
        layers.proxy.as_ref().is_some_and(|proxies| proxies.trust(peer.ip()))
            || layers.web.as_ref().is_some_and(|web| web.forwarded_from.trust(peer.ip()))
    }

    /// False: it takes none of the files that a process may have open.
    pub const fn is_socket(&self) -> bool {
        match self {
            Self::Open(transport) => transport.is_socket(),
            Self::Closed(_) => true,
        }
    }
}

impl Opening {
    /// See [`Accepted::has_tls`].
    pub fn has_tls(&self) -> bool {
        self.layers.tls.is_some()
    }

    /// Goes through all that stands before MQTT. Who takes long has to be timed out by the caller, who drops this; `room` says
    /// whether so many bytes may be held for the peer, who has not said who it is.
    ///
    /// # Errors
    /// The peer is not let through; it has been told as far as its language has words for it.
    pub async fn open(self, mut room: impl FnMut(usize) -> bool + Send) -> Result<Opened, OpenError> {
        let Self { stream, peer, layers, pool } = self;
        let peer = match &layers.proxy {
            // A header of anybody else is not MQTT, and ends as that.
            Some(proxies) if proxies.trust(peer.ip()) => told(proxy::read_header(&stream).await?, peer),
            _ => peer,
        };
        let Some(certificates) = &layers.tls else {
            let Some(web) = &layers.web else {
                return Ok(Opened { transport: Transport::Tcp(stream), peer, identity: None });
            };
            let (socket, forwarded) = upgrade(stream, web, peer.ip()).await?;
            let transport = Transport::Ws(Box::new(socket));
            return Ok(Opened { transport, peer: told(forwarded, peer), identity: None });
        };
        let (tls, certificate) = shake_hands(stream, certificates, &pool, &mut room).await?;
        let identity = match certificate {
            Some(certificate) => Some(layers.naming.read(&certificate)?),
            None => None,
        };
        let Some(web) = &layers.web else {
            return Ok(Opened { transport: Transport::Tls(Box::new(tls)), peer, identity });
        };
        let (socket, forwarded) = upgrade(tls, web, peer.ip()).await?;
        let transport = Transport::Wss(Box::new(socket));
        Ok(Opened { transport, peer: told(forwarded, peer), identity })
    }
}

/// Whose connection it is, by what a trusted proxy at `peer` says.
///
/// What a proxy elsewhere calls its own machine is not this one, of which more may be asked: there the client is where the proxy is.
fn told(said: Option<SocketAddr>, peer: SocketAddr) -> SocketAddr {
    let is_loopback = |address: SocketAddr| address.ip().to_canonical().is_loopback();
    said.filter(|said| !is_loopback(*said) || is_loopback(peer)).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_of_a_proxy_elsewhere_is_not_this_one() {
        let check = |said: Option<&str>, peer: &str, is: &str| {
            let said = said.map(|said| said.parse().unwrap());
            assert_eq!(told(said, peer.parse().unwrap()), is.parse().unwrap(), "{said:?} by {peer}");
        };
        check(Some("192.0.2.1:4711"), "10.0.0.1:5000", "192.0.2.1:4711");
        check(None, "10.0.0.1:5000", "10.0.0.1:5000");
        for own in ["127.0.0.1:4711", "127.8.8.8:4711", "[::1]:4711", "[::ffff:127.0.0.1]:4711"] {
            check(Some(own), "10.0.0.1:5000", "10.0.0.1:5000");
            check(Some(own), "127.0.0.1:5000", own);
            check(Some(own), "[::1]:5000", own);
        }
    }
}
