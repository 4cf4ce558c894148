//! A transport as tokio's streams are, for who speaks something else than MQTT over it.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::carrier::{Carrier, LEAST_ROOM};
use crate::opening::{OpenError, Pool};
use crate::tls::{Certificates, Tls, shake_hands};

/// A record of a handshake, which every greeting of TLS begins with; no word of HTTP does.
const HANDSHAKE: u8 = 0x16;

/// What a peer begins with where TLS is spoken.
#[derive(Debug)]
pub enum Greeting {
    /// With TLS, and it is let in.
    Tls(TlsStream),
    /// With something else, of which nothing has been read.
    Other(TcpStream),
}

/// TLS over a socket, for who reads and writes it as one task.
#[derive(Debug)]
pub struct TlsStream {
    tls: Box<Tls>,
    /// Opened and not asked for yet.
    input: BytesMut,
}

impl Greeting {
    /// Looks at a peer's first byte, and lets it [in](TlsStream::open) if that is one of TLS.
    ///
    /// # Errors
    /// The peer says nothing, or is not let through.
    pub async fn hear(stream: TcpStream, certificates: &Arc<Certificates>, pool: &Pool) -> io::Result<Self> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if first != [HANDSHAKE] {
            return Ok(Self::Other(stream));
        }
        TlsStream::open(stream, certificates, pool).await.map(Self::Tls).map_err(io::Error::other)
    }
}

impl TlsStream {
    /// Lets a peer in. Who takes long has to be timed out by the caller, who drops this; keys are exchanged in the pool.
    ///
    /// # Errors
    /// The peer is not let through.
    pub async fn open(stream: TcpStream, certificates: &Arc<Certificates>, pool: &Pool) -> Result<Self, OpenError> {
        // A greeting is short, and the caller bounds how many there are.
        let (tls, _) = shake_hands(stream, certificates, pool, &mut |_| true).await?;
        Ok(Self { tls: Box::new(tls), input: BytesMut::new() })
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { tls, input } = &mut *self;
        if input.is_empty() {
            input.reserve(buffer.remaining().max(LEAST_ROOM));
            match ready!(tls.poll_receive(cx, input)) {
                Ok(_) => {}
                // It amounted to nothing, and there may be more.
                Err(error) if error.kind() == ErrorKind::Interrupted => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let taken = input.len().min(buffer.remaining());
        buffer.put_slice(&input[..taken]);
        input.advance(taken);
        if input.is_empty() {
            // An idle connection holds no buffer.
            *input = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// Bytes that were not taken must be offered again before others, see [`Carrier`]: who writes a stream does so.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.try_send(pieces) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.tls.poll_sendable(cx)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was said to be written has left.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.finish();
        Poll::Ready(Ok(()))
    }
}
