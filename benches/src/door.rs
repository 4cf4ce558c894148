//! By which way clients reach the broker.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use socket2::{Domain, Socket, Type};

use crate::layers::{Layers, Web};

/// Ports that one source address may use before the next is taken.
const PORTS_PER_ADDRESS: u32 = 2_000;

/// What stands between a socket and MQTT, by the name that listeners have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Nothing.
    Mqtt,
    /// TLS.
    Mqtts,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Over {
    /// As it is called in settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Mqtts => "mqtts",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    const fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    const fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

/// A listener of the broker, and what its clients have to do there.
#[derive(Clone, Debug)]
pub struct Door {
    addr: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    is_web: bool,
}

impl Door {
    /// A listener of this kind at this address; TLS trusts the certificate in this file.
    pub fn new(addr: SocketAddr, over: Over, certificate: Option<&Path>) -> Result<Self> {
        let tls = match (over.is_tls(), certificate) {
            (false, _) => None,
            (true, None) => anyhow::bail!("{} needs --certificate FILE", over.name()),
            (true, Some(file)) => Some(Arc::new(trusting(file)?)),
        };
        Ok(Self { addr, tls, is_web: over.is_web() })
    }

    /// The same one for a client that remembers its sessions, and no other client's; or that never does.
    #[must_use]
    pub fn for_one_client(&self, resumes: bool) -> Self {
        let tls = self.tls.as_deref().map(|config| {
            let mut config = config.clone();
            config.resumption = if resumes { Resumption::in_memory_sessions(2) } else { Resumption::disabled() };
            Arc::new(config)
        });
        Self { tls, ..self.clone() }
    }

    /// Opens a socket, blocking, and says what is to be done on it before MQTT.
    pub fn open(&self) -> Result<(std::net::TcpStream, Layers)> {
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = match &self.tls {
            None => None,
            Some(config) => {
                let mut connection = ClientConnection::new(Arc::clone(config), name)?;
                // What is to be said before the handshake is done waits there.
                connection.set_buffer_limit(None);
                Some(Box::new(connection))
            }
        };
        let web = self.is_web.then(|| Web::greeting("/mqtt"));
        Ok((self.socket()?, Layers::new(tls, web)))
    }

    /// Source addresses change within 127.0.0.0/8, so that closed ones in TIME_WAIT leave ports.
    fn socket(&self) -> Result<std::net::TcpStream> {
        static OPENED: AtomicU32 = AtomicU32::new(0);
        let number = 2 + (OPENED.fetch_add(1, Relaxed) / PORTS_PER_ADDRESS % 250) as u8;
        let [.., high, low] = std::process::id().to_be_bytes();
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 1 + high % 250, low, number), 0)).into())?;
        socket.connect(&self.addr.into()).with_context(|| format!("no connection to {}", self.addr))?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket.into())
    }
}

/// TLS that trusts one certificate and resumes nothing.
fn trusting(file: &Path) -> Result<ClientConfig> {
    let certificate = CertificateDer::from_pem_file(file)
        .with_context(|| format!("no certificate can be read from {}", file.display()))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}
