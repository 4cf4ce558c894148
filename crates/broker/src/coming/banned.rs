//! Who may not come in.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use mqtt_codec::ReasonCode;
use mqtt_hooks::{ConnectionInfo, Reason};
use mqtt_operate::{Ban, BanKind};
use parking_lot::Mutex;

use crate::broker::Broker;
use crate::client::connection::Ending;
use crate::store::Settings;
use crate::time::clock::wall_ms;

/// The record they are kept in.
const RECORD: &str = "banned";

/// DISCONNECT has no code for it. [MQTT-3.14.2-1]
pub(crate) const ENDING: Ending =
    Ending { reason: Reason::Refused(ReasonCode::Banned), code: Some(ReasonCode::AdministrativeAction) };

/// All of them are one record.
const MAX_BANS: usize = 10_000;

/// Read by every CONNECT, so without a lock.
#[derive(Debug, Default)]
pub(crate) struct Banned {
    lists: ArcSwap<Lists>,
    /// Held while they change.
    changing: Mutex<()>,
}

#[derive(Clone, Debug, Default)]
struct Lists {
    client_ids: BTreeMap<String, Ban>,
    usernames: BTreeMap<String, Ban>,
    peers: BTreeMap<String, Ban>,
}

impl Lists {
    fn list(&mut self, kind: BanKind) -> &mut BTreeMap<String, Ban> {
        match kind {
            BanKind::ClientId => &mut self.client_ids,
            BanKind::Username => &mut self.usernames,
            BanKind::PeerHost => &mut self.peers,
        }
    }

    fn all(&self) -> impl Iterator<Item = &Ban> {
        self.client_ids.values().chain(self.usernames.values()).chain(self.peers.values())
    }
}

impl Banned {
    pub(crate) fn load(settings: &Settings) -> Self {
        let stored = settings.get(RECORD).map(|record| serde_json::from_slice::<Vec<Ban>>(&record));
        let mut lists = Lists::default();
        match stored {
            None => {}
            Some(Ok(bans)) => {
                for ban in bans {
                    lists.list(ban.kind).insert(ban.who.clone(), ban);
                }
            }
            Some(Err(error)) => tracing::error!(%error, "the stored bans can't be read; nobody is banned"),
        }
        Self { lists: ArcSwap::from_pointee(lists), changing: Mutex::default() }
    }

    pub(crate) fn has(&self, client: &ConnectionInfo) -> bool {
        let lists = self.lists.load();
        let is_in = |list: &BTreeMap<String, Ban>, who: &str| list.get(who).is_some_and(is_valid);
        is_in(&lists.client_ids, &client.client_id)
            || client.username.as_ref().is_some_and(|name| is_in(&lists.usernames, name))
            || (!lists.peers.is_empty() && is_in(&lists.peers, &client.peer.ip().to_canonical().to_string()))
    }

    pub(crate) fn all(&self) -> Vec<Ban> {
        self.lists.load().all().filter(|ban| is_valid(ban)).cloned().collect()
    }
}

fn is_valid(ban: &Ban) -> bool {
    ban.until > wall_ms() / 1000
}

impl Broker {
    /// Its connections end; a session that outlives them stays, as the ban may be over before it.
    pub(crate) fn add_ban(&self, ban: Ban) -> io::Result<()> {
        let kind = ban.kind;
        let who = ban.who.clone();
        self.change_bans(|lists| {
            lists.list(kind).insert(who.clone(), ban);
        })?;
        let clients = match kind {
            BanKind::ClientId => self.clients.get(&who).into_iter().collect(),
            BanKind::Username | BanKind::PeerHost => self.clients.all(),
        };
        for client in clients {
            let connection = client.state.lock().connection.clone();
            if let Some(connection) = connection.filter(|connection| self.banned.has(&connection.info)) {
                connection.end(ENDING);
            }
        }
        Ok(())
    }

    pub(crate) fn remove_ban(&self, kind: BanKind, who: &str) -> io::Result<()> {
        self.change_bans(|lists| {
            lists.list(kind).remove(who);
        })
    }

    fn change_bans(&self, change: impl FnOnce(&mut Lists)) -> io::Result<()> {
        let _changing = self.banned.changing.lock();
        let mut lists = Lists::clone(&self.banned.lists.load());
        for kind in [BanKind::ClientId, BanKind::Username, BanKind::PeerHost] {
            lists.list(kind).retain(|_, ban| is_valid(ban));
        }
        change(&mut lists);
        let bans: Vec<&Ban> = lists.all().collect();
        if bans.len() > MAX_BANS {
            return Err(io::Error::other(format!("there are {MAX_BANS} bans already")));
        }
        self.settings.keep(self, RECORD, &serde_json::to_vec(&bans)?)?;
        self.banned.lists.store(Arc::new(lists));
        Ok(())
    }
}
