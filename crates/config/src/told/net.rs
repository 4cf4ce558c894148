//! What listeners are told.

use mqtt_net::{Files, ListenerConfig, Named, Naming, Origins, Proxies, Queues, Upgrade, Verify};

use crate::config as said;

impl From<&said::Listener> for ListenerConfig {
    fn from(listener: &said::Listener) -> Self {
        let said::Listener { name, bind, backlog, receive_buffer, may_be_taken, tls, web, proxy_from, .. } = listener;
        Self {
            name: name.clone(),
            address: bind.clone(),
            queues: Queues { backlog: *backlog, receive_buffer: *receive_buffer },
            may_be_taken: *may_be_taken,
            tls: tls.as_ref().map(Files::from),
            web: web.as_ref().map(upgrade),
            proxy: (!proxy_from.is_empty()).then(|| Proxies::new(proxy_from.clone())),
            naming: tls.as_ref().map(naming).unwrap_or_default(),
        }
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

impl From<&said::ListenerTls> for Files {
    fn from(tls: &said::ListenerTls) -> Self {
        Self {
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
}
