//! What listeners are told.

use mqtt_net::{
    Certificates, Files, ListenerConfig, Named, Naming, Origins, Proxies, Queues, TicketKeys, TlsError, Upgrade, Verify,
};

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

impl said::Config {
    /// Whether the certificates of all ports can be used.
    pub(super) fn check_certificates(&self) -> Result<(), String> {
        let of_listeners = self.listeners.iter();
        let of_listeners =
            of_listeners.filter_map(|listener| Some((format!("listeners.{}", listener.name), listener.tls.as_ref()?)));
        // Where nobody listens no certificate is read.
        let of_admin = self.admin.tls.as_ref().filter(|_| self.admin.bind.is_some());
        for (port, tls) in of_listeners.chain(of_admin.map(|tls| ("admin".to_owned(), tls))) {
            let loaded = Certificates::load(tls.into(), TicketKeys::open(None));
            loaded.map_err(|error| self.placed(format!("{port}.{}: {error}", key_of(&error, tls))))?;
        }
        Ok(())
    }
}

/// The key that names the file that is wrong.
fn key_of(error: &TlsError, tls: &said::ListenerTls) -> &'static str {
    let path = match error {
        TlsError::File { path, .. } | TlsError::Empty { path, .. } => Some(path),
        TlsError::Authority { path, .. } | TlsError::Revoked { path, .. } | TlsError::Key { key: path, .. } => {
            Some(path)
        }
        _ => None,
    };
    match path {
        Some(path) if tls.ca.as_ref() == Some(path) => "ca",
        Some(path) if tls.crl.as_ref() == Some(path) => "crl",
        Some(path) if tls.keys.contains(path) && !tls.certs.contains(path) => "key",
        _ => "cert",
    }
}
