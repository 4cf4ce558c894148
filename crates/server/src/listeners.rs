//! What listeners are told, in the words of the configuration and of the network.

use mqtt_config as said;
use mqtt_net::{
    Address, Files, ListenError, ListenerConfig, Named, Naming, Opener, Origins, Proxies, Queues, Taken, Upgrade, Verify,
};

use crate::server::StartError;

impl From<ListenError> for StartError {
    fn from(error: ListenError) -> Self {
        match error {
            ListenError::Bind { listener, address, source } => {
                let flag = match &*listener {
                    "mqtt" => "--bind".to_owned(),
                    "ws" => "--ws-bind".to_owned(),
                    _ => format!("{}.bind", port(&listener)),
                };
                Self::Bind { address: address.to_string(), what: "MQTT", flag, source }
            }
            ListenError::Tls { listener, source } => Self::Tls { whose: port(&listener), source },
        }
    }
}

/// Takes the address of each listener.
pub(crate) fn take(opener: &Opener, listeners: &[said::Listener]) -> Result<Vec<Taken>, ListenError> {
    listeners.iter().map(|listener| opener.prepare(&told(listener))?.bind()).collect()
}

/// What the configuration calls the port of a listener.
pub(crate) fn port(name: &str) -> String {
    format!("listeners.{name}")
}

/// What a listener is told.
pub(crate) fn told(listener: &said::Listener) -> ListenerConfig {
    let said::Listener { name, bind, backlog, receive_buffer, may_be_taken, tls, web, proxy_from, .. } = listener;
    ListenerConfig {
        name: name.clone(),
        address: address(bind),
        queues: Queues { backlog: *backlog, receive_buffer: *receive_buffer },
        may_be_taken: *may_be_taken,
        tls: tls.as_ref().map(files),
        web: web.as_ref().map(upgrade),
        proxy: (!proxy_from.is_empty()).then(|| Proxies::new(proxy_from.clone())),
        naming: tls.as_ref().map(naming).unwrap_or_default(),
    }
}

fn address(said: &said::Address) -> Address {
    match said {
        said::Address::Ip(address) => Address::Ip(*address),
        said::Address::Unix { path, mode } => Address::Unix { path: path.clone(), mode: *mode },
    }
}

fn upgrade(said::ListenerWeb { path, origins, forwarded_from }: &said::ListenerWeb) -> Upgrade {
    Upgrade {
        path: path.as_str().into(),
        origins: match origins {
            said::Origins::Any => Origins::Any,
            said::Origins::Local => Origins::Local,
            said::Origins::These(all) => Origins::These(all.iter().map(|origin| origin.as_str().into()).collect()),
        },
        forwarded_from: Proxies::new(forwarded_from.clone()),
    }
}

fn naming(tls: &said::ListenerTls) -> Naming {
    Naming { username: tls.username_from.map(named), client_id: tls.clientid_from.map(named) }
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

/// What TLS at a port is made of.
pub(crate) fn files(tls: &said::ListenerTls) -> Files {
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
