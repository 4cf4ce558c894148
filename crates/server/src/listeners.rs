//! Where clients come in: addresses taken, and what stands between a socket and MQTT.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use mqtt_config as said;
use mqtt_net::{
    Address, Bound, Certificates, Files, Layers, Listener, Named, Naming, Origins, Pool, Proxies, Queues, TicketKeys,
    Upgrade, Verify,
};

use crate::server::StartError;

/// In `data_dir`.
const TICKET_KEYS: &str = "tls-ticket-keys";

/// A listener whose address is taken: by us, or by another program where that may be.
pub(crate) struct Taken {
    name: String,
    address: Address,
    /// `None`: not yet, or by another program.
    bound: Option<Bound>,
    queues: Queues,
    layers: Layers,
    /// Another program may have the address: then it is closed.
    may_be_taken: bool,
    /// What to say should it not be listened on after all.
    cannot_bind: Box<dyn FnOnce(io::Error) -> StartError + Send>,
}

/// Opens listeners: what all of them share.
pub(crate) struct Opener {
    tickets: Arc<TicketKeys>,
    /// One for all: it is the machine's threads that are shared.
    pool: Pool,
}

impl Opener {
    pub(crate) fn new(config: &said::Config) -> Self {
        let tickets = TicketKeys::open(config.data_dir.as_ref().map(|folder| folder.join(TICKET_KEYS)));
        Self { tickets, pool: Pool::default() }
    }

    /// What a listener is told; its address is not taken yet.
    pub(crate) fn prepare(&self, listener: &said::Listener) -> Result<Taken, StartError> {
        let said::Listener { name, bind: address, backlog, receive_buffer, may_be_taken, .. } = listener;
        let queues = Queues { backlog: *backlog, receive_buffer: *receive_buffer };
        let (name, address, may_be_taken) = (name.clone(), self::address(address), *may_be_taken);
        let flag = match &*name {
            "mqtt" => "--bind".to_owned(),
            "ws" => "--ws-bind".to_owned(),
            _ => format!("listeners.{name}.bind"),
        };
        let layers = self.layers(listener)?;
        let said = address.to_string();
        let cannot_bind = move |source| StartError::Bind { address: said, what: "MQTT", flag, source };
        Ok(Taken { name, address, bound: None, queues, layers, may_be_taken, cannot_bind: Box::new(cannot_bind) })
    }

    /// Takes the address of each listener.
    pub(crate) fn take(&self, config: &said::Config) -> Result<Vec<Taken>, StartError> {
        config.listeners.iter().map(|listener| self.prepare(listener)?.bind()).collect()
    }

    /// Lets clients connect. Whose address is another program's is closed, and an operator can start it when that is gone.
    pub(crate) fn listen(&self, taken: Taken) -> Result<Listener, StartError> {
        let Taken { name, address, bound, queues, layers, may_be_taken, cannot_bind } = taken;
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
            Err(source) => Err(cannot_bind(source)),
        }
    }

    /// Reads the certificates of a port that the configuration calls so.
    pub(crate) fn load(&self, tls: &said::ListenerTls, port: &str) -> Result<Arc<Certificates>, StartError> {
        load(tls, port, &self.tickets)
    }

    /// What stands before MQTT at a listener.
    pub(crate) fn layers(&self, listener: &said::Listener) -> Result<Layers, StartError> {
        layers(listener, &self.tickets)
    }
}

/// What the configuration calls the port of a listener.
pub(crate) fn port(name: &str) -> String {
    format!("listeners.{name}")
}

impl Taken {
    /// Takes its address.
    pub(crate) fn bind(self) -> Result<Self, StartError> {
        match Listener::bind(&self.name, &self.address) {
            Ok(bound) => Ok(Self { bound: Some(bound), ..self }),
            Err(error) if error.kind() == ErrorKind::AddrInUse && self.may_be_taken => Ok(self),
            Err(source) => Err((self.cannot_bind)(source)),
        }
    }
}

fn layers(listener: &said::Listener, tickets: &Arc<TicketKeys>) -> Result<Layers, StartError> {
    let said::Listener { name, tls, web, proxy_from, .. } = listener;
    let tls = match tls {
        None => None,
        Some(tls) => Some(load(tls, &port(name), tickets)?),
    };
    let web = web.as_ref().map(|said::ListenerWeb { path, origins, forwarded_from }| {
        Arc::new(Upgrade {
            path: path.as_str().into(),
            origins: match origins {
                said::Origins::Any => Origins::Any,
                said::Origins::Local => Origins::Local,
                said::Origins::These(all) => Origins::These(all.iter().map(|origin| origin.as_str().into()).collect()),
            },
            forwarded_from: Proxies::new(forwarded_from.clone()),
        })
    });
    let names = listener.tls.as_ref();
    let naming = Naming {
        username: names.and_then(|tls| tls.username_from).map(named),
        client_id: names.and_then(|tls| tls.clientid_from).map(named),
    };
    let proxy = (!proxy_from.is_empty()).then(|| Arc::new(Proxies::new(proxy_from.clone())));
    Ok(Layers { tls, web, proxy, naming })
}

/// Reads the certificates of what is called so.
fn load(tls: &said::ListenerTls, whose: &str, tickets: &Arc<TicketKeys>) -> Result<Arc<Certificates>, StartError> {
    let loaded = Certificates::load(files(tls), Arc::clone(tickets));
    let wrong = |source| StartError::Tls { whose: whose.to_owned(), source: Box::new(source) };
    loaded.map(Arc::new).map_err(wrong)
}

fn address(said: &said::Address) -> Address {
    match said {
        said::Address::Ip(address) => Address::Ip(*address),
        said::Address::Unix { path, mode } => Address::Unix { path: path.clone(), mode: *mode },
    }
}

const fn named(name: said::CertName) -> Named {
    match name {
        said::CertName::Cn => Named::CommonName,
        said::CertName::Dn => Named::Subject,
        said::CertName::SanDns => Named::Dns,
        said::CertName::SanUri => Named::Uri,
        said::CertName::Fingerprint => Named::Fingerprint,
    }
}

fn files(tls: &said::ListenerTls) -> Files {
    Files {
        certificates: tls.certs.clone(),
        keys: tls.keys.clone(),
        authorities: tls.ca.clone(),
        revoked: tls.crl.clone(),
        refuses_stale: tls.crl_stale == said::CrlStale::Refuse,
        verify: match tls.verify {
            said::Verify::None => Verify::None,
            said::Verify::Optional => Verify::Optional,
            said::Verify::Required => Verify::Required,
        },
    }
}
