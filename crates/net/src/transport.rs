//! What carries a connection's bytes.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::net::{TcpStream, UnixStream};

use crate::Pipe;
use crate::carrier::{self, Carrier};
use crate::tls::Tls;
use crate::web::Web;

/// What carries a connection's bytes. Its task reads; whoever delivers writes, there and then, and what would block is
/// written by the task once [`Self::poll_writable`] says so.
///
/// What is not plain is sealed by whoever writes, under a small lock of the transport's own. Bytes that [`Self::try_write`] has not
/// taken must be offered again before any others: they may be sealed already.
#[derive(Debug)]
pub enum Transport {
    /// A socket.
    Tcp(TcpStream),
    /// A socket of this machine. Boxed, as all but one: two that are not would be told apart by 8 bytes more of every connection.
    Unix(Box<UnixStream>),
    /// TLS over a socket.
    Tls(Box<Tls>),
    /// WebSocket over a socket.
    Ws(Box<Web<TcpStream>>),
    /// WebSocket over TLS.
    Wss(Box<Web<Tls>>),
    /// No socket.
    Memory(Pipe),
}

/// The same for every kind.
macro_rules! each {
    ($transport:expr, $carrier:ident => $does:expr) => {
        match $transport {
            Transport::Tcp($carrier) => $does,
            Transport::Unix(boxed) => {
                let $carrier = &**boxed;
                $does
            }
            Transport::Tls(boxed) => {
                let $carrier = &**boxed;
                $does
            }
            Transport::Ws(boxed) => {
                let $carrier = &**boxed;
                $does
            }
            Transport::Wss(boxed) => {
                let $carrier = &**boxed;
                $does
            }
            Transport::Memory($carrier) => $does,
        }
    };
}

impl Transport {
    /// False: it takes none of the files that a process may have open.
    pub const fn is_socket(&self) -> bool {
        !matches!(self, Self::Memory(_))
    }

    /// Reads what there is room for in `input`; 0: the peer has closed. [`Interrupted`](io::ErrorKind::Interrupted): as much was
    /// read as fits a turn, it amounts to nothing (pings of WebSocket), and there may be more: who asks has to wake itself.
    pub fn poll_read(&self, context: &mut Context<'_>, input: &mut BytesMut) -> Poll<io::Result<usize>> {
        each!(self, carrier => carrier.poll_receive(context, input))
    }

    /// Reads up to `room` bytes, or somewhat more, if there are any, whether or not the system has told this process of
    /// them; `None`: there are none.
    pub fn read_now(&self, input: &mut BytesMut, room: usize) -> Option<io::Result<usize>> {
        each!(self, carrier => carrier.receive_now(input, room))
    }

    /// Makes room for `room` bytes and reads.
    pub async fn read(&self, input: &mut BytesMut, room: usize) -> io::Result<usize> {
        each!(self, carrier => carrier::read(carrier, input, room).await)
    }

    /// Writes what can be written without waiting.
    pub fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        each!(self, carrier => carrier.try_send(slices))
    }

    /// Ready when it is worth trying to write again. For the connection's task only.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<()> {
        each!(self, carrier => carrier.poll_sendable(context))
    }

    /// The peer has asked for answers of the transport's own (pongs of WebSocket), and takes none: there is no point in reading from it
    /// before [`Self::poll_writable`] says that it takes some.
    pub fn is_behind(&self) -> bool {
        each!(self, carrier => carrier.is_behind())
    }

    /// The certificate that the peer has shown, if it has, is good by what is asked of certificates now. Nothing is done unless that
    /// has changed.
    pub fn is_trusted(&self) -> bool {
        each!(self, carrier => carrier.is_trusted())
    }

    /// Writes all of it, however long that takes.
    pub async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        each!(self, carrier => carrier::write_all(carrier, bytes).await)
    }

    /// What it is called when the peer closes without DISCONNECT.
    pub const fn name_of_close(&self) -> &'static str {
        match self {
            Self::Tcp(_) | Self::Unix(_) => "tcp_closed",
            Self::Tls(_) => "ssl_closed",
            Self::Ws(_) | Self::Wss(_) => "ws_closed",
            Self::Memory(_) => "memory_closed",
        }
    }

    /// Tells the peer that nothing more comes; what is on its way arrives first.
    pub fn shut_down(&self) {
        each!(self, carrier => carrier.finish());
    }

    /// For a peer that has left: says what is to be said before the socket is closed, where there is such a thing.
    pub fn say_goodbye(&self) {
        match self {
            // Closing says it.
            Self::Tcp(_) | Self::Unix(_) | Self::Memory(_) => {}
            // RFC 8446, 6.1: without close_notify it would look like an attack to who waits for it; RFC 6455, 7.1.5: without a Close
            // it is an abnormal closure (1006).
            Self::Tls(_) | Self::Ws(_) | Self::Wss(_) => self.shut_down(),
        }
    }

    /// Bytes of memory that it holds for what is half read or half written.
    pub fn held(&self) -> usize {
        each!(self, carrier => carrier.held())
    }
}
