//! From what was said of a listener to what it is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::{
    Address, CrlStale, Listener, ListenerKind, ListenerLimits, ListenerTls, ListenerWeb, Origins, Verify,
    check::Wrong,
    file,
    list::{self, List},
    listeners::{BUILT_IN, KindVisitor, MQTT, Wanted, key},
    value::{Bind, Int, ListenAt, Mode},
};

/// Where WebSocket is asked for.
const PATH: &str = "/mqtt";

/// Who may connect to a socket of this machine: whose it is, and their group.
const MODE: u32 = 0o660;

impl Listener {
    /// MQTT over TCP at this address, all else as it is by default.
    pub fn new(name: &str, address: SocketAddr) -> Self {
        let bind = Address::Ip(address);
        Self {
            name: name.to_owned(),
            kind: ListenerKind::Mqtt,
            bind,
            may_be_taken: false,
            backlog: file::Listener::default().backlog.get(),
            receive_buffer: file::Listener::default().receive_buffer(),
            tls: None,
            web: None,
            proxy_from: Vec::new(),
            limits: ListenerLimits::default(),
        }
    }
}

impl ListenerKind {
    /// It has TLS.
    const fn is_tls(self) -> bool {
        matches!(self, Self::Mqtts | Self::Wss)
    }

    /// It has WebSocket.
    const fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }
}

impl file::Listener {
    /// `None`: it is off.
    pub(crate) fn check(&self, name: &str) -> Result<Option<Listener>, Wrong> {
        let missing = |what: &str, wanted: &dyn fmt::Display| {
            Wrong::new(key(name, what), format!("is missing; the listener {name} wants {wanted}"))
        };
        let Some(kind) = self.kind else { return Err(missing("kind", &Wanted(&KindVisitor))) };
        let Some(bind) = &self.bind else { return Err(missing("bind", &Wanted(&ListenAt::Off))) };
        self.check_kind(name, kind)?;
        let mode = self.mode.map(|Mode(mode)| mode);
        let bind = match bind {
            ListenAt::Off => return Ok(None),
            ListenAt::Ip(_) if mode.is_some() => {
                return Err(Wrong::new(key(name, "mode"), "is for a socket of this machine, bind = \"unix:/PATH\""));
            }
            ListenAt::Ip(Bind(address)) => Address::Ip(*address),
            ListenAt::Unix(_) if kind != ListenerKind::Mqtt => {
                let why = "is a socket of this machine; the listener wants kind = \"mqtt\" then";
                return Err(Wrong::new(key(name, "bind"), why));
            }
            ListenAt::Unix(_) if !self.proxy_from.0.is_empty() => {
                return Err(Wrong::new(key(name, "proxy_from"), "is for listeners that have an IP address"));
            }
            ListenAt::Unix(path) => Address::Unix { path: path.into(), mode: mode.unwrap_or(MODE) },
        };
        let is_default = |(known, default_kind, port): &(&str, ListenerKind, u16)| {
            *known == name && *default_kind == kind && bind == Address::Ip(([127, 0, 0, 1], *port).into())
        };
        // The one that all are told of has to be there.
        let may_be_taken = name != MQTT && BUILT_IN.iter().any(is_default);
        let web = if kind.is_web() { Some(self.check_web(name, &bind)?) } else { None };
        Ok(Some(Listener {
            name: name.to_owned(),
            kind,
            bind,
            may_be_taken,
            backlog: self.backlog.get(),
            receive_buffer: self.receive_buffer(),
            tls: if kind.is_tls() { Some(self.check_tls(name)?) } else { None },
            web,
            proxy_from: networks(&self.proxy_from),
            limits: self.check_limits(),
        }))
    }

    fn receive_buffer(&self) -> Option<u32> {
        Some(self.receive_buffer.0 as u32).filter(|bytes| *bytes > 0)
    }

    fn check_limits(&self) -> ListenerLimits {
        ListenerLimits {
            max_connections: self.max_connections.map(Int::get),
            connect_rate: self.connect_rate.map(|rate| rate.0),
            message_rate: self.message_rate.map(|rate| rate.0),
            byte_rate: self.byte_rate.map(|rate| rate.0),
            max_packet_size: self.max_packet_size.map(|size| u32::try_from(size.0).expect("its range is below 2^32")),
            receive_maximum: self.receive_maximum.map(Int::get),
            max_inflight: self.max_inflight.map(Int::get),
            subscriptions_per_client: self.subscriptions_per_client.map(Int::get),
            max_topic_levels: self.max_topic_levels.map(Int::get),
            max_queued: self.max_queued.map(Int::get),
            max_queued_bytes: self.max_queued_bytes.map(|size| size.bytes()),
        }
    }

