//! From what a listener is told to its first client, step by step, for who opens several of them.

use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use crate::{
    Address, Bound, Certificates, Files, Layers, Listener, Naming, Pool, Proxies, Queues, TicketKeys, TlsError, Upgrade,
};

/// In the folder of what outlives the process.
const TICKET_KEYS: &str = "tls-ticket-keys";

/// What a listener is told.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// As it is called.
    pub name: String,
    /// Where to listen.
    pub address: Address,
    /// What the system holds for it.
    pub queues: Queues,
    /// Another program may have the address: then it is closed.
    pub may_be_taken: bool,
    /// What its TLS is made of, if it speaks that.
    pub tls: Option<Files>,
    /// Which requests begin a WebSocket, if it speaks that.
    pub web: Option<Upgrade>,
    /// Who begins with a header of the PROXY protocol.
    pub proxy: Option<Proxies>,
    /// What clients are called that show a certificate.
    pub naming: Naming,
}

/// Why a listener can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Whose.
        listener: String,
        /// As it was told.
        address: Address,
        /// What the system says.
        source: io::Error,
    },
    /// TLS can't begin with what it was given.
    #[error("{listener}: {source}")]
    Tls {
        /// Whose.
        listener: String,
        /// What is wrong.
        source: Box<TlsError>,
    },
}

/// Opens listeners: what all of them share.
#[derive(Debug)]
pub struct Opener {
    tickets: Arc<TicketKeys>,
    /// One for all: it is the machine's threads that are shared.
    pool: Pool,
}

/// What is to listen, with what stands before MQTT there: files are read.
#[derive(Debug)]
pub struct Prepared {
    name: String,
    address: Address,
    queues: Queues,
    layers: Layers,
    may_be_taken: bool,
}

/// A listener whose address is taken: by us, or by another program where that may be.
#[derive(Debug)]
pub struct Taken {
    prepared: Prepared,
    /// `None`: by another program.
    bound: Option<Bound>,
}

impl Opener {
    /// TLS sessions can be resumed by keys in this folder; `None`: as long as this process lives.
    pub fn new(folder: Option<&Path>) -> Self {
        let tickets = TicketKeys::open(folder.map(|folder| folder.join(TICKET_KEYS)));
        Self { tickets, pool: Pool::default() }
    }

    /// Reads certificates.
    ///
    /// # Errors
    /// As those of [`Certificates::load`].
    pub fn load(&self, files: Files) -> Result<Arc<Certificates>, TlsError> {
        Certificates::load(files, Arc::clone(&self.tickets)).map(Arc::new)
    }

    /// What stands before MQTT at a listener that is told this.
    ///
    /// # Errors
    /// Its certificates can't be read.
    pub fn layers(&self, told: &ListenerConfig) -> Result<Layers, ListenError> {
        let wrong = |source| ListenError::Tls { listener: told.name.clone(), source: Box::new(source) };
        Ok(Layers {
            tls: told.tls.clone().map(|files| self.load(files)).transpose().map_err(wrong)?,
            web: told.web.clone().map(Arc::new),
            proxy: told.proxy.clone().map(Arc::new),
            naming: told.naming,
        })
    }

    /// Reads what a listener needs; its address is not taken yet.
    ///
    /// # Errors
    /// Its certificates can't be read.
    pub fn prepare(&self, told: &ListenerConfig) -> Result<Prepared, ListenError> {
        let ListenerConfig { name, address, queues, may_be_taken, .. } = told.clone();
        Ok(Prepared { name, address, queues, layers: self.layers(told)?, may_be_taken })
    }

    /// Lets clients connect. Whose address is another program's is closed, and can be opened when that is gone.
    ///
    /// # Errors
    /// Another program has its address and may not.
    pub fn listen(&self, taken: Taken) -> Result<Listener, ListenError> {
        let Taken { prepared: Prepared { name, address, queues, layers, may_be_taken }, bound } = taken;
        let listening = match bound {
            Some(bound) => bound.listen(queues, layers.clone(), self.pool.clone()),
            None => Err(ErrorKind::AddrInUse.into()),
        };
        match listening {
            Ok(listener) => Ok(listener),
            // Two that start at once both had it before one of them listened.
            Err(error) if error.kind() == ErrorKind::AddrInUse && may_be_taken => {
                tracing::warn!(listener = name, "another program has its default address; going on without");
                Ok(Listener::closed(&name, address, queues, layers, self.pool.clone()))
            }
            Err(source) => Err(ListenError::Bind { listener: name, address, source }),
        }
    }
}

impl Prepared {
    /// Takes its address.
    ///
    /// # Errors
    /// Another program has it and may not.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(self) -> Result<Taken, ListenError> {
        match Listener::bind(&self.name, &self.address) {
            Ok(bound) => Ok(Taken { prepared: self, bound: Some(bound) }),
            Err(error) if error.kind() == ErrorKind::AddrInUse && self.may_be_taken => {
                Ok(Taken { prepared: self, bound: None })
            }
            Err(source) => Err(ListenError::Bind { listener: self.name, address: self.address, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: Address, may_be_taken: bool) -> ListenerConfig {
        ListenerConfig {
            name: "it".to_owned(),
            address,
            queues: Queues { backlog: 16, receive_buffer: None },
            may_be_taken,
            tls: None,
            web: None,
            proxy: None,
            naming: Naming::default(),
        }
    }

    #[tokio::test]
    async fn whose_address_is_another_programs_is_closed_where_that_may_be() {
        let opener = Opener::new(None);
        let open = |told: &ListenerConfig| opener.prepare(told)?.bind().and_then(|taken| opener.listen(taken));
        let other = open(&told(Address::Ip(([127, 0, 0, 1], 0).into()), false)).unwrap();
        assert!(other.is_open());
        let error = open(&told(other.address().clone(), false)).unwrap_err();
        assert!(matches!(error, ListenError::Bind { listener, .. } if listener == "it"));
        let closed = open(&told(other.address().clone(), true)).unwrap();
        assert!(!closed.is_open());
        drop(other);
        closed.open().unwrap();
        assert!(closed.is_open());
    }

    #[tokio::test]
    async fn a_certificate_that_cannot_be_read_is_said_with_its_listener() {
        let files = Files { certificates: vec!["none.pem".into()], keys: vec!["none.key".into()], ..Files::default() };
        let told = ListenerConfig { tls: Some(files), ..told(Address::Ip(([127, 0, 0, 1], 0).into()), false) };
        let error = Opener::new(None).prepare(&told).unwrap_err();
        assert!(error.to_string().starts_with("it: "), "{error}");
    }
}
