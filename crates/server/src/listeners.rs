//! Where clients come in: addresses taken, and what stands between a socket and MQTT.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use mqtt_config as said;
use mqtt_net::{Bound, Certificates, Files, Layers, Listener, Origins, Pool, Proxies, Upgrade, Verify};

use crate::server::StartError;

/// An address that is taken.
pub(crate) struct Taken {
    bound: Bound,
    backlog: u32,
    layers: Layers,
    /// What to say should it not be listened on after all.
    cannot_bind: Box<dyn FnOnce(io::Error) -> StartError + Send>,
}

/// Takes the address of each listener.
pub(crate) fn bind(config: &said::Config) -> Result<Vec<Taken>, StartError> {
    let mut taken = Vec::new();
    for listener in &config.listeners {
        let (name, address) = (listener.name.clone(), listener.bind);
        let flag = match &*name {
            "mqtt" => "--bind".to_owned(),
            "ws" => "--ws-bind".to_owned(),
            _ => format!("listeners.{name}.bind"),
        };
        let layers = layers(listener)?;
        let cannot_bind = move |source| StartError::Bind { address, what: "MQTT", flag, source };
        match Listener::bind(&name, address) {
            Ok(bound) => {
                taken.push(Taken { bound, backlog: listener.backlog, layers, cannot_bind: Box::new(cannot_bind) });
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse && listener.may_be_taken => {
                tracing::warn!(listener = name, %address, "another program has this address; going on without");
            }
            Err(source) => return Err(cannot_bind(source)),
        }
    }
    Ok(taken)
}

/// Lets clients connect.
pub(crate) fn listen(taken: Vec<Taken>) -> Result<Vec<Listener>, StartError> {
    // One for all: it is the machine's threads that are shared.
    let pool = Pool::default();
    let listen = |Taken { bound, backlog, layers, cannot_bind }: Taken| {
        bound.listen(backlog, layers, pool.clone()).map_err(cannot_bind)
    };
    taken.into_iter().map(listen).collect()
}

fn layers(listener: &said::Listener) -> Result<Layers, StartError> {
    let said::Listener { name, tls, web, proxy_from, .. } = listener;
    let tls = match tls {
        None => None,
        Some(tls) => {
            let certificates = Certificates::load(files(tls));
            Some(Arc::new(certificates.map_err(|source| StartError::Tls { name: name.clone(), source })?))
        }
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
    let proxy = (!proxy_from.is_empty()).then(|| Arc::new(Proxies::new(proxy_from.clone())));
    Ok(Layers { tls, web, proxy })
}

fn files(tls: &said::ListenerTls) -> Files {
    Files {
        certificates: tls.certs.clone(),
        keys: tls.keys.clone(),
        authorities: tls.ca.clone(),
        revoked: tls.crl.clone(),
        verify: match tls.verify {
            said::Verify::None => Verify::None,
            said::Verify::Optional => Verify::Optional,
            said::Verify::Required => Verify::Required,
        },
    }
}