    /// What is said of TLS or WebSocket where there is none would have no effect, and who said it would not know.
    fn check_kind(&self, name: &str, kind: ListenerKind) -> Result<(), Wrong> {
        let tls = [
            ("cert", !self.cert.0.is_empty()),
            ("key", !self.key.0.is_empty()),
            ("ca", self.ca.is_some()),
            ("crl", self.crl.is_some()),
            ("crl_stale", self.crl_stale.is_some()),
            ("verify", self.verify.is_some()),
            ("username_from", self.username_from.is_some()),
            ("clientid_from", self.clientid_from.is_some()),
        ];
        let web = [
            ("path", self.path.is_some()),
            ("origins", self.origins.is_some()),
            ("forwarded_from", !self.forwarded_from.0.is_empty()),
        ];
        let vain = |said: &[(&'static str, bool)]| said.iter().find(|(_, is_said)| *is_said).map(|(what, _)| *what);
        if !kind.is_tls()
            && let Some(what) = vain(&tls)
        {
            return Err(Wrong::new(key(name, what), "is for TLS; the listener wants kind = \"mqtts\" or \"wss\" then"));
        }
        if !kind.is_web()
            && let Some(what) = vain(&web)
        {
            return Err(Wrong::new(
                key(name, what),
                "is for WebSocket; the listener wants kind = \"ws\" or \"wss\" then",
            ));
        }
        Ok(())
    }

    fn check_tls(&self, name: &str) -> Result<ListenerTls, Wrong> {
        let Self { cert, key: keys, ca, crl, verify, username_from, clientid_from, .. } = self;
        let said = TlsSaid { cert, keys, ca, crl, verify: *verify };
        let tls = said.check(&|what| key(name, what), &format!("the listener {name}"))?;
        if tls.verify == Verify::None && username_from.or(*clientid_from).is_some() {
            return Err(Wrong::new(
                key(name, "verify"),
                "is missing; to name clients by their certificates it wants \"optional\" or \"required\"",
            ));
        }
        if self.crl_stale.is_some() && tls.crl.is_none() {
            return Err(Wrong::new(key(name, "crl"), "is missing; crl_stale is about the file that it names"));
        }
        let crl_stale = self.crl_stale.unwrap_or_default();
        Ok(ListenerTls { crl_stale, username_from: *username_from, clientid_from: *clientid_from, ..tls })
    }

    fn check_web(&self, name: &str, bind: &Address) -> Result<ListenerWeb, Wrong> {
        let path = self.path.clone().unwrap_or_else(|| PATH.to_owned());
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) || path.chars().any(char::is_control) {
            return Err(Wrong::new(key(name, "path"), format!("{path:?}: wants a path like \"/mqtt\"")));
        }
        let origins = match &self.origins {
            None if bind.is_loopback() => Origins::Local,
            None => Origins::Any,
            Some(List(all)) if all.iter().any(|list::Origin(origin)| origin == "*") => Origins::Any,
            Some(List(all)) => Origins::These(all.iter().map(ToString::to_string).collect()),
        };
        Ok(ListenerWeb { path, origins, forwarded_from: networks(&self.forwarded_from) })
    }
}

/// What is said of TLS somewhere.
pub(crate) struct TlsSaid<'a> {
    pub(crate) cert: &'a List<list::File>,
    pub(crate) keys: &'a List<list::File>,
    pub(crate) ca: &'a Option<String>,
    pub(crate) crl: &'a Option<String>,
    pub(crate) verify: Option<Verify>,
}

impl TlsSaid<'_> {
    /// `key` makes whole keys, `who` wants TLS.
    pub(crate) fn check(self, key: &dyn Fn(&str) -> String, who: &str) -> Result<ListenerTls, Wrong> {
        let (certs, keys) = (paths(self.cert), paths(self.keys));
        if certs.is_empty() {
            let why = format!("is missing; {who} wants the file of its certificate, in PEM");
            return Err(Wrong::new(key("cert"), why));
        }
        if certs.len() != keys.len() {
            let why = format!("{} keys for {} certificates; wants as many, in the same order", keys.len(), certs.len());
            return Err(Wrong::new(key("key"), why));
        }
        let verify = self.verify.unwrap_or_default();
        let (ca, crl) = (self.ca.clone().map(PathBuf::from), self.crl.clone().map(PathBuf::from));
        match (verify, &ca, &crl) {
            (Verify::Optional | Verify::Required, None, _) => {
                let verify = key("verify");
                let why = format!("is missing; {verify} wants the file of who signs clients' certificates, in PEM");
                Err(Wrong::new(key("ca"), why))
            }
            (Verify::None, Some(_), _) => {
                Err(Wrong::new(key("verify"), "is missing; with ca it wants \"optional\" or \"required\""))
            }
            (Verify::None, None, Some(_)) => {
                Err(Wrong::new(key("verify"), "is missing; with crl it wants \"optional\" or \"required\""))
            }
            _ => {
                let crl_stale = CrlStale::default();
                Ok(ListenerTls { certs, keys, ca, crl, crl_stale, verify, username_from: None, clientid_from: None })
            }
        }
    }
}

fn paths(files: &List<list::File>) -> Vec<PathBuf> {
    files.0.iter().map(|list::File(path)| path.into()).collect()
}

pub(crate) fn networks(ranges: &List<list::Range>) -> Vec<ipnet::IpNet> {
    ranges.0.iter().map(|list::Range(range)| *range).collect()
}
