//! TLS at the admin port, with the certificate code of the listeners.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use mqtt_admin::{Door, Welcome};
use mqtt_net::{Certificates, Pool, TlsStream};
use tokio::net::TcpStream;

/// A record of a handshake, which every greeting of TLS begins with; no word of HTTP does.
const HANDSHAKE: u8 = 0x16;

pub(super) struct Tls {
    certificates: Arc<Certificates>,
    /// Of its own: a storm of clients at the listeners doesn't keep the operator out.
    pool: Pool,
}

impl Tls {
    pub(super) fn new(certificates: Arc<Certificates>) -> Self {
        Self { certificates, pool: Pool::default() }
    }
}

impl Door for Tls {
    fn open(&self, stream: TcpStream) -> Pin<Box<dyn Future<Output = io::Result<Welcome>> + Send>> {
        let (certificates, pool) = (Arc::clone(&self.certificates), self.pool.clone());
        Box::pin(async move {
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first != [HANDSHAKE] {
                return Ok(Welcome::Plain(stream));
            }
            let opened = TlsStream::open(stream, &certificates, &pool).await;
            opened.map(|stream| Welcome::Sealed(Box::new(stream))).map_err(io::Error::other)
        })
    }
}
