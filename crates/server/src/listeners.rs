//! Where clients come in: addresses taken, and what stands between a socket and MQTT.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use mqtt_config as said;
use mqtt_net::{
    Bound, Certificates, Files, Layers, Listener, Named, Naming, Origins, Pool, Proxies, TicketKeys, Upgrade, Verify,
};

use crate::server::StartError;

/// In `data_dir`.
const TICKET_KEYS: &str = "tls-ticket-keys";

/// A listener whose address is taken: by us, or by another program where that may be.
pub(crate) struct Taken {
    name: String,
    address: SocketAddr,
    /// `None`: by another program.
    bound: Option<Bound>,
    backlog: u32,
    layers: Layers,
    /// Another program may have the address: then it is closed.
    may_be_taken: bool,
    /// What to say should it not be listened on after all.
    cannot_bind: Box<dyn FnOnce(io::Error) -> StartError + Send>,
}

/// What sessions of TLS are resumed with, at every port.
pub(crate) fn tickets(config: &said::Config) -> Arc<TicketKeys> {
    TicketKeys::open(config.data_dir.as_ref().map(|folder| folder.join(TICKET_KEYS)))
}

/// Takes the address of each listener.
pub(crate) fn bind(config: &said::Config, tickets: &Arc<TicketKeys>) -> Result<Vec<Taken>, StartError> {
    let mut taken = Vec::new();
    for listener in &config.listeners {
        let (name, address) = (listener.name.clone(), listener.bind);
        let flag = match &*name {
            "mqtt" => "--bind".to_owned(),
            "ws" => "--ws-bind".to_owned(),
            _ => format!("listeners.{name}.bind"),
        };
        let layers = layers(listener, tickets)?;
        let cannot_bind = move |source| StartError::Bind { address, what: "MQTT", flag, source };
        let bound = match Listener::bind(&name, address) {
            Ok(bound) => Some(bound),
            Err(error) if error.kind() == ErrorKind::AddrInUse && listener.may_be_taken => None,
            Err(source) => return Err(cannot_bind(source)),
        };
        let (backlog, may_be_taken) = (listener.backlog, listener.may_be_taken);
        taken.push(Taken { name, address, bound, backlog, layers, may_be_taken, cannot_bind: Box::new(cannot_bind) });
    }
    Ok(taken)
}

/// Those of them that have certificates.
pub(crate) fn certificates(taken: &[Taken]) -> impl Iterator<Item = (String, Arc<Certificates>)> {
    taken.iter().filter_map(|taken| Some((format!("listeners.{}", taken.name), taken.layers.tls.clone()?)))
}

/// Lets clients connect. Whose address is another program's is closed, and an operator can start it when that is gone.
pub(crate) fn listen(taken: Vec<Taken>) -> Result<Vec<Listener>, StartError> {
    // One for all: it is the machine's threads that are shared.
    let pool = Pool::default();
    let mut listeners = Vec::new();
    for Taken { name, address, bound, backlog, layers, may_be_taken, cannot_bind } in taken {
        let listening = match bound {
            Some(bound) => bound.listen(backlog, layers.clone(), pool.clone()),
            None => Err(ErrorKind::AddrInUse.into()),
        };
        let listener = match listening {
            Ok(listener) => listener,
            // Two that start at once both had it before one of them listened.
            Err(error) if error.kind() == ErrorKind::AddrInUse && may_be_taken => {
                tracing::warn!(listener = name, "another program has its default address; going on without");
                Listener::closed(&name, address, backlog, layers, pool.clone())
            }
            Err(source) => return Err(cannot_bind(source)),
        };
        listeners.push(listener);
    }
    Ok(listeners)
}

fn layers(listener: &said::Listener, tickets: &Arc<TicketKeys>) -> Result<Layers, StartError> {
    let said::Listener { name, tls, web, proxy_from, .. } = listener;
    let tls = match tls {
        None => None,
        Some(tls) => Some(load(tls, &format!("listeners.{name}"), tickets)?),
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
pub(crate) fn load(
    tls: &said::ListenerTls,
    whose: &str,
    tickets: &Arc<TicketKeys>,
) -> Result<Arc<Certificates>, StartError> {
    let loaded = Certificates::load(files(tls), Arc::clone(tickets));
    let wrong = |source| StartError::Tls { whose: whose.to_owned(), source: Box::new(source) };
    loaded.map(Arc::new).map_err(wrong)
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
