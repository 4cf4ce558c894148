//! TLS at the admin port, with the certificate code of the listeners.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use mqtt_admin::{Door, Welcome};
use mqtt_net::{Certificates, Greeting, Pool};
use tokio::net::TcpStream;

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
            Ok(match Greeting::hear(stream, &certificates, &pool).await? {
                Greeting::Tls(stream) => Welcome::Sealed(Box::new(stream)),
                Greeting::Other(stream) => Welcome::Plain(stream),
            })
        })
    }
}
