//! What a trace is about.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use mqtt_codec::{Filter, Topic};
use mqtt_hooks::{Host, Lookup};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

/// Clients of one address that are known at the most; of more, messages are not traced.
const MAX_CLIENTS: usize = 10_000;

/// Clients that are looked at together.
const AT_ONCE: usize = 1000;

/// By the words of EMQ X.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Asked {
    Clientid { clientid: String },
    Topic { topic: String },
    IpAddress { ip_address: String },
}

pub(super) enum About {
    Client(Box<str>),
    Topic(Filter),
    /// Those of its clients that are online.
    Address(IpAddr, RwLock<HashSet<Arc<str>>>),
}

impl About {
    pub(super) fn new(asked: &Asked) -> Result<Self, String> {
        match asked {
            Asked::Clientid { clientid } if clientid.is_empty() => Err("clientid: it is empty".to_owned()),
            Asked::Clientid { clientid } => Ok(Self::Client(clientid.as_str().into())),
            Asked::Topic { topic } => {
                Filter::new(topic.clone()).map(Self::Topic).map_err(|why| format!("topic: {why}"))
            }
            Asked::IpAddress { ip_address } => match ip_address.parse::<IpAddr>() {
                Ok(address) => Ok(Self::Address(address.to_canonical(), RwLock::default())),
                Err(why) => Err(format!("ip_address: {why}")),
            },
        }
    }

    /// Finds the clients of its address. Not within a hook.
    pub(super) fn find_clients(&self, host: &dyn Host) {
        let Self::Address(address, clients) = self else { return };
        let mut after: Option<Arc<str>> = None;
        loop {
            let found = host.online(&Lookup { after: after.as_deref(), limit: AT_ONCE, ..Lookup::default() });
            for client in &found.clients {
                if client.peer.ip().to_canonical() == *address {
                    self.note(&client.client_id, clients);
                }
            }
            after = found.clients.last().map(|client| Arc::clone(&client.client_id));
            if !found.has_more || after.is_none() {
                return;
            }
        }
    }

    /// A client comes in by its address.
    pub(super) fn note_client(&self, client_id: &Arc<str>, peer: IpAddr) {
        if let Self::Address(address, clients) = self
            && peer.to_canonical() == *address
        {
            self.note(client_id, clients);
        }
    }

    fn note(&self, client_id: &Arc<str>, clients: &RwLock<HashSet<Arc<str>>>) {
        let mut clients = clients.write();
        if clients.len() < MAX_CLIENTS {
            clients.insert(Arc::clone(client_id));
        }
    }

    /// A client goes.
    pub(super) fn forget_client(&self, client_id: &str) {
        if let Self::Address(_, clients) = self {
            clients.write().remove(client_id);
        }
    }

    /// Whether it is about a client that comes from there.
    pub(super) fn is_about_client(&self, client_id: &str, peer: IpAddr) -> bool {
        match self {
            Self::Client(ours) => **ours == *client_id,
            Self::Address(address, _) => *address == peer.to_canonical(),
            Self::Topic(_) => false,
        }
    }

    /// Whether it is about a subscription of a client.
    pub(super) fn is_about_filter(&self, client_id: &str, peer: IpAddr, filter: &Filter) -> bool {
        match self {
            Self::Topic(ours) => ours.overlaps(filter),
            _ => self.is_about_client(client_id, peer),
        }
    }

    /// Whether it is about a message that a client sends or gets.
    pub(super) fn is_about_message(&self, client_id: Option<&str>, topic: &Topic) -> bool {
        match self {
            Self::Client(ours) => client_id == Some(ours),
            Self::Topic(ours) => ours.matches(topic),
            Self::Address(_, clients) => client_id.is_some_and(|client_id| clients.read().contains(client_id)),
        }
    }
}
